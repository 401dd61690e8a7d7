"""The help of each command fits into a terminal of 80 columns."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from proj.commands.lab.command import broker
from proj.commands.lab.pipeline import pipeline
from proj.commands.queues.command import queues
from proj.commands.send import send

WIDTH = 80


@pytest.mark.parametrize("command", [broker, pipeline, queues, send], ids=lambda command: command.name)
def test_help_fits_into_eighty_columns(command: object) -> None:
    """Also the examples and lists, which click does not wrap."""
    shown = CliRunner().invoke(command, ["--help"], terminal_width=WIDTH)  # type: ignore[arg-type] # Celery has no types

    assert shown.exit_code == 0
    assert [line for line in shown.output.splitlines() if len(line) > WIDTH] == []
