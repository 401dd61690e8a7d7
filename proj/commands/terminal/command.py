"""Command and Group: what every command of ours does at Ctrl-C, and in the sentences of errors."""

from __future__ import annotations

import click
from celery.bin.base import CeleryCommand

from proj.commands.terminal.app_hint import naming_the_app
from proj.commands.terminal.interrupt import Interrupted
from proj.errors import EXIT_FAILED, ProjError
from proj.printable import printable


class _Named(click.ClickException):
    """An error of ours in other words."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(printable(message, keep="\n"))
        self.exit_code: int = exit_code  # type: ignore[misc]  # click reads it from the instance


class _Plain(click.Command):
    """A command that ends at Ctrl-C with 130, and whose errors propose commands that can be typed as they are."""

    def invoke(self, ctx: click.Context) -> object:
        """Run it.

        Raises:
            Interrupted: Ctrl-C came. Without this, click ends with 1, which means no in some of our commands.
        """
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interruption:
            raise Interrupted("Interrupted.") from interruption
        except click.Abort as abort:
            # Click raises it at Ctrl-C in a question, and also where standard input has ended.
            if isinstance(abort.__context__, KeyboardInterrupt):
                raise Interrupted("Interrupted.") from abort
            raise
        except ProjError as error:
            named = naming_the_app(error.message)
            if named == error.message:
                raise
            raise _Named(named, error.exit_code) from error
        except (click.ClickException, click.exceptions.Exit):
            raise
        except Exception as error:
            said = _of_a_missing_right(error)
            if said is None:
                raise
            raise _Named(naming_the_app(said), EXIT_FAILED) from error


def _of_a_missing_right(error: Exception) -> str | None:
    """What the user of the broker may not do; None when the error says something else."""
    # Light commands do not load what speaks AMQP.
    from proj.broker.permissions.rights import missing_right
    from proj.delivery.broker_errors import ROLES

    right = missing_right(error)
    return f"{right.sentence[:1].upper()}{right.sentence[1:]}. {ROLES}" if right is not None else None


class Command(_Plain, CeleryCommand):
    """A command of ours, with Celery's own help."""


class Group(_Plain, click.Group):
    """A group of commands of ours."""
