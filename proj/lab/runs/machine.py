"""The machine and the versions of a run, as a journal keeps them."""

from __future__ import annotations

import os
import platform
import socket
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from proj.broker.management_api import Management


def machine(management: Management) -> dict[str, Any]:
    """This machine and the versions of what runs on it, in JSON types.

    Raises:
        NoManagement: the broker does not answer.
    """
    overview = management.request("GET", "overview")
    return {
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "python": platform.python_version(),
        "celery": version("celery"),
        "kombu": version("kombu"),
        "rabbitmq": overview["rabbitmq_version"],
        "erlang": overview["erlang_version"],
    }
