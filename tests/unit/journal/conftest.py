"""An empty journal with its writer and a reader."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proj.journal.reader import JournalReader, open_journal
from proj.journal.writer import JournalWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
def writer(path: Path) -> Iterator[JournalWriter]:
    with JournalWriter(path) as writer:
        yield writer


@pytest.fixture
def journal(writer: JournalWriter, path: Path) -> Iterator[JournalReader]:
    writer.commit()
    with open_journal(path) as journal:
        yield journal
