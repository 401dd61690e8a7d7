"""`celery -A anyapp journal`: what happened, recorded, accounted for, reported and compared."""

from __future__ import annotations

import click


@click.group()
def journal() -> None:
    """Record what happens to tasks, and read the record later, without a broker."""
