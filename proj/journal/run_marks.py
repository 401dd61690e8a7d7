"""Run marks: the event that says where a run with a name begins and ends."""

from __future__ import annotations

#: The type of the event.
EVENT = "dispatch-run"
#: Its field `state`.
BEGAN, ENDED = "began", "ended"
