"""The end of the dashboard's process, also while a thread of Flower's waits for a broker that is away.

Flower publishes in threads of an executor, and kombu tries that again for ever. Python waits for these threads when the
process ends, so Ctrl-C would have no effect until the broker is back.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time

#: Seconds for which threads may end by themselves.
TIMEOUT_S = 2.0

logger = logging.getLogger(__name__)


def end_without_threads(timeout_s: float = TIMEOUT_S) -> None:
    """Return when no thread would keep the process from ending; end it with status 0 if one still does.

    Everything that has to be saved must be saved before.
    """
    until = time.monotonic() + timeout_s
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                logger.warning(
                    "The dashboard ends while its thread %s waits, probably for the broker.",
                    thread.name,
                    extra={"action": "dashboard_ended_with_thread"},
                )
                logging.shutdown()
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(0)
