"""The app as the user typed it after -A, put into hints that can only say `yourapp`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from proj.errors import EXIT_FAILED, ProjError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import click

#: What errors say that do not know the command line.
PLACEHOLDER = "celery -A yourapp "


@contextmanager
def naming_the_app(ctx: click.Context) -> Iterator[None]:
    """Let the commands that an error proposes be ones that can be typed as they are."""
    try:
        yield
    except ProjError as error:
        typed = ctx.find_root().params.get("app")
        hints = PLACEHOLDER in error.message and error.exit_code == EXIT_FAILED
        # Celery's own programs may give the app itself.
        if not hints or not isinstance(typed, str) or not typed:
            raise
        raise ProjError(error.message.replace(PLACEHOLDER, f"celery -A {typed} ")) from error
