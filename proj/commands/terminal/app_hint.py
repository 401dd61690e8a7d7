"""Puts the app that the user typed after -A into hints that say `yourapp`."""

from __future__ import annotations

import click

#: The text in sentences that are made where the command line is not known.
PLACEHOLDER = "celery -A yourapp "


def naming_the_app(text: str) -> str:
    """The text with the user's app for `yourapp`, so that the proposed command can be typed as it is."""
    ctx = click.get_current_context(silent=True)
    typed = None if ctx is None else ctx.find_root().params.get("app")
    # Celery's own programs may pass the app itself.
    return text.replace(PLACEHOLDER, f"celery -A {typed} ") if isinstance(typed, str) and typed else text
