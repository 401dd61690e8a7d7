"""The snapshot: everything that the page shows of one run, as JSON."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from proj.dashboard.live.groups import groups, records, standing
from proj.dashboard.live.queue_status import contradictions, standings
from proj.dashboard.live.runs import MOST_RUNS
from proj.dashboard.live.status import EventCounts, Readings
from proj.journal.records import Run
from proj.report.document import MeasuredRun, document_of_runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proj.dashboard.live.runs import Stretch
    from proj.dashboard.live.state import Scene
    from proj.journal.attempt import Attempt
    from proj.journal.records import Worker

FORMAT = "proj-dispatch"
VERSION = 1
#: Gaps that are told of, the latest; and workers whose lost events are.
MOST_GAPS = 10
MOST_LOST = 100


def snapshot(
    scene: Scene, run: str | None, counts: EventCounts, *, origin: dict[str, Any], now: float
) -> tuple[bytes, bool]:
    """The page's JSON for the run of that name, or the newest, and whether that goes on.

    `origin` is generation, source and journal, which stay the same.
    """
    began = time.perf_counter()
    listed, told = _runs(scene, now)
    stretch = scene.runs[run] if run is not None and run in listed else None
    if stretch is None and listed:
        stretch = scene.runs[next(iter(listed))]
    is_open = stretch is not None and listed[stretch.name]
    shown = _NOTHING if stretch is None else _shown(scene, stretch, now, is_open=is_open)
    document = {
        "format": FORMAT,
        "version": VERSION,
        **origin,
        "as_of": round(now, 3),
        "runs": told,
        "run": None if stretch is None else stretch.name,
        "open": is_open,
        **shown,
        "queues": [asdict(queue) for queue in queues_of(scene, counts, now)],
        "events": asdict(counts),
        "notes": _notes(scene, now),
        "took_s": 0.0,
    }
    document["took_s"] = round(time.perf_counter() - began, 4)
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode(), is_open


_NOTHING: dict[str, Any] = {"kept": {"attempts": 0, "of": 0}, "groups": [], "report": None}


def readings(scene: Scene, counts: EventCounts, now: float) -> Readings:
    """What /metrics tells: of all attempts in memory, whatever their run."""
    attempts = [attempt for _, task in scene.history for attempt in task.attempts]
    workers = {worker.name: worker for worker in scene.crew.records(now)}
    found = groups(attempts, workers)
    return Readings(
        groups=tuple(standing(group, workers, lambda name: scene.crew.alive(name, now), now=now) for group in found),
        queues=tuple(queues_of(scene, counts, now)),
        events=counts,
    )


def queues_of(scene: Scene, counts: EventCounts, now: float) -> list[Any]:
    """How each queue stands."""
    return standings(scene.history, scene.crew, scene.open_view(now), lost=counts.lost, now=now)


def event_counts(scene: Scene, *, heard: int, refused: int, dropped: int) -> EventCounts:
    """The counts of events, with those that are known to be lost."""
    lost = scene.crew.lost()
    return EventCounts(
        heard=heard,
        refused=refused,
        dropped=dropped + scene.history.dropped,
        lost=sum(one.lost for one in lost),
        lost_by_worker=lost[:MOST_LOST],
    )


def crew_of(scene: Scene, stretch: Stretch, attempts: Sequence[Attempt], now: float) -> dict[str, Worker]:
    """The workers that had an attempt of a run, and those that were there while it lasted; as they were then."""
    had = {attempt.worker for attempt in attempts}
    until = max(stretch.heard, stretch.began)
    return {
        worker.name: worker
        for worker in scene.crew.records(min(now, until))
        if worker.name in had or scene.crew.there(worker.name, stretch.began, until)
    }


def _runs(scene: Scene, now: float) -> tuple[dict[str, bool], list[dict[str, Any]]]:
    """Whether each run with attempts in memory is open, newest first; and the same for the page."""
    open_ = dict.fromkeys(scene.elsewhere, False)
    for _, task in scene.history:
        if not open_.get(task.run):
            open_[task.run] = scene.live and task.open and scene.history.is_open(task, now)
    newest = sorted((one for one in scene.runs if one.name in open_), key=lambda one: -one.began)[:MOST_RUNS]
    told = [
        {
            "name": one.name,
            "began": round(one.began, 3),
            "ended": None if open_[one.name] else round(one.heard, 3),
            "attempts": one.attempts,
            "marked": one.marked,
        }
        for one in newest
    ]
    return {one.name: open_[one.name] for one in newest}, told


def _shown(scene: Scene, stretch: Stretch, now: float, *, is_open: bool) -> dict[str, Any]:
    attempts = scene.history.attempts(stretch.name)
    workers = crew_of(scene, stretch, attempts, now)
    found = groups(attempts, workers)
    measured = records(found, attempts, workers, until=now if is_open else None)
    measured_runs = [
        MeasuredRun(
            run=Run(name=group.name, dispatch=group.dispatch, began=stretch.began),
            record=record,
            samples=scene.samples(group.queue),
        )
        for group, record in zip(found, measured, strict=True)
        if group.attempts
    ]
    ended = now if is_open else stretch.heard
    gaps = [gap for gap in scene.gaps if gap.ended >= stretch.began and gap.began <= ended][-MOST_GAPS:]
    at = now if is_open else stretch.heard
    report = (
        document_of_runs(measured_runs, list(workers.values()), gaps, title=stretch.name, arguments=False)
        if measured_runs
        else None
    )
    if report is not None and is_open:
        report["live"] = True
    return {
        "kept": {"attempts": len(attempts), "of": max(stretch.attempts, len(attempts))},
        "groups": [
            asdict(standing(group, workers, lambda name: scene.crew.alive(name, now), now=at)) for group in found
        ],
        "report": report,
    }


def _notes(scene: Scene, now: float) -> list[str]:
    view = scene.open_view(now)
    notes = [note for note in (scene.trouble, view.doubt) if note is not None]
    if scene.crew.overflowed:
        notes.append("More workers told of themselves than can be followed; some are not known.")
    told = [
        (queue, worker.dispatch)
        for worker in scene.crew.records(now)
        if worker.dispatch is not None and scene.crew.alive(worker.name, now) is not False
        for queue in worker.queues
    ]
    return notes + contradictions(told, view.windows or {})
