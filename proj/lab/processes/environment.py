"""The environment of a process that the lab starts."""

from __future__ import annotations

import os

#: What a user may have set for workers of their own, which ours must not take up.
_PREFIXES = ("CELERY_", "FLOWER_", "PROJ_")
#: Of these, what holds for every process of a lab alike.
_SHARED = ("PROJ_QUEUE_TYPE", "PROJ_RABBITMQ", "PROJ_BROKERS")


def child_environment(**settings: str) -> dict[str, str]:
    """Ours without the settings of Celery, Flower and proj, with `settings` instead."""
    inherited = {name: value for name, value in os.environ.items() if name in _SHARED or not name.startswith(_PREFIXES)}
    return {**inherited, "PYTHONUNBUFFERED": "1", **settings}
