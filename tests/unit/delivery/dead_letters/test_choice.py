"""Which dead letters are meant."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from proj.delivery.dead_letters.choice import Choice


def test_letter_is_chosen_when_all_that_is_given_matches() -> None:
    """The reason by a part of it, in any case; ids, task and marks exactly."""
    letter: Any = SimpleNamespace(id="a", task="t.one", reason="It killed its pool process.", mark="a 1.5")

    assert Choice().takes(letter)
    assert Choice(ids=("a", "b"), task="t.one", reason="KILLED", marks=frozenset({"a 1.5"})).takes(letter)
    assert not Choice(ids=("b",)).takes(letter)
    assert not Choice(task="t").takes(letter)
    assert not Choice(ids=("a",), reason="expired").takes(letter)
    assert not Choice(marks=frozenset({"a 2.5"})).takes(letter)


def test_choice_is_described_for_the_record() -> None:
    """With the first ids alone."""
    assert Choice().describe("dead_letters") == "dead_letters: all"
    assert Choice(ids=("a", "b", "c")).describe("dead_letters", "work") == "dead_letters: a, b, c, to work"
    assert Choice(ids=("a", "b", "c", "d"), task="t").describe("d") == "d: task t; a, b, c …"
