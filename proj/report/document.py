"""The document that every form of a report is made from: JSON types only, bounded however long the journal is.

The script reads it, in the HTML page and in the dashboard alike. Version 1, times in seconds from a run's `origin`:

    format, version      "proj-report", 1
    title                the name of the journal
    notes                sentences: what is missing, what was thinned
    tables               figures, waits, offenders, facts: {caption, head, rows, words}, all cells text
    runs                 a list, each:
        name, dispatch   as in the journal; dispatch may be null
        origin           seconds since the epoch of its first event
        span_s           from there to its last
        figures          numbers: tasks, attempts, slots, makespan_s, ideal_s, ratio, utilisation, avoidable_wait_s,
                         held_wait_s, jain_busy, jain_counts, redelivered, lost
        workers          the table under the timeline
        groups           a list of workers: {worker, lanes, held}
            lanes        a list of slots, each a list of bars: [start, end, kind, label, count, share]; count attempts
                         in it filled that share of its length; kind is running, redelivered,
                         unfinished (no end was heard of), failed or lost
            held         {times, values}: messages that the worker had and had not started, until the next time
        depths           a list: {queue, ready, unacknowledged}, each {times, values}; the last may be null
        depths_source    "broker" or, counted from the attempts where nobody asked the broker, "attempts"
        depth            the table under the depths
        waits            {broker, held, avoidable}: seconds in order, thinned to 201 quantiles
        live             true while the run goes on, and its figures are those so far; else left out

A reader refuses a version it does not know; fields may be added within one.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from proj import metrics
from proj.errors import ProjError
from proj.journal.records import Run
from proj.report import drawing, tables

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from proj.journal.attempt import Attempt
    from proj.journal.records import Gap, Sample, Worker

FORMAT = "proj-report"
VERSION = 1
#: What attempts that belong to no run are called together.
NO_RUN = "outside any run"
#: From how many seconds on a clock's skew is worth a note of its own; below it is mostly the way to us.
SKEW_S = 0.1


class ReportSource(Protocol):
    """What a report reads: a journal, or whatever else tells the same."""

    def runs(self) -> list[Run]:
        """All runs, in the order in which they began."""

    def attempts(self, run: str | None = None) -> list[Attempt]:
        """The attempts of one run, or all."""

    def workers(self) -> list[Worker]:
        """All workers."""

    def samples(self, run: str | None = None) -> list[Sample]:
        """The depths of queues during one run, or all."""

    def gaps(self) -> list[Gap]:
        """When events are known to be missing."""


@dataclass(frozen=True, kw_only=True)
class MeasuredRun:
    """A run with what was measured of it."""

    run: Run
    record: metrics.Record
    samples: Sequence[Sample]


def document(
    source: ReportSource, *, title: str, names: Collection[str] = (), arguments: bool = True
) -> dict[str, Any]:
    """The report of the runs called `names`, or of all; without `arguments`, no word of a message is in it.

    Raises:
        ProjError: nothing is in the journal, or no such run.
    """
    measured = _measured(source, names)
    if not measured:
        raise ProjError(f"There is nothing to report in {title}: no attempt of any task is in it.")
    workers = source.workers()
    measured_runs = [
        MeasuredRun(
            run=run,
            record=metrics.Record.of(attempts, workers_of(run, attempts, workers)),
            samples=source.samples(None if run.name == NO_RUN else run.name),
        )
        for run, attempts in measured
    ]
    return document_of_runs(measured_runs, workers, source.gaps(), title=title, arguments=arguments)


def document_of_runs(
    measured_runs: Sequence[MeasuredRun], workers: Sequence[Worker], gaps: Sequence[Gap], *, title: str, arguments: bool
) -> dict[str, Any]:
    """The report of runs that are measured already."""
    bars = drawing.bars_a_lane(sum(len({span.attempt.worker for span in one.record.spans}) for one in measured_runs))
    runs = [one.run for one in measured_runs]
    figures = {one.run.name: metrics.figures_of(one.record) for one in measured_runs}
    documents: list[dict[str, Any]] = []
    left_out: list[str] = []
    for one in measured_runs:
        of_run = figures[one.run.name]
        drawn, notes = drawing.draw_run(one.run, one.record, one.samples, bars=bars, arguments=arguments)
        left_out += [f"{one.run.name}: {note}" for note in notes]
        numbers = _numbers(of_run, one.record.attempts)
        documents.append({**drawn, "figures": numbers, "workers": asdict(tables.workers_table(of_run))})
    took_part = {worker.name for of_run in figures.values() for worker in of_run.workers}
    longest = {name: of_run.longest_avoidable_waits for name, of_run in figures.items()}
    return {
        "format": FORMAT,
        "version": VERSION,
        "title": title,
        "notes": _notes([worker for worker in workers if worker.name in took_part], gaps) + left_out,
        "tables": {
            "figures": asdict(tables.figures_table(figures, [run.dispatch or "not known" for run in runs])),
            "waits": asdict(tables.waits_table(figures)),
            "offenders": asdict(tables.avoidable_waits_table(longest, arguments=arguments)),
            "facts": asdict(tables.facts_table(runs)),
        },
        "runs": documents,
    }


def workers_of(run: Run, attempts: Sequence[Attempt], workers: Sequence[Worker]) -> list[Worker]:
    """The workers that had a part in the run, and those that could have had one and got nothing."""
    seen = {attempt.worker for attempt in attempts}
    # The lab names its workers after their run, and runs of a pipeline have the same queues.
    own = f"@{run.name}"
    of_lab = any((name or "").endswith(own) for name in seen)
    queues = {attempt.queue for attempt in attempts if attempt.queue is not None}
    return [
        worker
        for worker in workers
        if worker.name in seen
        or (
            queues.intersection(worker.queues)
            and (run.dispatch is None or worker.dispatch == run.dispatch)
            and (not of_lab or worker.name.endswith(own))
        )
    ]


def _measured(source: ReportSource, names: Collection[str]) -> list[tuple[Run, list[Attempt]]]:
    """Each run that was asked for and has attempts, with them."""
    by_run: dict[str | None, list[Attempt]] = defaultdict(list)
    for attempt in source.attempts():
        by_run[attempt.run].append(attempt)
    known = {run.name: run for run in source.runs()}
    measured = [
        (known.get(name or "") or Run(name=name or NO_RUN, dispatch=None, began=0.0), attempts)
        for name, attempts in by_run.items()
    ]
    places = list(known)
    measured.sort(key=lambda pair: places.index(pair[0].name) if pair[0].name in known else len(places))
    there = [run.name for run, _ in measured]
    for name in names:
        if name not in there:
            raise ProjError(f"No run {name!r} with attempts is in the journal; there are: {', '.join(there)}.")
    return [pair for pair in measured if not names or pair[0].name in names]


def _numbers(figures: metrics.Figures, attempts: Sequence[Attempt]) -> dict[str, float]:
    """The figures that programs and pictures read."""
    return {
        "tasks": figures.tasks,
        "attempts": figures.attempts,
        "redelivered": figures.redelivered,
        "lost": sum(attempt.state == "lost" for attempt in attempts),
        "slots": sum(worker.slots for worker in figures.workers),
        "makespan_s": round(figures.makespan_s, 6),
        "ideal_s": round(figures.ideal_s, 6),
        "ratio": round(figures.ratio, 6),
        "throughput_per_s": round(figures.throughput_per_s, 6),
        "utilisation": round(tables.utilisation(figures), 6),
        "held_wait_s": round(figures.held_wait_total_s, 6),
        "avoidable_wait_s": round(figures.avoidable_wait_total_s, 6),
        "jain_busy": round(figures.jain_busy, 6),
        "jain_counts": round(figures.jain_counts, 6),
    }


def _notes(workers: Sequence[Worker], gaps: Sequence[Gap]) -> list[str]:
    """What is known to be missing or wrong, in sentences."""
    notes = [
        f"{worker.missing_events:,} starts that {worker.name} counted reached the journal in no event."
        for worker in workers
        if worker.missing_events
    ]
    notes += [
        f"The clock of {worker.name} differs by about {tables.seconds(worker.skew_s)}: its waits in the broker do too."
        for worker in workers
        if worker.skew_s is not None and abs(worker.skew_s) > SKEW_S
    ]
    skews = [abs(worker.skew_s) for worker in workers if worker.skew_s is not None]
    if skews and max(skews) <= SKEW_S:
        notes.append(f"Workers' clocks agree with the recorder's within {tables.seconds(max(skews))}.")
    notes += [
        f"Events are missing over {tables.seconds(gap.ended - gap.began)}"
        + (f" ({gap.events:,} of them)" if gap.events is not None else "")
        + f": {gap.reason}"
        for gap in gaps
    ]
    return notes
