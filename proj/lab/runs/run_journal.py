"""Writes the attempts and samples of one run into a journal while it runs."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from proj.journal.attempt import Attempt
    from proj.journal.recording.listener import Listener
    from proj.journal.writer import JournalWriter
    from proj.lab.runs.depth_sampler import DepthSampler

#: Seconds between two writes to the journal; a kill of the lab loses at most so much.
SAVE_INTERVAL_S = 1.0


class RunJournal:
    """The attempts and samples of one run, and which of them are written already."""

    def __init__(
        self,
        run: str,
        *,
        listener: Listener,
        samplers: Sequence[DepthSampler],
        writer: JournalWriter,
        tasks: Mapping[str, str],
    ) -> None:
        """Take the sources of attempts and samples.

        Args:
            run: the name of the run.
            listener: receives the workers' events.
            samplers: one for each queue.
            writer: writes the journal.
            tasks: the name of each task of the run, by task id; it may grow.
        """
        self._run = run
        self._listener = listener
        self._samplers = samplers
        self._writer = writer
        self._tasks = tasks
        self._saved: dict[tuple[str, int], Attempt] = {}
        self._saved_samples = [0] * len(samplers)
        self._save_time = 0.0

    def attempts(self) -> list[Attempt]:
        """The attempts at the run's tasks so far."""
        return [
            replace(attempt, run=self._run, name=attempt.name or self._tasks[attempt.task_id])
            for attempt in self._listener.attempts
            if attempt.task_id in self._tasks
        ]

    def save(self) -> None:
        """Write the attempts and samples that are new or have changed."""
        changed = [
            attempt for attempt in self.attempts() if self._saved.get((attempt.task_id, attempt.number)) != attempt
        ]
        self._writer.put_attempts(changed)
        for place, sampler in enumerate(self._samplers):
            samples = sampler.samples
            self._writer.put_samples(samples[self._saved_samples[place] :])
            self._saved_samples[place] = len(samples)
        self._writer.commit()
        self._saved.update({(attempt.task_id, attempt.number): attempt for attempt in changed})

    def save_seldom(self) -> None:
        """Save when `SAVE_INTERVAL_S` has passed since the last time."""
        now = time.time()
        if now >= self._save_time:
            self._save_time = now + SAVE_INTERVAL_S
            self.save()

    def finish(self) -> None:
        """Replace what was written by the final state of each attempt, and end the run."""
        self._writer.replace_attempts(self.attempts())
        self.save()
        self._writer.end_run(self._run, time.time())
        self._writer.commit()
