"""The result backend of a drill: files beside the evidence, which is away or slow while a file says so."""

from __future__ import annotations

import os
import time
from functools import cached_property
from pathlib import Path

from celery.backends.base import KeyValueStoreBackend

from proj.lab.drills.system.evidence import FILE_VARIABLE

#: Seconds that a result takes while the backend is slow.
SLOW_S = 1.0


def switch(evidence: Path, state: str) -> Path:
    """The file that puts the backend into this state while it is there: away or slow."""
    return evidence.with_suffix(f".{state}")


class Backend(KeyValueStoreBackend):
    """Results as files, one for each task."""

    @cached_property
    def _evidence(self) -> Path:
        return Path(os.environ[FILE_VARIABLE])

    @cached_property
    def _folder(self) -> Path:
        """Beside the evidence of the drill."""
        folder = self._evidence.with_suffix(".results")
        folder.mkdir(exist_ok=True)
        return folder

    def get(self, key: str | bytes) -> bytes | None:
        """The result; None when there is none."""
        path = self._path(key)
        return path.read_bytes() if path.exists() else None

    def set(self, key: str | bytes, value: object) -> None:
        """Keep the result, unless the backend is away.

        Raises:
            RuntimeError: it is away, with the text of a Redis that is out of memory.
        """
        if switch(self._evidence, "away").exists():
            raise RuntimeError("OOM command not allowed when used memory > 'maxmemory'.")
        if switch(self._evidence, "slow").exists():
            time.sleep(SLOW_S)
        beside = self._path(key).with_suffix(f".{os.getpid()}")
        beside.write_bytes(value if isinstance(value, bytes) else str(value).encode())
        beside.replace(self._path(key))

    def _path(self, key: str | bytes) -> Path:
        return self._folder / (key.decode() if isinstance(key, bytes) else key)
