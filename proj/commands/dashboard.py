"""`celery -A anyapp dashboard`: Flower with the Dispatch page."""

from __future__ import annotations

from importlib.util import find_spec

import click
from celery.bin.base import handle_preload_options

from proj.commands.terminal.command import Command
from proj.errors import MissingProgram

NO_FLOWER = "Flower is not installed; get it with: pip install 'flower>=2.1,<2.3'"


class _WithFlowersOptions(Command):
    """A command whose help lists Flower's options after ours."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write them, if Flower is installed."""
        super().format_options(ctx, formatter)
        if find_spec("flower") is None:
            formatter.write_text(NO_FLOWER)
            return
        from proj.dashboard.web.arguments import described

        for title, rows in described():
            with formatter.section(title):
                formatter.write_dl(rows)


@click.command(cls=_WithFlowersOptions, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[--NAME=VALUE]...")
@click.pass_context
@handle_preload_options
def dashboard(ctx: click.Context, *, arguments: tuple[str, ...]) -> None:
    """Watch the tasks of any app in Flower, which gets one more page: Dispatch.

    The page shows workers at work: the workers of each queue by their dispatch mode, how long messages waited,
    whether a free worker could have taken them, and which events are known to be missing.

    Everything else is stock Flower with safer defaults: it listens on 127.0.0.1, has no buttons that change anything
    (--read_only=false shows them, which need --basic_auth=user:password), and answers only under allowed host names.
    Every option can also be set in the environment, such as FLOWER_PORT, or in flowerconfig.py. Unknown options are
    refused.

    \b
    Examples:
      celery -A proj dashboard
      celery -A proj dashboard --port=8000 --journal=week.journal
      celery -A proj dashboard --open_journal=week.journal

    Exit codes: 0 ended by Ctrl-C or SIGTERM; 1 it could not start; 2 wrong use.
    """
    if find_spec("flower") is None:
        raise MissingProgram(NO_FLOWER)
    from proj.dashboard.launch import launch

    launch(ctx, arguments)
