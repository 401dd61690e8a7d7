"""The prefork pool whose shutdown waits for every task that a pool process was given, and for no other.

When stock Celery begins a warm shutdown, it forgets the tasks that were written to a pool process and that the process
has not accepted yet. The process runs them all the same. Nobody acknowledges them, so they are run twice. Nobody reads
that they were accepted either, so the process waits 30 s for that (`billiard.pool.Worker._ensure_messages_consumed`).

At a cold shutdown, stock Celery waits in its signal handler until every task has a result. The loop no longer runs
then, so a task that it has not written to its end never has one, and the worker never ends.

The worker's banner and `inspect stats` name a pool by its module, so this one keeps the name of Celery's.
"""

from __future__ import annotations

import inspect
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from billiard.pool import CLOSE
from celery.concurrency import prefork

from proj.delivery.pool import in_advance
from proj.delivery.pool.absent_module import LIBRABBITMQ, look_once
from proj.delivery.pool.stock import process_of, writer_of

if TYPE_CHECKING:
    from collections.abc import Generator

    from proj.delivery.pool.stock import Job

logger = logging.getLogger(__name__)


class AsynPool(in_advance.AsynPool):
    """Celery's pool of processes, which finishes what it has begun to write when it closes."""

    def join(self) -> None:
        """Wait for the tasks that pool processes were given whole, and forget the others, which come again."""
        if self._state == CLOSE:
            for job in tuple(self._cache.values()):
                process = process_of(job)
                if process is None:
                    job.discard()
                elif is_unfinished(_generator_of(job)):
                    # The signal may have interrupted this writer, so it cannot go on before the handler returns. The
                    # process has a part of the task, and would wait for the rest for ever.
                    job.discard()
                    _end_pipe(writer_of(process.inq).fileno())
                    process.terminate()
        super().join()

    def flush(self) -> None:
        """Forget the tasks of which no process has a byte, and write the others to their end.

        Celery calls this when the consumer's connection is lost, too. The pool is open then and the broker delivers
        every message again, so that case is Celery's own.
        """
        if self._state != CLOSE:
            super().flush()
            return
        self.take_back()
        given = {number: job for number, job in self._cache.items() if process_of(job) is not None}
        if given:
            logger.info(
                "Warm shutdown waits for tasks that pool processes were given: %d.",
                len(given),
                extra={"action": "warm_shutdown_waits", "tasks": len(given)},
            )
        for job in given.values():
            if writer := _generator_of(job):
                # A process that is sent only a part of a message would read for ever.
                self._flush_writer(process_of(job), writer)
        # Celery's forgets the tasks that are not accepted, those given too.
        super().flush()
        self._cache.update(given)


def _generator_of(job: Job) -> Generator[None] | None:
    """What writes the task, which a process was given; None when all is written."""
    return job._writer()  # noqa: SLF001 no public name


def is_unfinished(writer: Generator[None] | None) -> bool:
    """Whether it has something left to write; a finished one may still be there."""
    return writer is not None and inspect.getgeneratorstate(writer) != inspect.GEN_CLOSED


def _end_pipe(fd: int) -> None:
    """End the pipe for its reader; the descriptor stays, because the pool takes it out of the loop later."""
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), fd)


class TaskPool(prefork.TaskPool):
    """Celery's prefork pool over that."""

    Pool = AsynPool

    def on_start(self) -> None:
        """Start the processes, none of which waits for an import that a thread of this process had begun."""
        look_once(LIBRABBITMQ)
        super().on_start()
