"""Repairing a journal from the terminal: what was saved, in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from proj.journal.attempt import Attempt
from proj.journal.records import Run, Sample, Worker
from proj.journal.repair.repair import repair
from proj.plural import counted

if TYPE_CHECKING:
    from pathlib import Path

_NOUNS = ((Attempt, "attempt"), (Run, "run"), (Worker, "worker"), (Sample, "depth of a queue", "depths of queues"))


def save_journal(file: Path, output: Path) -> None:
    """Make the journal `output` of what can be read of `file`, and say what that is.

    Raises:
        ProjError: there is nothing to save, or `output` cannot be made.
    """
    saved = repair(file, output)
    found = ", ".join(counted(saved[kind], *nouns) for kind, *nouns in _NOUNS)
    click.echo(f"Saved into {output}: {found}. Next: celery journal audit --offline {output}", err=True)
