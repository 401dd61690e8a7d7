"""Run mark: the event that tells when a named run begins and ends."""

from __future__ import annotations

#: Its `type`.
EVENT = "dispatch-run"
#: The values of its field `state`.
BEGAN, ENDED = "began", "ended"
