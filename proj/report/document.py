"""Document: what every form of a report is made from. It has only JSON types, and a bounded size for any journal.

The scripts of the HTML page and of the dashboard read it. Version 1, with times in seconds from a run's `origin`:

    format, version      "proj-report", 1
    title                the name of the journal
    notes                sentences: which events are missing, what the drawing leaves out, what people did
    tables               figures, waits, offenders (the longest avoidable waits), facts, as in `tables.Table`; offenders
                         also has `tasks`: the id of the task of each row
    runs                 a list, each:
        name, dispatch   as in the journal; dispatch may be null
        origin           the time of its first event, in seconds since the epoch
        span_s           seconds from its first event to its last
        figures          numbers: tasks, attempts, slots, makespan_s, ideal_s, ratio, utilisation, avoidable_wait_s,
                         held_wait_s, jain_busy, jain_counts, redelivered, lost
        workers          the table under the timeline
        queues           the names of the queues of its attempts, the one with the most first
        groups           a list of workers: {worker, lanes, held}
            lanes        a list of slots, each a list of bars: [start, end, kind, label, count, share, queue]; the bar
                         stands for `count` attempts that ran in the `share` of its length; kind is running (it
                         ended), redelivered, unfinished (no end was reported), failed or lost; queue is a place in
                         `queues`
            held         {times, values}: how many messages the worker had received and not started, from each time
                         until the next
        depths           a list: {queue, ready, unacknowledged}, the latter two {times, values}; the last may be null
        depths_source    "broker"; or "attempts", if they are counted from the attempts because the broker reported none
        depth            the table under the depths
        waits            {broker, held, avoidable}: seconds in order, thinned to 201 quantiles
        live             true while the run goes on, with its figures so far; else left out
    letters              dead letters that workers counted in their heartbeats, by queue, in the whole journal; left out
                         where there are none
    together             a run, with queues and groups alone, of the attempts of all: there if a worker took part in
                         several, so that what each of its slots did is in one lane; then `runs` have no groups

A reader must refuse a version that it does not know. A version may get further fields.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

from proj import metrics
from proj.errors import ProjError
from proj.journal.records import Run
from proj.plural import counted
from proj.report import drawing, tables

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from proj.journal.attempt import Attempt
    from proj.journal.records import Action, Gap, Sample, Worker

FORMAT = "proj-report"
VERSION = 1
#: The name under which attempts without a run are reported.
NO_RUN = "outside any run"
#: Seconds: a larger skew of a clock gets a note of its own. A smaller one is mostly transport time.
SKEW_S = 0.1
#: What is drawn of each run, and not of all of them together.
_NOT_TOGETHER = frozenset({"depths", "depth", "depths_source", "waits"})
#: What people did, in the notes: the latest.
MOST_ACTIONS = 20
#: Queues whose dead letters are named in the notes.
MOST_QUEUES = 20


class ReportSource(Protocol):
    """What a report is made from, such as a journal."""

    def runs(self) -> list[Run]:
        """All runs, in the order in which they began."""

    def attempts(self, run: str | None = None) -> list[Attempt]:
        """The attempts of one run, or of all."""

    def workers(self) -> list[Worker]:
        """All workers."""

    def samples(self, run: str | None = None) -> list[Sample]:
        """The depths of queues during one run, or of all times."""

    def gaps(self) -> list[Gap]:
        """The times for which events are known to be missing."""

    def actions(self) -> list[Action]:
        """What people did to queues and workers, by time."""


@dataclass(frozen=True, kw_only=True)
class MeasuredRun:
    """A run with the record of its attempts and its queue depths."""

    run: Run
    record: metrics.Record
    samples: Sequence[Sample]


def document(
    source: ReportSource, *, title: str, names: Collection[str] = (), arguments: bool = False
) -> dict[str, Any]:
    """The document of the runs called `names`, or of all. It has arguments of tasks only with `arguments=True`.

    Raises:
        ProjError: the journal has no attempts, or no run of a name.
    """
    measured = _measured(source, names)
    if not measured:
        raise ProjError(f"There is nothing to report in {title}: it has no attempts of tasks.")
    workers, gaps = source.workers(), source.gaps()
    measured_runs = [
        MeasuredRun(
            run=run,
            record=metrics.Record.of(attempts, workers_of(run, attempts, workers), gaps=gaps),
            samples=source.samples(None if run.name == NO_RUN else run.name),
        )
        for run, attempts in measured
    ]
    made = document_of_runs(measured_runs, workers, gaps, title=title, arguments=arguments)
    letters = _letters_by_queue(workers)
    if letters:
        made["letters"] = letters
        made["notes"].append(_letters(letters))
    made["notes"] += _actions(source.actions())
    return made


def document_of_runs(
    measured_runs: Sequence[MeasuredRun],
    workers: Sequence[Worker],
    gaps: Sequence[Gap],
    *,
    title: str,
    arguments: bool,
    together: MeasuredRun | None = None,
) -> dict[str, Any]:
    """The document of runs that are measured already; `together` has the attempts of all of them."""
    bars = drawing.bars_a_lane(sum(len({span.attempt.worker for span in one.record.spans}) for one in measured_runs))
    runs = [one.run for one in measured_runs]
    figures = {one.run.name: metrics.figures_of(one.record) for one in measured_runs}
    known = {worker.name: worker for worker in workers}
    documents: list[dict[str, Any]] = []
    left_out: list[str] = []
    for one in measured_runs:
        of_run = figures[one.run.name]
        # Where all are drawn together, the bars of each are not drawn.
        own = bars if together is None else 0
        drawn, notes = drawing.draw_run(one.run, one.record, one.samples, bars=own, arguments=arguments)
        left_out += [f"{one.run.name}: {note}" for note in notes]
        numbers = _numbers(of_run, one.record.attempts)
        documents.append({**drawn, "figures": numbers, "workers": asdict(tables.workers_table(of_run, known))})
    drawn_together = None
    if together is not None:
        lanes = bars if len(together.record.spans) < drawing.BARS else drawing.LEAST_BARS
        drawn, notes = drawing.draw_run(together.run, together.record, (), bars=lanes, arguments=arguments)
        left_out += [f"{together.run.name}: {note}" for note in notes]
        drawn_together = {name: value for name, value in drawn.items() if name not in _NOT_TOGETHER}
    took_part = Counter(worker.name for of_run in figures.values() for worker in of_run.workers)
    longest = {name: of_run.longest_avoidable_waits for name, of_run in figures.items()}
    return {
        "format": FORMAT,
        "version": VERSION,
        "title": title,
        "notes": _notes([worker for worker in workers if worker.name in took_part], gaps)
        + _over_runs(workers, took_part)
        + left_out,
        "tables": {
            "figures": asdict(
                tables.figures_table(figures, [_dispatch(run, figures[run.name], known) for run in runs])
            ),
            "waits": asdict(tables.waits_table(figures)),
            "offenders": _offenders(longest, arguments=arguments),
            "facts": asdict(tables.facts_table(runs)),
        },
        "runs": documents,
        **({} if drawn_together is None else {"together": drawn_together}),
    }


def _offenders(longest: Mapping[str, Sequence[metrics.AvoidableWait]], *, arguments: bool) -> dict[str, Any]:
    worst = tables.worst_waits(longest)
    tasks = [one.attempt.task_id for _, one in worst]
    return {**asdict(tables.avoidable_waits_table(worst, arguments=arguments)), "tasks": tasks}


def workers_of(run: Run, attempts: Sequence[Attempt], workers: Sequence[Worker]) -> list[Worker]:
    """The workers that had an attempt of the run, and those that could have had one."""
    seen = {attempt.worker for attempt in attempts}
    # The lab names its workers after their run. Its runs of a pipeline all have the same queues.
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
    """The runs that have attempts, of the names asked for or all, with their attempts."""
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
            raise ProjError(f"The journal has no run {name!r} with attempts. Its runs are: {', '.join(there)}.")
    return [pair for pair in measured if not names or pair[0].name in names]


def _numbers(figures: metrics.Figures, attempts: Sequence[Attempt]) -> dict[str, float]:
    """The figures of a run for programs and for the scripts."""
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


def _dispatch(run: Run, figures: metrics.Figures, workers: Mapping[str, Worker]) -> str:
    """The dispatch mode of a run; where it has none, as in a recording, those of its workers."""
    if run.dispatch is not None:
        return run.dispatch
    modes = {workers[one.name].dispatch for one in figures.workers if one.name in workers}
    return ", ".join(sorted(mode for mode in modes if mode is not None)) or "not known"


def _over_runs(workers: Sequence[Worker], took_part: Mapping[str, int]) -> list[str]:
    """A sentence for each worker whose counts of adaptive dispatch are shown with several runs."""
    return [
        f"Window, messages in advance and given back of {worker.name} are of the whole journal, not of one run."
        for worker in workers
        if worker.given_back is not None and took_part.get(worker.name, 0) > 1
    ]


def _letters_by_queue(workers: Sequence[Worker]) -> dict[str, int]:
    """The dead letters that workers made, by queue, the most first."""
    made: Counter[str] = Counter()
    for worker in workers:
        made.update(dict(worker.letters or ()))
    return dict(made.most_common())


def _letters(made: Mapping[str, int]) -> str:
    """A sentence about them."""
    named = [f"{count:,} of {queue}" for queue, count in islice(made.items(), MOST_QUEUES)]
    others = f" and {counted(len(made) - len(named), 'more queue')}" if len(made) > len(named) else ""
    letters = counted(sum(made.values()), "dead letter")
    return (
        f"Workers counted {letters} in the whole journal: {', '.join(named)}{others}. Those that the broker made "
        "itself are not among them."
    )


def _actions(actions: Sequence[Action]) -> list[str]:
    """Sentences about what people did: the latest, and how many there were before."""
    notes = [
        f"{datetime.fromtimestamp(each.time, tz=timezone.utc).strftime('%Y-%m-%d %H:%M:%SZ')} {each}"
        for each in actions[-MOST_ACTIONS:]
    ]
    earlier = len(actions) - len(notes)
    return [*([f"{earlier:,} earlier actions of people are in the journal."] if earlier else []), *notes]


def _notes(workers: Sequence[Worker], gaps: Sequence[Gap]) -> list[str]:
    """Sentences about events that are missing and clocks that differ."""
    notes = [
        f"{worker.name} counted {worker.missing_events:,} task starts whose events did not reach the journal."
        for worker in workers
        if worker.missing_events
    ]
    notes += [
        f"The clock of {worker.name} differs from the recorder's by about {tables.seconds(worker.skew_s)}. "
        "Its waits in the broker are wrong by as much."
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
