"""Our app; each of its connections begins with the first of several URLs, so that a test knows which node to kill."""

from __future__ import annotations

import random

from proj.celery import app

__all__ = ["app"]

random.shuffle = lambda _: None  # type: ignore[assignment]
