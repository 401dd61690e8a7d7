"""Banner: Flower's first line names the address of the Dispatch page in place of its own."""

from __future__ import annotations

import logging

FLOWERS = "Visit me at "


def name_the_page() -> None:
    """Let the line say where the Dispatch page is; safe to call more than once."""
    logging.getLogger("flower.command").addFilter(_named)


def _named(record: logging.LogRecord) -> bool:
    if record.msg.startswith(FLOWERS):
        address = record.getMessage().removeprefix(FLOWERS).rstrip("/")
        record.msg, record.args = "The Dispatch page is at %s/dispatch", (address,)
    return True
