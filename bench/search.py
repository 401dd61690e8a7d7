"""How long a search in a large journal takes: by id, by what many attempts have, and by what none has.

    python bench/search.py [ATTEMPTS]

The journal has a million attempts unless another number is given: eight names of tasks, thirty queues, fifty workers, a
failure in a thousand. It needs 240 MB in the folder for temporary files.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from proj.journal.attempt import Attempt
from proj.journal.finding.query import parsed_query, words_of
from proj.journal.finding.search import search
from proj.journal.reader import open_journal
from proj.journal.writer import JournalWriter

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Attempts of one commit, and those that a search returns.
COMMITTED, LIMIT = 20_000, 100


def attempts(count: int) -> Iterator[Attempt]:
    """Invented attempts."""
    dice = random.Random(1)  # noqa: S311 invented data
    for number in range(count):
        sent = 1e9 + number * 0.01
        yield Attempt(
            task_id=str(uuid.UUID(int=dice.getrandbits(128))),
            state="failed" if dice.randrange(1000) == 0 else "succeeded",
            name=f"shop.tasks.mail{number % 8}",
            queue=f"queue{number % 30}",
            worker=f"worker-{number % 50}@host-{number % 7}",
            arguments=f"('customer {number}', 'to Anna {number % 1000}')",
            sent=sent,
            received=sent + 0.1,
            started=sent + 0.2,
            finished=sent + 0.5,
            runtime_s=0.3,
        )


def main() -> None:
    """Write a journal, and print the seconds of some searches."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.sqlite"
        some = ""
        with JournalWriter(path) as writer:
            batch: list[Attempt] = []
            for number, attempt in enumerate(attempts(count)):
                some = attempt.task_id if number == count // 2 else some
                batch.append(attempt)
                if len(batch) == COMMITTED or number == count - 1:
                    writer.put_attempts(batch)
                    writer.commit()
                    batch.clear()
        sys.stdout.write(f"{count:,} attempts, {path.stat().st_size / 1e6:,.0f} MB\n")
        began = time.perf_counter()
        with open_journal(path) as journal:
            sys.stdout.write(f"opened and checked: {time.perf_counter() - began:.3f} s\n")
            for words in (
                some,
                "state:failed",
                "worker:worker-7@ state:failed name:mail3",
                "nowhere",
                "arguments:nowhere",
            ):
                began = time.perf_counter()
                found = search(journal, parsed_query(words_of(words), arguments=True), limit=LIMIT)
                took_s = time.perf_counter() - began
                sys.stdout.write(f"{words}: {len(found.attempts)} found in {took_s:.3f} s\n")


if __name__ == "__main__":
    main()
