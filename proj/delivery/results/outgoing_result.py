"""A result on its way to its caller, and whether the message of its task still waits for it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from proj.delivery.publishing.outgoing_message import OutgoingMessage

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(eq=False, slots=True, kw_only=True)
class OutgoingResult(OutgoingMessage):
    """A result that is published until it is confirmed or lost."""

    #: Called once, when the message of the task need not wait for this result any more.
    let_go: Callable[[], None]
    #: Whether that was called.
    is_let_go: bool = False
    #: Monotonic time since which it is to be published, and at which it was written last.
    since: float = field(default_factory=time.monotonic)
    written_at: float = 0.0
    #: Monotonic time before which it is not written, because it could overtake STARTED.
    not_before: float = 0.0
