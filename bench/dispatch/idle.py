"""What a worker costs that has nothing to do, and how long one takes to start."""

from __future__ import annotations

import secrets
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import startup
from rich.table import Table

from dispatch.bench import median, median_ratio
from dispatch.consumption import await_consumers, workers_of
from dispatch.consumption_table import number
from dispatch.mark import children_of, cpu_s
from dispatch.row import Shape
from dispatch.rows import proj, stock
from proj.commands.terminal.console import console

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dispatch.bench import Bench
    from dispatch.row import Row

#: Seconds for which idle workers are measured, and before that, for what a start leaves behind. And with --quick.
IDLE_S, QUICK_IDLE_S = 60.0, 5.0
SETTLE_S, QUICK_SETTLE_S = 10.0, 2.0
#: The row that the idle workers are compared with: it has the same queue, events, and the same `broker_heartbeat`.
BASE = "celery-same-settings"
#: The same for a start: a bare app with the same queue.
START_BASE = "bare"


@dataclass(frozen=True, kw_only=True)
class Idle:
    """What one idle worker used in a minute, its pool process included."""

    cpu_ms: float
    #: Voluntary context switches: each is a wait that something ended.
    wakeups: float


@dataclass(frozen=True, kw_only=True)
class Start:
    """A worker whose start is measured."""

    name: str
    app: str
    dispatch: str | None = None
    needs: str | None = None


STARTS = (
    Start(name="classic", app="classic"),
    Start(name=START_BASE, app="bare"),
    Start(name="proj", app="proj"),
    Start(name="proj-adaptive", app="proj", dispatch="adaptive"),
)


def rows() -> list[Row]:
    """The workers that are idle side by side."""
    shape = Shape()
    return [
        stock("celery-default", shape, "default"),
        stock(BASE, shape, "late_quorum_heartbeat", events=True),
        proj("proj-fair", shape, dispatch="fair"),
        proj("proj-adaptive", shape, dispatch="adaptive"),
    ]


def names() -> list[str]:
    """The names of the rows: idle workers, and then those whose start is measured."""
    return [*(row.name for row in rows()), *(start.name for start in STARTS)]


def measure(bench: Bench) -> None:
    """Measure starts in turn and idle workers side by side, and print their tables."""
    starts(bench)
    if not bench.interrupted:
        idle(bench)


def starts(bench: Bench) -> None:
    """Seconds until a worker is ready, in turn."""
    startup.write_bare_apps(bench.guard)
    title = "Start of a worker until it is ready"

    def take(start: Start) -> float:
        settings = {"PROJ_DISPATCH": start.dispatch} if start.dispatch else {}
        return startup.worker_s(start.app, bench.guard, bench.broker, **settings)

    found = bench.in_turn(title, STARTS, take)
    lines = [
        {
            "row": name,
            "seconds": median(seconds),
            "ratio": median_ratio(seconds, found[START_BASE]) if START_BASE in found else None,
            "rounds": seconds,
        }
        for name, seconds in found.items()
    ]
    _show(bench, title, lines, {"seconds": ("seconds", 2), "ratio": (f"to {START_BASE}", 2)})


def idle(bench: Bench) -> None:
    """Processor time and context switches of workers that are idle at the same time."""
    settle_s, idle_s = (QUICK_SETTLE_S, QUICK_IDLE_S) if bench.quick else (SETTLE_S, IDLE_S)
    title = f"Idle workers, one prefork slot, a minute (measured for {idle_s:g} s, side by side)"
    chosen = bench.chosen(rows())
    found: dict[str, list[Idle | None]] = {row.name: [] for row in chosen}
    for number_of_round in range(1, bench.rounds + 1):
        bench.say(f"{title}: round {number_of_round} of {bench.rounds} …")
        with ExitStack() as stack:
            processes = {row.name: _started(row, bench, stack) for row in chosen}
            time.sleep(settle_s)
            before = {name: _used(pids) for name, pids in processes.items()}
            begun = time.monotonic()
            time.sleep(idle_s)
            minutes = (time.monotonic() - begun) / 60
            for name, pids in processes.items():
                cpu, switches = (now - then for now, then in zip(_used(pids), before[name], strict=True))
                found[name].append(Idle(cpu_ms=1000 * cpu / minutes, wakeups=switches / minutes))
    lines = []
    for name, rounds in found.items():
        line: dict[str, Any] = {"row": name, "rounds": [one and asdict(one) for one in rounds]}
        for what in ("cpu_ms", "wakeups"):
            own, base = ([one and getattr(one, what) for one in each] for each in (rounds, found.get(BASE, [])))
            line[what] = median(own)
            line[f"{what}_ratio"] = median_ratio(own, base) if base else None
        lines.append(line)
    columns = {
        "cpu_ms": ("processor ms", 0),
        "cpu_ms_ratio": (f"to {BASE}", 2),
        "wakeups": ("voluntary context switches", 0),
        "wakeups_ratio": (f"to {BASE}", 2),
    }
    _show(bench, title, lines, columns)


def voluntary_switches(pid: int) -> int:
    """How often the threads of the process have given up a processor because they had to wait."""
    switches = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        (line,) = (one for one in (thread / "status").read_text().splitlines() if one.startswith("voluntary"))
        switches += int(line.split()[1])
    return switches


def _started(row: Row, bench: Bench, stack: ExitStack) -> list[int]:
    """A worker that consumes, and its processes."""
    vhost = f"idle-{row.name}-{secrets.token_hex(4)}"
    folder = bench.guard.folder / vhost
    folder.mkdir()
    url = bench.broker.add_vhost(vhost)
    stack.callback(bench.broker.remove_vhost, vhost)
    workers = [stack.enter_context(worker) for worker in workers_of(row, url, folder, bench.guard)]
    await_consumers(url, row, workers)
    mains = [worker.pid for worker in workers]
    return [*mains, *children_of(mains)]


def _used(pids: Iterable[int]) -> tuple[float, int]:
    return sum(map(cpu_s, pids)), sum(map(voluntary_switches, pids))


def _show(bench: Bench, title: str, lines: Sequence[dict[str, Any]], columns: dict[str, tuple[str, int]]) -> None:
    bench.results[title] = {"load": bench.loads(), "rows": lines}
    drawn = Table(title=f"{title}: {bench.rounds} rounds; {bench.load_text()}", title_justify="left")
    drawn.add_column("worker")
    for heading, _ in columns.values():
        drawn.add_column(heading, justify="right")
    for line in lines:
        drawn.add_row(line["row"], *(number(line[what], digits) for what, (_, digits) in columns.items()))
    console().print(drawn)
