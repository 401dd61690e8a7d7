"""What may be asked of dead letters at a time, and which letters are meant."""

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
    **dict.fromkeys(("show", "requeue", "purge", "yes", "anyway", "as_json"), False),
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
def test_what_is_not_clear_is_refused(unclear: dict[str, Any]) -> None:
    """No letters named, two things at once, or a queue for nothing."""
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
def test_what_is_clear_is_taken(clear: dict[str, Any]) -> None:
    """A list needs no choice."""
    assert options(**clear)


def test_letters_are_chosen_by_all_that_is_said_of_them() -> None:
    """The reason by a part of it, in either case; the rest exactly."""
    letter: Any = SimpleNamespace(id="a", task="t.one", reason="It killed its pool process.")

    assert options().chooses(letter)
    assert options(ids=("a", "b"), task="t.one", reason="KILLED").chooses(letter)
    assert not options(ids=("b",)).chooses(letter)
    assert not options(task="t").chooses(letter)
    assert not options(ids=("a",), reason="expired").chooses(letter)
