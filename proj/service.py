"""Services: what has a start and a stop, and can be used in a `with` block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self


class Service(ABC):
    """Started on entry and stopped on exit, and also when its start fails."""

    @abstractmethod
    def start(self) -> None:
        """Begin, and return when it serves."""

    @abstractmethod
    def stop(self) -> None:
        """End; safe to call twice, and before `start`."""

    def __enter__(self) -> Self:
        """Start it."""
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()
