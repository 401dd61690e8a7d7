"""What a strike of a fault comes to: a hit, a fault that did not strike, or a cancelled drill."""

from __future__ import annotations

from dataclasses import dataclass

from proj.errors import ProjError


class NotStruck(ProjError):
    """A fault did not do what it is there to do, so that its drill shows nothing."""


class Cancelled(ProjError):
    """The drill was interrupted."""


@dataclass(frozen=True, kw_only=True)
class Hit:
    """One blow of a fault, from its beginning until it was over (seconds since the epoch)."""

    began: float
    ended: float
    #: How many messages the workers that it struck may hold at most: their windows. None when the broker itself was
    #: struck, which may forget acknowledgements that it had.
    window: int | None = None

    @property
    def length_s(self) -> float:
        """Seconds that it took."""
        return self.ended - self.began
