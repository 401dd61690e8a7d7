"""What all figures share: the broker, the rounds, and the rows that were asked for."""

from __future__ import annotations

import importlib.util
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click
from amqp.exceptions import AMQPError

from proj.errors import ProjError
from proj.lab.processes.environment import child_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard


class Named(Protocol):
    """What is measured in turn with others."""

    @property
    def name(self) -> str:
        """The name, by which it is asked for."""

    @property
    def needs(self) -> str | None:
        """A module that it needs."""

    @property
    def dispatch(self) -> str | None:
        """The value of PROJ_DISPATCH that it needs."""


R = TypeVar("R", bound=Named)
F = TypeVar("F")


@dataclass(kw_only=True)
class Bench:
    """The measurement as the command line asked for it."""

    guard: Guard
    broker: Broker
    rounds: int
    #: Tasks that a row of scale 1 is measured with.
    tasks: int
    quick: bool
    #: Patterns of names; none for all.
    wanted: Sequence[str]
    #: What JSON has: for each table its title and rows.
    results: dict[str, Any] = field(default_factory=dict)
    #: The load average before the rows that were measured last.
    load: float = 0.0
    #: Whether Ctrl-C has ended the measurement.
    interrupted: bool = False
    _refused: dict[str, str | None] = field(default_factory=dict)

    def in_turn(self, title: str, rows: Sequence[R], measure: Callable[[R], F]) -> dict[str, list[F | None]]:
        """Measure each row once a round, until Ctrl-C; None stands for a measurement that failed or was not made."""
        chosen = self.chosen(rows)
        found: dict[str, list[F | None]] = {row.name: [] for row in chosen}
        try:
            for number in range(1, self.rounds + 1):
                for row in chosen:
                    self.say(f"{title}: round {number} of {self.rounds}, {row.name} …")
                    found[row.name].append(self._measured(row, measure))
        except KeyboardInterrupt:
            self.say("Interrupted; the tables have what was measured until now.")
            self.interrupted = True
        done = max(map(len, found.values()), default=0)
        return {name: [*rounds, *[None] * (done - len(rounds))] for name, rounds in found.items()}

    def _measured(self, row: R, measure: Callable[[R], F]) -> F | None:
        try:
            return measure(row)
        # A busy machine may also break a connection of the measurement itself.
        except (ProjError, OSError, AMQPError) as error:
            notes = "\n".join(getattr(error, "__notes__", ()))
            self.say(f"{row.name} failed: {error}\n{notes}")
            return None

    def chosen(self, rows: Sequence[R]) -> list[R]:
        """The rows that were asked for and can be measured here; the load before them is taken now."""
        self.load = os.getloadavg()[0]
        return [row for row in rows if self._is_wanted(row.name) and not self._missing(row)]

    def loads(self) -> list[float]:
        """The load averages before the rows that were measured last, and now."""
        return [self.load, os.getloadavg()[0]]

    def load_text(self) -> str:
        """The same in words."""
        before, after = self.loads()
        return f"load average before {before:.1f}, after {after:.1f}"

    def say(self, text: str) -> None:
        """Tell the user something; stdout is for tables."""
        click.echo(text, err=True)

    def _is_wanted(self, name: str) -> bool:
        return not self.wanted or any(fnmatchcase(name, pattern) for pattern in self.wanted)

    def _missing(self, row: Named) -> bool:
        """Whether the row cannot be measured here, which is told."""
        if row.needs and importlib.util.find_spec(row.needs) is None:
            self.say(f"{row.name} is left out: {row.needs} is missing (pip install -e '.[bench]').")
            return True
        if row.dispatch and (refusal := self._refusal(row.dispatch)):
            self.say(f"{row.name} is left out: {refusal}")
            return True
        return False

    def _refusal(self, dispatch: str) -> str | None:
        """Why our settings refuse this PROJ_DISPATCH; None when they take it."""
        if dispatch not in self._refused:
            asked = subprocess.run(
                [sys.executable, "-c", "import proj.settings"],
                env=child_environment(PROJ_DISPATCH=dispatch),
                cwd=self.guard.folder,
                capture_output=True,
                text=True,
                check=False,
            )
            self._refused[dispatch] = asked.stderr.strip().splitlines()[-1] if asked.returncode else None
        return self._refused[dispatch]


def median(figures: Sequence[float | None]) -> float | None:
    """The median of those that are there; None when there is none."""
    there = [figure for figure in figures if figure is not None]
    return statistics.median(there) if there else None


def median_ratio(figures: Sequence[float | None], base: Sequence[float | None]) -> float | None:
    """The median of the ratios of each round, which other load on the machine disturbs less than the medians."""
    return median([one / other for one, other in zip(figures, base, strict=True) if one is not None and other])
