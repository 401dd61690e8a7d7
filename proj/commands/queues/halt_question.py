"""Which workers `queues halt` would stop without being told, and the question whether it may."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from proj.commands.terminal.console import confirm, echo
from proj.delivery.shutdown.app_workers import own_tasks
from proj.plural import counted
from proj.printable import printable, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery import Celery

_CHOOSE = "Choose workers with --queue or --worker."


def tasks_of(app: Celery) -> frozenset[str]:
    """The names of the app's own tasks, which are imported for it.

    Raises:
        UsageError: there are none, or they cannot be imported, so it is not known which workers are the app's.
    """
    try:
        app.loader.import_default_modules()
        tasks = own_tasks(app.tasks)
    except Exception as error:
        raise click.UsageError(
            f"The app's tasks cannot be imported here ({type(error).__name__}: {shown(error)}), so it is not known "
            f"which workers are its. {_CHOOSE}"
        ) from error
    if not tasks:
        raise click.UsageError(f"The app has no tasks, so it is not known which workers are its. {_CHOOSE}")
    return tasks


def ask_to_halt(ours: Sequence[str], *, others: Sequence[str], yes: bool) -> None:
    """Say which workers are halted and which stay, and ask unless `yes`; no worker needs no question.

    Raises:
        UsageError: nobody can be asked, because standard input is no terminal.
        Abort: the answer is no.
    """
    if others:
        echo(f"Not halted, because they are not workers of this app: {', '.join(others)}.", err=True)
    if yes or not ours:
        return
    what = printable(f"This halts {counted(len(ours), 'worker')}: {', '.join(ours)}.")
    if not sys.stdin.isatty():
        raise click.UsageError(f"{what} Say --yes. {_CHOOSE}")
    confirm(f"{what} Go on?")
