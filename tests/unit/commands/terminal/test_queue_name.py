"""Names of queues that are nearly the names of others."""

from __future__ import annotations

import pytest

from proj.commands.terminal.queue_name import is_misspelt


@pytest.mark.parametrize(
    ("name", "existing"),
    [("tsak_queue", "task_queue"), ("task_queu", "task_queue"), ("Task_Queue", "task_queue_")],
)
def test_slip_of_the_finger_is_misspelt(name: str, existing: str) -> None:
    """A letter too few, too many, in the wrong place or in the wrong case."""
    assert is_misspelt(name, existing)


@pytest.mark.parametrize(
    ("name", "existing"),
    [
        ("task_queue.round-robin", "task_queue"),
        ("my_queue", "task_queue"),
        ("queue10", "queue11"),
        ("made_up_too", "made_up"),
    ],
)
def test_another_name_is_not_misspelt(name: str, existing: str) -> None:
    """A number, a word before or a word behind."""
    assert not is_misspelt(name, existing)
