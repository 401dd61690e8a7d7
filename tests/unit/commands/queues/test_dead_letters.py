"""The options of `queues dead`: which can be combined, and which letters they choose."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import click
import pytest

from proj.commands.queues.dead_letters import DeadOptions

NOTHING: dict[str, Any] = {
    "ids": (),
    "task": None,
    "reason": None,
    "everything": False,
    "to": None,
    "export": None,
    "limit": None,
    **dict.fromkeys(("show", "requeue", "purge", "yes", "as_json"), False),
    "import_file": None,
}


def options(**wanted: Any) -> DeadOptions:
    return DeadOptions(**{**NOTHING, **wanted})


@pytest.mark.parametrize(
    "unclear",
    [
        {"requeue": True},
        {"purge": True},
        {"show": True},
        {"export": "file"},
        {"requeue": True, "purge": True, "everything": True},
        {"requeue": True, "ids": ("a",), "everything": True},
        {"to": "work", "ids": ("a",)},
        {"import_file": "file", "export": "file"},
    ],
)
def test_contradicting_options_are_refused(unclear: dict[str, Any]) -> None:
    """No letters are chosen, two actions are given, or --to has no --requeue."""
    with pytest.raises(click.UsageError):
        options(**unclear)


@pytest.mark.parametrize(
    "clear",
    [
        {},
        {"everything": True},
        {"requeue": True, "everything": True, "to": "work"},
        {"export": "file", "purge": True, "task": "t"},
        {"import_file": "file"},
    ],
)
def test_options_that_belong_together_are_accepted(clear: dict[str, Any]) -> None:
    """A list needs no chosen letters."""
    assert options(**clear)


def test_letter_is_chosen_when_all_options_match() -> None:
    """The reason by a part of it, in any case; ids and task exactly."""
    letter: Any = SimpleNamespace(id="a", task="t.one", reason="It killed its pool process.")

    assert options().chooses(letter)
    assert options(ids=("a", "b"), task="t.one", reason="KILLED").chooses(letter)
    assert not options(ids=("b",)).chooses(letter)
    assert not options(task="t").chooses(letter)
    assert not options(ids=("a",), reason="expired").chooses(letter)
