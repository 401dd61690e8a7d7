"""A result backend of an app in files, which is away while there is a file `away`, as a Redis that is out of memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from celery.backends.filesystem import FilesystemBackend


class Backend(FilesystemBackend):
    """It raises an error that no library of Celery's knows, as that of Redis for a command that it refuses."""

    def __init__(self, url: str | None = None, **options: Any) -> None:
        """Keep results in the folder that the environment names."""
        del url
        super().__init__(url=f"file://{os.environ['KEPT_RESULTS']}", **options)

    def set(self, key: Any, value: Any) -> None:
        """Store it, unless it is away."""
        if (Path(os.environ["KEPT_RESULTS"]) / "away").exists():
            raise RuntimeError("OOM command not allowed when used memory > 'maxmemory'")
        super().set(key, value)
