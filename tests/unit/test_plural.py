"""A number with its noun."""

from __future__ import annotations

import pytest

from proj.plural import counted


@pytest.mark.parametrize(
    ("count", "nouns", "words"),
    [
        (0, ("run",), "0 runs"),
        (1, ("run",), "1 run"),
        (9805, ("message",), "9,805 messages"),
        (1, ("depth of a queue", "depths of queues"), "1 depth of a queue"),
        (2, ("depth of a queue", "depths of queues"), "2 depths of queues"),
    ],
)
def test_noun_has_the_form_that_belongs_to_the_number(count: int, nouns: tuple[str, ...], words: str) -> None:
    """Not "1 runs"."""
    assert counted(count, *nouns) == words
