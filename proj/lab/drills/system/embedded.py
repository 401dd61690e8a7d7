"""A process of someone's own with a worker in a thread, as tests of Celery apps have it; SIGUSR2 begins another one."""

from __future__ import annotations

import faulthandler
import signal
import sys
from typing import TYPE_CHECKING, Any

from celery.contrib.testing.worker import start_worker

from proj.lab.drills.system.tasks import app

if TYPE_CHECKING:
    from celery import Celery

#: What it prints when a worker has begun.
BEGUN = "A worker has begun in a thread."
#: The signal at which the worker ends, and another one begins in the same process.
NEXT = signal.SIGUSR2
#: Seconds that the end of a worker may take.
_END_TIMEOUT_S = 30.0


def main() -> None:
    """Run one worker after the other until the process is killed."""
    node, slots, *settings = sys.argv[1:]
    app.config_from_cmdline(settings, namespace="worker")
    run_workers(app, hostname=node, concurrency=int(slots))


def run_workers(app: Celery, **options: Any) -> None:  # noqa: ANN401 they are the worker's
    """Run one worker after the other, each with these options, until the process is killed."""
    faulthandler.register(signal.SIGUSR1)
    # Before the first thread, which inherits the mask: then the signal waits for `sigwait`.
    signal.pthread_sigmask(signal.SIG_BLOCK, {NEXT})
    while True:
        with start_worker(
            app,
            pool="threads",
            loglevel="INFO",
            perform_ping_check=False,
            shutdown_timeout=_END_TIMEOUT_S,
            **options,
        ):
            print(BEGUN, flush=True)
            signal.sigwait({NEXT})


if __name__ == "__main__":
    main()
