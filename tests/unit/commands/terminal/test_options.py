"""Options that several commands share."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from proj.commands.terminal.options import Seconds, rabbitmq_version_option


@click.command
@click.option("--wait", type=Seconds(min=0.1))
@rabbitmq_version_option
def command(wait: float | None, version: str | None) -> None:
    click.echo(f"{wait} {version}")


@pytest.mark.parametrize("wait", ["nan", "inf", "1e99", "-1", "0", "soon"])
def test_impossible_number_of_seconds_is_refused(wait: str) -> None:
    """A wait for ever, or for no time that exists, is a slip of the keyboard."""
    done = CliRunner().invoke(command, ["--wait", wait])

    assert done.exit_code == 2
    assert "Invalid value for '--wait'" in done.output


def test_possible_number_of_seconds_is_taken() -> None:
    """Up to a month."""
    assert CliRunner().invoke(command, ["--wait", "3600.5"]).output == "3600.5 None\n"


def test_command_that_starts_a_broker_refuses_a_misspelt_variable() -> None:
    """It would start the machine's own RabbitMQ instead of the one that was meant."""
    done = CliRunner().invoke(command, [], env={"PROJ_RABITMQ": "4.3"})

    assert (done.exit_code, done.output) == (
        2,
        "Error: PROJ_RABITMQ is not a variable of proj; did you mean PROJ_RABBITMQ?\n",
    )
