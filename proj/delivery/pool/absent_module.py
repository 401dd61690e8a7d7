"""A module that is not installed, and that Python then does not look for again.

kombu tries to import `librabbitmq` for each connection to RabbitMQ, and holds the import lock of this name while it
looks for it. A pool process that is forked while a thread of the worker's main process does so inherits the lock, and
not the thread that would release it: its first connection, and with it its task, waits for ever.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from types import ModuleType

#: Imported by `kombu.transport.supports_librabbitmq`.
LIBRABBITMQ = "librabbitmq"


def look_once(name: str) -> None:
    """Import a module now, or let every later import of it fail at once, without a lock.

    Source: https://docs.python.org/3/reference/import.html#the-module-cache (a value of None)
    """
    try:
        importlib.import_module(name)
    except ImportError:
        cast("dict[str, ModuleType | None]", sys.modules)[name] = None
