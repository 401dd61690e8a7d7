"""`celery -A anyapp dashboard`: Flower with the Dispatch page."""

from __future__ import annotations

import click
from celery.bin.base import CeleryCommand, handle_preload_options


class _WithFlowers(CeleryCommand):
    """A command whose help lists Flower's options after ours."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write them, as far as Flower is installed."""
        super().format_options(ctx, formatter)
        try:
            from proj.dashboard.web.arguments import described

            groups = described()
        except ImportError:
            formatter.write_text("Flower is not installed; get it with: pip install 'proj[dashboard]'")
            return
        for title, rows in groups:
            with formatter.section(title):
                formatter.write_dl(rows)


@click.command(cls=_WithFlowers, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[--NAME=VALUE]...")
@click.pass_context
@handle_preload_options
def dashboard(ctx: click.Context, *, arguments: tuple[str, ...]) -> None:
    """Watch the tasks of any app in Flower, with a page more: Dispatch.

    It shows, while they work, who does what and who waits for whom: the workers of each queue by their dispatch
    mode, how long messages waited and whether a free worker could have had them, and what is known to be missing.

    All is stock Flower but for that page and its defaults: it listens on 127.0.0.1, has no buttons (--read_only=false
    gives them back), and answers only under names that it knows. Every option can also be set in the environment,
    as FLOWER_PORT, or in flowerconfig.py; an unknown one is refused.

    \b
    Examples:
      celery -A proj dashboard
      celery -A proj dashboard --port=8000 --journal=week.journal
      celery -A proj dashboard --open_journal=week.journal

    Exit codes: 0 ended by Ctrl-C or SIGTERM; 1 it could not start; 2 wrong use.
    """
    from proj.dashboard.launch import launch

    launch(ctx, arguments)
