"""The options of `queues dead`: which can be combined."""

from __future__ import annotations

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
