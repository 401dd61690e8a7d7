"""`celery -A anyapp queues pause` and `queues resume`: no worker consumes from a queue until it is resumed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from celery.bin.base import CeleryCommand, handle_preload_options

from proj.commands.terminal.options import Seconds, action_journal_option, broker_api_option

if TYPE_CHECKING:
    from collections.abc import Callable

_TIMEOUT = click.option(
    "--timeout",
    "timeout_s",
    type=Seconds(min=0),
    default=10,
    show_default=True,
    help="Seconds to wait until the workers have followed.",
)


def _options(function: Callable[..., Any]) -> Callable[..., Any]:
    """What both commands take."""
    for option in (
        broker_api_option,
        action_journal_option,
        click.option("--json", "as_json", is_flag=True, help="Print JSON, one line a queue."),
        _TIMEOUT,
        click.argument("queues", nargs=-1, required=True, metavar="QUEUE..."),
    ):
        function = option(function)
    return function


@click.command(cls=CeleryCommand)
@_options
@click.pass_context
@handle_preload_options
def pause(ctx: click.Context, **options: Any) -> None:  # noqa: ANN401 further arguments of `set_all`
    """Let no worker consume from the queues until `queues resume`; running tasks go on, and publishing too.

    Each worker of an app with `install(app)` cancels its consumer of the queue, gives back what it holds of it and
    has not started, and answers. When the command has printed that a worker is paused, that worker starts no task
    of the queue any more.

    The broker keeps the pause, as an exchange `proj.paused.QUEUE`. So it holds also for workers that start or
    reconnect later. It is shown by `queues`, by `health` and by `celery inspect stats`.

    A worker whose app has not called `install(app)` does not know the command. Stop it with `queues halt`. A worker
    of --pool solo answers when its task has ended. A queue that the broker deletes when nobody consumes from it
    (auto_delete, exclusive, x-expires) is not paused.

    Exit codes: 0 every worker of the queue has paused it, or there is none; 1 one has not; 2 wrong use; 3 no broker
    answers.
    """
    from proj.commands.queues.pause_table import set_all

    set_all(ctx.obj.app, paused=True, **options)


@click.command(cls=CeleryCommand)
@_options
@click.pass_context
@handle_preload_options
def resume(ctx: click.Context, **options: Any) -> None:  # noqa: ANN401 as above
    """Let workers consume from paused queues again.

    Exit codes: 0 every worker of the queue consumes from it again, or there is none; 1 one did not answer; 2 wrong
    use; 3 no broker answers.
    """
    from proj.commands.queues.pause_table import set_all

    set_all(ctx.obj.app, paused=False, **options)
