"""Messages whose tasks lie in the pipes of the pool's processes, where each process finds its next one at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery.worker import state

from proj.delivery.pool import in_advance

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu.asynchronous.semaphore import LaxBoundedSemaphore

    from proj.delivery.consuming.consumer import Consumer
    from proj.delivery.consuming.receiving import KeptMessage
    from proj.delivery.pool.stock import Job


class InPipes:
    """Those of one worker; none has begun, as far as its loop knows."""

    def __init__(self, consumer: Consumer, on_next: Callable[[KeptMessage], object]) -> None:
        """Call `on_next` with a message that its process takes next."""
        self._consumer = consumer
        self._on_next = on_next
        #: With the time of their arrival and the pool's job, the oldest first.
        self._messages: dict[KeptMessage, tuple[float, Job]] = {}
        #: The same, by that job.
        self._of_job: dict[Job, KeptMessage] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._messages)

    def __contains__(self, message: object) -> bool:
        """Whether the message is there."""
        return message in self._messages

    @property
    def since(self) -> float | None:
        """When the oldest one arrived; None when there is none."""
        return next((arrived for arrived, _job in self._messages.values()), None)

    @property
    def has_room(self) -> bool:
        """Whether the pool takes one more."""
        pool = self._pool
        return pool is not None and pool.has_room

    def give(self, message: KeptMessage, arrived: float) -> bool:
        """Give the message to the pool; whether it has it, or something else became of it."""
        semaphore: Any = self._semaphore
        waiting = semaphore._waiting  # noqa: SLF001 no public name
        before = len(waiting)
        self._consumer.run(message)
        if len(waiting) > before:
            # Celery lets it wait until a process is free.
            call, args, kwargs = waiting.pop()
            call(*args, **kwargs)
        pool, job = self._pool, _job_of(message)
        if pool is None or job is None:
            return False
        self._messages[message] = arrived, job
        self._of_job[job] = message
        pool.on_next = self._job_is_next
        pool.write_in_advance(job)
        return True

    def move_one(self) -> bool:
        """Give a free process the next task of another one; whether there was one."""
        pool = self._pool
        return pool is not None and bool(self._messages) and pool.move_one()

    def take_back(self, queue: str | None = None) -> list[KeptMessage]:
        """Take back all of the queue, or of all, that no process has read; `on_next` is called with the others."""
        wanted = {
            job: message for job, message in self._of_job.items() if queue is None or message.delivery.home == queue
        }
        taken = self._take_back(wanted.__contains__)
        for message in wanted.values():
            if self.remove(message):
                self._on_next(message)
        return taken

    def drop_revoked(self) -> None:
        """Let Celery settle those of revoked tasks, as far as no process has read them."""
        for message in self._take_back(self._may_be_revoked):
            self._consumer.run(message)

    def _take_back(self, wanted: Callable[[Job], bool]) -> list[KeptMessage]:
        if not self._messages or (pool := self._pool) is None:
            return []
        taken = []
        for job in pool.take_back(wanted):
            message = self._of_job.get(job)
            if message is not None and self.remove(message):
                taken.append(message)
                state.task_ready(message.request)
                message.request = None
                # Its end would have done so. More releases than acquisitions are ignored.
                self._semaphore.release()
        return taken

    def _may_be_revoked(self, job: Job) -> bool:
        message = self._of_job.get(job)
        if message is None:
            return False
        request: Any = message.request
        return request.id in state.revoked or bool(state.revoked_stamps and request.stamped_headers)

    def clear(self) -> list[KeptMessage]:
        """Forget all of them."""
        messages = list(self._messages)
        self._messages.clear()
        self._of_job.clear()
        return messages

    def remove(self, message: KeptMessage) -> bool:
        """Forget the message, which was run; whether it was there."""
        known = self._messages.pop(message, None)
        if known is None:
            return False
        del self._of_job[known[1]]
        return True

    @property
    def _semaphore(self) -> LaxBoundedSemaphore:
        """With which Celery gives the pool as many tasks as it has processes."""
        controller: Any = self._consumer.controller
        semaphore: LaxBoundedSemaphore = controller.semaphore
        return semaphore

    @property
    def _pool(self) -> in_advance.AsynPool | None:
        pool = getattr(self._consumer.pool, "_pool", None)
        return pool if isinstance(pool, in_advance.AsynPool) else None

    def _job_is_next(self, job: Job) -> None:
        message = self._of_job.get(job)
        if message is not None and self.remove(message):
            self._on_next(message)


def _job_of(message: KeptMessage) -> Job | None:
    """The pool's job of the message; None when it has none."""
    reference: Callable[[], Job | None] | None = getattr(message.request, "_apply_result", None)
    return None if reference is None else reference()
