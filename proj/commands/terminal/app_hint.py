"""Puts the app that the user typed after -A into hints that say `yourapp`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from proj.errors import EXIT_FAILED, ProjError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import click

#: The text in errors that are raised where the command line is not known.
PLACEHOLDER = "celery -A yourapp "


@contextmanager
def naming_the_app(ctx: click.Context) -> Iterator[None]:
    """Replace `yourapp` in errors of the block, so that the user can type the proposed command as it is."""
    try:
        yield
    except ProjError as error:
        typed = ctx.find_root().params.get("app")
        hints = PLACEHOLDER in error.message and error.exit_code == EXIT_FAILED
        # Celery's own programs may pass the app itself.
        if not hints or not isinstance(typed, str) or not typed:
            raise
        raise ProjError(error.message.replace(PLACEHOLDER, f"celery -A {typed} ")) from error
