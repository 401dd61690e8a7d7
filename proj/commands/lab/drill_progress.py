"""What the drills do, how far they are and what is left: a bar on a terminal, else a line for each."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from proj.commands.terminal.clock import format_duration
from proj.commands.terminal.console import SafeConsole, cell
from proj.plural import counted
from proj.service import Service

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from proj.lab.drills.drill import Result
    from proj.lab.drills.faults.catalogue import Fault

#: Seconds of a drill before one was measured: 24 on each type of queue took 334 s.
USUAL_S = 14.0
#: The same on a cluster, with the start of the nodes that were ended.
USUAL_CLUSTER_S = 60.0


class DrillProgress(Service):
    """Prints to stderr; its methods may be called from any thread."""

    def __init__(
        self, faults: Mapping[str, Sequence[Fault]], *, nodes: int = 1, console: Console | None = None
    ) -> None:
        """Take the faults of each type of queue, which are drilled at the same time, and the nodes of each broker."""
        self._nodes = nodes
        self._console = console or SafeConsole(stderr=True, soft_wrap=True, highlight=False)
        self._left = {queue_type: len(some) for queue_type, some in faults.items()}
        self._total = sum(self._left.values())
        self._running: dict[str, str] = {}
        self._seconds: list[float] = []
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
        )
        self._bar = Progress(*columns, console=self._console, transient=True, disable=not self._console.is_terminal)
        self._task = self._bar.add_task("", total=self._total, left="")

    def start(self) -> None:
        """Say how many drills there are, and how long they may take."""
        broker = "RabbitMQ" if self._nodes == 1 else f"cluster of {self._nodes} RabbitMQ nodes"
        self._say(
            f"{counted(self._total, 'drill')}, on a private {broker} for each type of queue, {self._remaining()} …"
        )
        self._bar.start()

    def stop(self) -> None:
        """Take the bar away; safe to call twice and before `start`."""
        self._bar.stop()

    def begin(self, fault: Fault, queue_type: str) -> None:
        """A drill has begun."""
        self._running[queue_type] = fault.name
        if not self._console.is_terminal:
            self._say(f"{queue_type:8}{fault.name:20}begins: {self._done} of {self._total} done, {self._remaining()}")
        self._update()

    def end(self, result: Result) -> None:
        """A drill has ended."""
        outcome = "A PROMISE WAS BROKEN" if result.complaints else "as promised"
        self._say(f"{result.queue_type:8}{result.fault:20}{result.did}: {outcome} ({result.seconds:.0f} s)")
        self._seconds.append(result.seconds)
        self._advance(result.queue_type)

    def skip(self, fault: Fault, queue_type: str, reason: str) -> None:
        """A fault cannot happen."""
        self._say(f"{queue_type:8}{fault.name:20}skipped: {reason}")
        self._advance(queue_type)

    @property
    def _done(self) -> int:
        return self._total - sum(self._left.values())

    def _remaining(self) -> str:
        """About how long the drills that are left take: those of the longest lane, as long as the others took."""
        usual_s = USUAL_S if self._nodes == 1 else USUAL_CLUSTER_S
        each_s = fmean(self._seconds) if self._seconds else usual_s
        return f"about {format_duration(each_s * max(self._left.values(), default=0))} left"

    def _advance(self, queue_type: str) -> None:
        self._left[queue_type] -= 1
        self._running.pop(queue_type, None)
        self._update()

    def _update(self) -> None:
        doing = ", ".join(f"{queue_type} {name}" for queue_type, name in list(self._running.items()))
        self._bar.update(self._task, completed=self._done, description=doing, left=self._remaining())

    def _say(self, text: str) -> None:
        # Text, because what a fault did must not be interpreted as rich's markup.
        self._console.print(cell(text))
