"""The count of results that a worker's processes could not store."""

from __future__ import annotations

import multiprocessing

from proj.delivery.results.lost_results import LostResults

PROCESSES, EACH = 4, 100


def lose(lost: LostResults) -> None:
    for _ in range(EACH):
        lost.add()


def test_main_process_reads_what_each_forked_process_counts() -> None:
    """Several at once, none of which waits for another."""
    lost = LostResults()
    forks = multiprocessing.get_context("fork")
    processes = [forks.Process(target=lose, args=(lost,)) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    lost.add()

    assert lost.count() == PROCESSES * EACH + 1
    assert lost.count() == PROCESSES * EACH + 1


def test_count_that_nobody_reads_holds_up_no_task() -> None:
    """When the pipe is full, the rest is not counted."""
    lost = LostResults()
    for _ in range(100_000):
        lost.add()

    assert 0 < lost.count() < 100_000
