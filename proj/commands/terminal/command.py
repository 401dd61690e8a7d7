"""Command and Group: what every command of ours does at Ctrl-C, and in the sentences of errors."""

from __future__ import annotations

import click
from celery.bin.base import CeleryCommand

from proj.commands.terminal.app_hint import naming_the_app
from proj.commands.terminal.interrupt import Interrupted
from proj.errors import EXIT_FAILED, EXIT_NO_BROKER, ProjError
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
            if (said := _of_a_missing_right(error)) is not None:
                raise _Named(naming_the_app(said), EXIT_FAILED) from error
            if (said := _of_a_lost_connection(error)) is not None:
                raise _Named(said, EXIT_NO_BROKER) from error
            raise


def _of_a_missing_right(error: Exception) -> str | None:
    """What the user of the broker may not do; None when the error says something else."""
    # Light commands do not load what speaks AMQP.
    from proj.broker.permissions.rights import missing_right
    from proj.delivery.broker_errors import ROLES

    right = missing_right(error)
    return f"{right.sentence[:1].upper()}{right.sentence[1:]}. {ROLES}" if right is not None else None


def _of_a_lost_connection(error: Exception) -> str | None:
    """What to do when the broker has closed the connection, or does not answer; None when the error says else."""
    # Light commands do not load what speaks AMQP.
    from amqp.exceptions import ConnectionError as AmqpConnectionError

    # py-amqp's error for a socket that the other end has closed has no number, those of files have one. A broken pipe
    # may be that of stdout.
    is_closed = isinstance(error, OSError) and error.errno is None
    is_lost = isinstance(error, AmqpConnectionError | ConnectionResetError | TimeoutError) or is_closed
    if not is_lost:
        return None
    return (
        f"The connection to the broker was lost ({error}). Everything reported above was done. "
        "Run the command again for the rest."
    )


class Command(_Plain, CeleryCommand):
    """A command of ours, with Celery's own help."""


class Group(_Plain, click.Group):
    """A group of commands of ours."""
