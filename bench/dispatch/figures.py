"""The figures, by the name of their option."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dispatch import zero_dots

if TYPE_CHECKING:
    from collections.abc import Callable

    from dispatch.bench import Bench


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure."""

    #: One sentence for the help.
    what: str
    #: Measures it, and prints its tables.
    measure: Callable[[Bench], None]
    #: The names of its rows.
    names: Callable[[], list[str]]


FIGURES = {
    "zero_dots": Figure(
        what="Tasks that do nothing: one worker with one prefork slot.",
        measure=zero_dots.one_slot,
        names=zero_dots.one_slot_names,
    ),
}
