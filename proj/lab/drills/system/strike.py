"""The outcomes of a fault: a hit, no effect, or a cancelled drill."""

from __future__ import annotations

from dataclasses import dataclass

from proj.errors import ProjError


class NotStruck(ProjError):
    """The fault had no effect, so its drill proves nothing."""


class Cancelled(ProjError):
    """The drill was interrupted."""


@dataclass(frozen=True, kw_only=True)
class Hit:
    """One effect of a fault, from its beginning to its end (seconds since the epoch)."""

    began: float
    ended: float
    #: The prefetch window of the workers that it struck: the most messages that they hold. None when it struck the
    #: broker itself, which may lose acknowledgements that it has received.
    window: int | None = None

    @property
    def length_s(self) -> float:
        """Its duration in seconds."""
        return self.ended - self.began
