"""Snapshot: everything that the page shows of one run, as JSON."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from proj.dashboard.live.early_losses import loss_notes, with_losses
from proj.dashboard.live.groups import group_status, groups, records, worst
from proj.dashboard.live.now.facts import oldest_of
from proj.dashboard.live.queue_status import contradictions, queue_statuses
from proj.dashboard.live.runs import MOST_RUNS
from proj.dashboard.live.status import EventCounts, Readings
from proj.dashboard.live.workers import MOST_WORKERS
from proj.delivery.dead_letters.destinations import sentence
from proj.journal.records import Run
from proj.metrics import Record, hoards
from proj.plural import counted
from proj.report.document import MeasuredRun, document_of_runs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from proj.dashboard.live.runs import LiveRun
    from proj.dashboard.live.state import State
    from proj.dashboard.live.status import QueueStatus
    from proj.journal.attempt import Attempt
    from proj.journal.records import Worker

FORMAT = "proj-dispatch"
VERSION = 1
#: The latest gaps that are listed, and workers whose lost events are.
MOST_GAPS = 10
MOST_LOST = 100
#: Workers that hold too many messages and are named.
MOST_HOARDS = 5


def snapshot(
    state: State, run: str | None, counts: EventCounts, *, origin: dict[str, Any], now: float
) -> tuple[bytes, bool]:
    """The page's JSON of the named run, or of the newest one, and whether that run goes on.

    `origin` has generation, source and journal, which never change.
    """
    began = time.perf_counter()
    is_open, listed = _runs(state, now)
    chosen = state.runs[run] if run is not None and run in is_open else None
    if chosen is None and is_open:
        chosen = state.runs[next(iter(is_open))]
    goes_on = chosen is not None and is_open[chosen.name]
    shown = _NO_RUN if chosen is None else _run(state, chosen, now, is_open=goes_on)
    document = {
        "format": FORMAT,
        "version": VERSION,
        **origin,
        "as_of": round(now, 3),
        "runs": listed,
        "run": None if chosen is None else chosen.name,
        "open": goes_on,
        **shown,
        "queues": [asdict(queue) for queue in queues(state, counts, now)],
        "events": asdict(counts),
        "notes": [*_left_out(shown["groups_left_out"]), *_notes(state, now)],
        "took_s": 0.0,
    }
    document["took_s"] = round(time.perf_counter() - began, 4)
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode(), goes_on


_NO_RUN: dict[str, Any] = {"kept": {"attempts": 0, "of": 0}, "groups_left_out": 0, "groups": [], "report": None}


def readings(state: State, counts: EventCounts, now: float) -> Readings:
    """What /metrics shows: figures of all attempts in memory, whatever their run."""
    every = (attempt for _, task in state.history for attempt in task.attempts)
    attempts = with_losses(every, state.workers, now)
    workers = {worker.name: worker for worker in state.workers.at(now)}
    found = groups(attempts, workers)
    return Readings(
        groups=tuple(
            group_status(
                group, workers, lambda name: state.workers.is_alive(name, now), state.workers.adaptive, now=now
            )
            for group in found
        ),
        queues=tuple(queues(state, counts, now)),
        events=counts,
        depths=state.fresh_broker(now).depths or {},
        consuming=_consuming(state, workers.values(), now),
        oldest_s={queue: max(0.0, now - since) for queue, since in oldest_of(state, now).items()},
        results_lost=state.workers.results_lost(now),
        dead_letters=state.dead_letters,
        broker_answers=state.broker.answers,
        broker_alarm=state.broker.alarm,
    )


def _consuming(state: State, workers: Iterable[Worker], now: float) -> dict[str, frozenset[str]]:
    """The workers of each queue that are alive."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for worker in workers:
        if state.workers.is_alive(worker.name, now) is not False:
            for queue in worker.queues:
                found[queue].add(worker.name)
    return {queue: frozenset(names) for queue, names in found.items()}


def queues(state: State, counts: EventCounts, now: float) -> list[QueueStatus]:
    """The status of each queue."""
    return queue_statuses(state.history, state.workers, state.fresh_broker(now), lost=counts.lost, now=now)


def event_counts(state: State, *, heard: int, refused: int, dropped: int) -> EventCounts:
    """The counts of events, including those that are known to be lost."""
    lost = state.workers.lost_events()
    return EventCounts(
        heard=heard,
        refused=refused,
        dropped=dropped + state.history.dropped,
        lost=sum(one.lost for one in lost),
        lost_by_worker=lost[:MOST_LOST],
    )


def workers_of_run(state: State, run: LiveRun, attempts: Sequence[Attempt], now: float) -> dict[str, Worker]:
    """The workers that had an attempt of the run or were alive during it, by name, as they were then."""
    had = {attempt.worker for attempt in attempts}
    until = max(run.heard, run.began)
    return {
        worker.name: worker
        for worker in state.workers.at(min(now, until))
        if worker.name in had or state.workers.was_present(worker.name, run.began, until)
    }


