"""Repair: makes a new journal of what can be read of a damaged one, which stays as it is."""

from __future__ import annotations

import mmap
import shutil
import sqlite3
import tempfile
from collections import Counter
from contextlib import closing, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from proj.errors import NoJournal, UnreadableJournal
from proj.journal.attempt import Attempt
from proj.journal.records import Action, Gap, Run, Sample, Worker
from proj.journal.repair.pages import Pages
from proj.journal.repair.rows import recognized
from proj.journal.write_lock import WriteLock
from proj.journal.writer import JournalWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from proj.journal.repair.rows import Record

#: The reason of the gap that a repaired journal has.
REASON = "The journal was damaged. `journal repair` saved what could be read, and cannot tell what is missing."
#: Records that are in memory at a time.
BATCH = 10_000


def repair(
    path: Path, new: Path, *, progress: Callable[[int, int], None] = lambda _read, _all: None
) -> Counter[type[Record]]:
    """Make the journal `new` of what can be read of the one at `path`, and return how many records of each kind it has.

    `progress` is called with the number of pages that were read, and of all. The new journal has a gap over the whole
    time of its attempts, because what is missing is not known.

    Raises:
        NoJournal: there is no file at `path`.
        UnreadableJournal: there is nothing to save in it, another process writes it, or `new` exists or cannot be made.
    """
    if not path.exists():
        raise NoJournal(path)
    if not path.is_file():
        raise UnreadableJournal(path, "it is not a file")
    if new.exists():
        raise UnreadableJournal(new, "it exists already; name a new file")
    _refuse_if_written(path)
    try:
        with _content(path, new) as content, JournalWriter(new) as writer:
            saved = _save(Pages(content), writer, progress)
            began, ended = _times(writer, path)
            writer.put_gaps([Gap(began=began, ended=ended, events=None, reason=REASON)])
            writer.commit()
    except OSError as error:
        new.unlink(missing_ok=True)
        raise UnreadableJournal(path, f"it cannot be copied ({error.strerror})") from error
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    return saved


def _refuse_if_written(path: Path) -> None:
    lock = WriteLock(path)
    try:
        if lock.is_held():
            raise UnreadableJournal(path, "another process is writing it; stop that one before you repair it")
    finally:
        lock.close()


@contextmanager
def _content(path: Path, new: Path) -> Iterator[memoryview]:
    """The content of a copy, with what is committed in SQLite's write-ahead log beside it."""
    with tempfile.TemporaryDirectory(dir=new.parent, prefix=f".{new.name}.") as folder:
        copy = Path(folder) / "copy"
        shutil.copyfile(path, copy)
        log = path.with_name(f"{path.name}-wal")
        if log.exists():
            shutil.copyfile(log, copy.with_name("copy-wal"))
            # It copies pages into the file, and so works although some of them are damaged.
            with suppress(sqlite3.Error), closing(sqlite3.connect(copy)) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        if copy.stat().st_size == 0:
            raise UnreadableJournal(path, "it is empty, so there is nothing to save")
        with (
            copy.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
            memoryview(mapped) as content,
        ):
            yield content


def _save(pages: Pages, writer: JournalWriter, progress: Callable[[int, int], None]) -> Counter[type[Record]]:
    found = (record for is_index, row in pages.rows() if (record := recognized(row, is_index=is_index)) is not None)
    while batch := list(islice(found, BATCH)):
        writer.put_attempts(record for record in batch if isinstance(record, Attempt))
        for record in batch:
            if isinstance(record, Run):
                writer.add_run(record)
        writer.put_workers(record for record in batch if isinstance(record, Worker))
        writer.put_samples(record for record in batch if isinstance(record, Sample))
        writer.put_gaps(record for record in batch if isinstance(record, Gap))
        writer.put_actions(record for record in batch if isinstance(record, Action))
        writer.commit()
        progress(pages.read, pages.count)
    return Counter(
        {
            Attempt: sum(writer.journal.counts().values()),
            Run: len(writer.journal.runs()),
            Worker: len(writer.journal.workers()),
            Sample: len(writer.journal.samples()),
            Gap: len(writer.journal.gaps()),
        }
    )


def _times(writer: JournalWriter, path: Path) -> tuple[float, float]:
    """The first and the last time of the attempts.

    Raises:
        UnreadableJournal: there is none.
    """
    times = [
        time
        for attempt in writer.journal.attempts()
        for time in (attempt.sent, attempt.received, attempt.started, attempt.finished)
        if time is not None
    ]
    if not times:
        raise UnreadableJournal(path, "no attempt of a task can be read in it, so there is nothing to save")
    return min(times), max(times)
