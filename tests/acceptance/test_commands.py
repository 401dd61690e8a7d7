"""The sub-commands add nothing to the start of other `celery` commands."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

OURS = ("dashboard", "demo", "health", "journal", "lab", "queues", "send")


def test_every_command_is_registered_with_celery() -> None:
    """Users reach them through the command that they know."""
    registered = {entry.name for entry in entry_points(group="celery.commands") if entry.value.startswith("proj.")}

    assert registered == set(OURS)


def test_loading_the_commands_imports_none_of_their_libraries() -> None:
    """Every worker start of every app in the environment loads them."""
    modules = ", ".join(f"proj.commands.{name}" for name in OURS)
    program = f"import celery.bin.celery, {modules}, sys; print(*sys.modules)"

    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()

    assert "proj.commands.demo.command" in loaded
    # Flower's own entry point loads tornado and more where it is installed; these two only we would load.
    assert not {"rich", "psutil"} & set(loaded)
    heavy = ("proj.lab", "proj.celery", "proj.journal", "proj.dashboard")
    assert not [name for name in loaded if name.startswith(heavy)]


@pytest.mark.parametrize(
    "command",
    [
        ("dashboard",),
        ("demo",),
        ("send",),
        ("queues",),
        ("queues", "dead"),
        ("queues", "halt"),
        ("queues", "policy"),
        ("health",),
        ("lab",),
        ("lab", "broker"),
        ("lab", "run"),
        ("journal",),
        ("journal", "record"),
        ("journal", "repair"),
        ("journal", "audit"),
        ("journal", "report"),
        ("journal", "search"),
        ("journal", "compare"),
    ],
)
def test_command_explains_itself(command: tuple[str, ...]) -> None:
    """`--help` works without a broker."""
    shown = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "proj", *command, "--help"], check=True, capture_output=True, text=True
    ).stdout

    assert shown.startswith("Usage:")
    assert "--help" in shown
    # Click's mark of a paragraph that is not wrapped, had it come out as text.
    assert "\\b" not in shown