def _runs(state: State, now: float) -> tuple[dict[str, bool], list[dict[str, Any]]]:
    """Whether each run with attempts is open, newest first; and the same runs as the page lists them."""
    open_ = dict.fromkeys(state.stored_runs, False)
    for _, task in state.history:
        if not open_.get(task.run):
            open_[task.run] = state.live and task.open and state.history.is_open(task, now)
    newest = sorted((run for run in state.runs if run.name in open_), key=lambda run: -run.began)[:MOST_RUNS]
    listed = [
        {
            "name": run.name,
            "began": round(run.began, 3),
            "ended": None if open_[run.name] else round(run.heard, 3),
            "attempts": run.attempts,
            "marked": run.marked,
        }
        for run in newest
    ]
    return {run.name: open_[run.name] for run in newest}, listed


def _run(state: State, run: LiveRun, now: float, *, is_open: bool) -> dict[str, Any]:
    attempts = with_losses(state.history.attempts(run.name), state.workers, now)
    workers = workers_of_run(state, run, attempts, now)
    every = groups(attempts, workers)
    depths = state.fresh_broker(now).depths or {}
    found = worst(every, {name: depth.ready for name, depth in depths.items()})
    measured = records(found, attempts, workers, until=now if is_open else None, gaps=state.gaps_until(now))
    measured_runs = [
        MeasuredRun(
            run=Run(name=group.name, dispatch=group.dispatch, began=run.began),
            record=record,
            samples=state.samples(group.queue),
        )
        for group, record in zip(found, measured, strict=True)
        if group.attempts
    ]
    until = now if is_open else run.heard
    gaps = [gap for gap in state.gaps_until(now) if gap.ended >= run.began and gap.began <= until][-MOST_GAPS:]
    report = (
        document_of_runs(
            measured_runs,
            list(workers.values()),
            gaps,
            title=run.name,
            arguments=False,
            together=_together(run, measured_runs, workers, until=now if is_open else None),
        )
        if measured_runs
        else None
    )
    if report is not None and is_open:
        report["live"] = True
    return {
        "kept": {"attempts": len(attempts), "of": max(run.attempts, len(attempts))},
        "groups_left_out": len(every) - len(found),
        "groups": [
            asdict(
                group_status(
                    group,
                    workers,
                    lambda name: state.workers.is_alive(name, now),
                    state.workers.adaptive,
                    now=until,
                    is_open=is_open,
                )
            )
            for group in found
        ],
        "report": report,
    }


def _together(
    run: LiveRun, measured_runs: Sequence[MeasuredRun], workers: Mapping[str, Worker], *, until: float | None
) -> MeasuredRun | None:
    """The attempts of all groups, if a worker has attempts in several of them."""
    had = Counter(
        name for one in measured_runs for name in {span.attempt.worker for span in one.record.spans} if name is not None
    )
    if all(groups_of_worker == 1 for groups_of_worker in had.values()):
        return None
    attempts = [attempt for one in measured_runs for attempt in one.record.attempts]
    taking_part = [worker for name, worker in workers.items() if name in had]
    record = Record.of(attempts, taking_part, until=until)
    return MeasuredRun(run=Run(name="all queues", dispatch=None, began=run.began), record=record, samples=())


def _left_out(groups_left_out: int) -> list[str]:
    if not groups_left_out:
        return []
    left_out, be = counted(groups_left_out, "group"), "is" if groups_left_out == 1 else "are"
    return [f"{left_out} of a queue and a mode {be} not shown: those with the fewest waiting messages and tasks."]


def _notes(state: State, now: float) -> list[str]:
    broker = state.fresh_broker(now)
    notes = [note for note in (state.problem, broker.doubt) if note is not None]
    if state.workers.overflowed:
        notes.append(f"There are more than {MOST_WORKERS:,} workers; the others are not shown.")
    workers = [worker for worker in state.workers.at(now) if state.workers.is_alive(worker.name, now) is not False]
    reported = [(queue, one.dispatch) for one in workers if one.dispatch is not None for queue in one.queues]
    consumed = {queue for one in workers for queue in one.queues}
    lost = sentence({queue: why for queue, why in broker.dropped.items() if queue in consumed})
    notes += [] if lost is None else [lost]
    latest = (task.attempts[-1] for _, task in state.history)
    return [
        *notes,
        *loss_notes(latest, state.workers, now),
        *contradictions(reported, broker.windows or {}),
        *_hoards(state, workers, now),
    ]


def _hoards(state: State, workers: Sequence[Worker], now: float) -> list[str]:
    """A sentence for each worker that holds more messages than it has slots."""
    if not state.live:
        return []
    held = [task.attempts[-1] for _, task in state.history if state.history.is_open(task, now)]
    return [hoard.sentence(now=True) for hoard in hoards(held, workers, until=now)[:MOST_HOARDS]]
