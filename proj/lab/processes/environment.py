"""The environment of a process that the lab starts."""

from __future__ import annotations

import os

#: Variables that the user may have set for workers of their own. Processes of the lab do not inherit them.
_PREFIXES = ("CELERY_", "FLOWER_", "PROJ_")
#: The variables among these that every process of the lab does inherit.
_SHARED = ("PROJ_QUEUE_TYPE", "PROJ_RABBITMQ", "PROJ_BROKERS")


def child_environment(**settings: str) -> dict[str, str]:
    """This process's environment, with `settings` in place of all settings of Celery, Flower and proj."""
    inherited = {name: value for name, value in os.environ.items() if name in _SHARED or not name.startswith(_PREFIXES)}
    return {**inherited, "PYTHONUNBUFFERED": "1", **settings}
