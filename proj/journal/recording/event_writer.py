"""Event writer: writes what events report into a journal."""

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
    """Writes events into a journal. Repeated events, or another order, leave the same journal.

    It keeps no attempt in memory: the attempts of the tasks in a batch are read from the file, updated and written. So
    a recording may last for any time, and a new writer continues where a killed one ended.
    """

    def __init__(self, writer: JournalWriter, *, run: str | None = None) -> None:
        """Write with `writer`; new attempts belong to `run`."""
        self._writer = writer
        self._run = run
        self._heartbeats = Heartbeats(writer.journal.heartbeats())
        #: The queue of each worker that serves only one: its attempts came from there.
        self._queue_of = {
            worker.name: worker.queues[0] for worker in writer.journal.workers() if len(worker.queues) == 1
        }
        #: Workers that sent their first event, or `worker-online`, and should be asked for slots, queues and dispatch.
        self.unknown_workers: set[str] = set()
        #: Events that were written.
        self.written = 0
        #: Events that were malformed, or neither of a task nor of a worker.
        self.ignored = 0

    def write_workers(self, workers: Iterable[Worker]) -> None:
        """Write what workers report of themselves; the caller commits."""
        workers = list(workers)
        self._queue_of.update({worker.name: worker.queues[0] for worker in workers if len(worker.queues) == 1})
        self._writer.put_workers(workers)

    def write(self, events: Iterable[tuple[float, object]], runs: Mapping[str, str] = _NO_RUNS) -> None:
        """Write events, each with the time of its receipt in seconds since the epoch; the caller commits.

        New attempts of a task whose id is in `runs` belong to that run.
        """
        tasks: dict[str, list[TaskEvent]] = {}
        heartbeats: list[tuple[float, WorkerEvent]] = []
        for received, event in events:
            known = parsed(event)
            if isinstance(known, TaskEvent):
                tasks.setdefault(known.task_id, []).append(known)
            elif known is not None:
                heartbeats.append((received, known))
            else:
                self.ignored += 1
                continue
            self.written += 1
        self._write_attempts(tasks, runs)
        for received, heartbeat in heartbeats:
            self._write_heartbeat(heartbeat, received)
        changed = self._heartbeats.pop_changed()
        self._writer.put_workers(state.as_worker for state in changed)
        self._writer.put_heartbeats(changed)

    def _write_attempts(self, tasks: dict[str, list[TaskEvent]], runs: Mapping[str, str]) -> None:
        known = self._writer.journal.attempts_of(tasks)
        extended: list[Attempt] = []
        replaced: list[Attempt] = []
        for task_id, events in tasks.items():
            before = known.get(task_id, [])
            run = runs.get(task_id, self._run)
            after = [self._with_run_and_queue(attempt, run) for attempt in updated_attempts(before, events)]
            if after != before:
                (extended if extends(after, before) else replaced).extend(after)
                self._count_starts(before, after)
        self._writer.put_attempts(extended)
        if replaced:
            self._writer.replace_attempts(replaced)

    def _with_run_and_queue(self, attempt: Attempt, run: str | None) -> Attempt:
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

    def _write_heartbeat(self, event: WorkerEvent, received: float) -> None:
        if event.kind == "online" or event.worker not in self._heartbeats:
            self.unknown_workers.add(event.worker)
        state = self._heartbeats.follow(event.worker)
        if state is not None:
            gap = state.add_event(event, received)
            if gap is not None:
                self._writer.put_gaps([gap])
