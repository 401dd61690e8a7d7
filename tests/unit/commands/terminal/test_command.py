"""Every command of ours: its end at Ctrl-C, and the app that its errors name."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, NoReturn

import click
import pytest
from amqp.exceptions import AccessRefused
from click.testing import CliRunner

from proj.commands.terminal.command import Command, Group
from proj.errors import NoBroker, ProjError

if TYPE_CHECKING:
    from collections.abc import Callable


def interrupted() -> NoReturn:
    raise KeyboardInterrupt


def interrupted_in_a_question() -> NoReturn:
    try:
        interrupted()
    except KeyboardInterrupt:
        # As click does it.
        raise click.Abort from None


def declined() -> NoReturn:
    raise click.Abort


def program(end: Callable[[], NoReturn], kind: type[Command | Group]) -> click.Group:
    """A program with -A as celery's, and a command below it, alone or in a group."""

    @click.group()
    @click.option("-A", "--app")
    def celery(app: str | None) -> None:
        del app

    if issubclass(kind, Command):
        celery.add_command(Command("ours", callback=end))
    else:
        group = Group("ours", invoke_without_command=True)
        group.add_command(click.Command("part", callback=end))
        celery.add_command(group)
    return celery


def refused() -> NoReturn:
    text = "ACCESS_REFUSED - access to exchange 'proj.paused.mail' in vhost '/' refused for user 'monitor'"
    raise AccessRefused(text, (40, 10), "Exchange.declare")


@pytest.mark.parametrize("words", [["-A", "shop", "ours"], ["-A", "shop", "ours", "part"]])
def test_command_says_which_right_the_user_of_the_broker_lacks(words: list[str]) -> None:
    """And how to print the rights of each role. Without this it ended in a traceback."""
    done = CliRunner().invoke(program(refused, Group if len(words) > 3 else Command), words)

    assert done.exit_code == 1
    assert done.output == (
        "Error: The user 'monitor' may not make or delete the exchange 'proj.paused.mail' "
        "(the permission 'configure' on 'proj.paused.mail'). "
        "celery -A shop queues topology --roles prints the permissions that each user needs.\n"
    )


@pytest.mark.parametrize("words", [["ours"], ["ours", "part"]])
@pytest.mark.parametrize("end", [interrupted, interrupted_in_a_question])
def test_ctrl_c_ends_a_command_with_130_and_one_sentence(end: Callable[[], NoReturn], words: list[str]) -> None:
    """Click ends with 1, which is an answer of some commands."""
    done = CliRunner().invoke(program(end, Group if len(words) > 1 else Command), words)

    assert (done.exit_code, done.output) == (130, "Error: Interrupted.\n")


def test_question_that_is_declined_ends_with_1() -> None:
    """Nobody has interrupted it."""
    assert CliRunner().invoke(program(declined, Command), ["ours"]).exit_code == 1


@pytest.mark.parametrize("words", [["-A", "shop", "ours"], ["-A", "shop", "ours", "part"]])
def test_error_names_the_app_that_the_user_typed(words: list[str]) -> None:
    """A proposed command can be typed as it is; the exit code stays."""

    def fail() -> NoReturn:
        raise NoBroker("Start it with: celery -A yourapp lab broker")

    done = CliRunner().invoke(program(fail, Group if len(words) > 3 else Command), words)

    assert (done.exit_code, done.output) == (3, "Error: Start it with: celery -A shop lab broker\n")


def test_error_without_an_app_stays_as_it_is() -> None:
    """`celery journal report` needs no -A."""

    def fail() -> NoReturn:
        raise ProjError("See celery -A yourapp queues")

    assert CliRunner().invoke(program(fail, Command), ["ours"]).output == "Error: See celery -A yourapp queues\n"


def test_every_command_of_ours_is_one() -> None:
    """Those below a group are ended by it."""
    found = [entry.load() for entry in entry_points(group="celery.commands") if entry.value.startswith("proj.")]

    assert found
    assert [command.name for command in found if not isinstance(command, Command | Group)] == []
