"""The event_writer: writes what events tell into a journal, and knows nothing that is not in it or in them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from proj.journal.attempts import extends, updated_attempts
from proj.journal.event import TaskEvent, WorkerEvent, parsed
from proj.journal.heartbeats import Heartbeats

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from proj.journal.attempt import Attempt
    from proj.journal.records import Worker
    from proj.journal.writer import JournalWriter


_NO_RUNS: Mapping[str, str] = {}


class EventWriter:
    """Adds events to a journal: told again or in another order, they leave the same journal.

    It keeps no attempt in memory. Those that events touch are read from the file, told again, and written;
    so a recording can be endless, and a new event_writer goes on where a killed one ended.
    """

    def __init__(self, writer: JournalWriter, *, run: str | None = None) -> None:
        """Write with `writer`; new attempts belong to `run`."""
        self._writer = writer
        self._run = run
        self._heartbeats = Heartbeats(writer.journal.heartbeats())
        #: The queue of each worker that has only one: then it is known where its tasks came from.
        self._queue_of = {
            worker.name: worker.queues[0] for worker in writer.journal.workers() if len(worker.queues) == 1
        }
        #: Workers that were not heard of before, or have begun anew.
        self.unknown_workers: set[str] = set()
        #: Events that were taken, and those that were malformed or of no interest.
        self.taken = 0
        self.ignored = 0

    def write_workers(self, workers: Iterable[Worker]) -> None:
        """Write what workers said of themselves."""
        workers = list(workers)
        self._queue_of.update({worker.name: worker.queues[0] for worker in workers if len(worker.queues) == 1})
        self._writer.put_workers(workers)

    def write(self, heard: Iterable[tuple[float, object]], runs: Mapping[str, str] = _NO_RUNS) -> None:
        """Put into the journal what events tell, each with the time at which it was heard; it is for you to commit.

        New attempts of tasks whose id is in `runs` belong to that run.
        """
        tasks: dict[str, list[TaskEvent]] = {}
        beats: list[tuple[float, WorkerEvent]] = []
        for time, told in heard:
            event = parsed(told)
            if isinstance(event, TaskEvent):
                tasks.setdefault(event.task_id, []).append(event)
            elif event is not None:
                beats.append((time, event))
            else:
                self.ignored += 1
                continue
            self.taken += 1
        self._write_attempts(tasks, runs)
        for time, beat in beats:
            self._write_beat(beat, time)
        heartbeats = list(self._heartbeats.changed())
        self._writer.put_workers(state.as_worker for state in heartbeats)
        self._writer.put_heartbeats(heartbeats)

    def _write_attempts(self, tasks: dict[str, list[TaskEvent]], runs: Mapping[str, str]) -> None:
        known = self._writer.journal.attempts_of(tasks)
        filled: list[Attempt] = []
        replaced: list[Attempt] = []
        for task_id, events in tasks.items():
            before = known.get(task_id, [])
            after = [
                self._placed(attempt, runs.get(task_id, self._run)) for attempt in updated_attempts(before, events)
            ]
            if after != before:
                (filled if extends(after, before) else replaced).extend(after)
                self._count_starts(before, after)
        self._writer.put_attempts(filled)
        if replaced:
            self._writer.replace_attempts(replaced)

    def _placed(self, attempt: Attempt, run: str | None) -> Attempt:
        run = attempt.run or run
        queue = attempt.queue or self._queue_of.get(attempt.worker or "")
        return attempt if (run, queue) == (attempt.run, attempt.queue) else replace(attempt, run=run, queue=queue)

    def _count_starts(self, before: Sequence[Attempt], after: Sequence[Attempt]) -> None:
        counted = {(attempt.worker, attempt.started) for attempt in before}
        for attempt in after:
            if attempt.worker is None or attempt.started is None or (attempt.worker, attempt.started) in counted:
                continue
            if attempt.worker not in self._heartbeats:
                self.unknown_workers.add(attempt.worker)
            state = self._heartbeats.follow(attempt.worker)
            if state is not None:
                state.count_start(attempt.started)

    def _write_beat(self, beat: WorkerEvent, heard: float) -> None:
        if beat.kind == "online" or beat.worker not in self._heartbeats:
            self.unknown_workers.add(beat.worker)
        state = self._heartbeats.follow(beat.worker)
        if state is not None and beat.kind != "offline":
            gap = state.add_heartbeat(beat, heard)
            if gap is not None:
                self._writer.put_gaps([gap])
