"""Repairing a journal from the terminal: what was saved, in one line."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from proj.commands.terminal.console import echo
from proj.journal.attempt import Attempt
from proj.journal.records import Run, Sample, Worker
from proj.journal.repair.repair import repair
from proj.plural import counted

if TYPE_CHECKING:
    from pathlib import Path

PERCENT = 100
_NOUNS = ((Attempt, "attempt"), (Run, "run"), (Worker, "worker"), (Sample, "depth of a queue", "depths of queues"))


def save_journal(file: Path, output: Path) -> None:
    """Make the journal `output` of what can be read of `file`, and say what that is.

    Raises:
        ProjError: there is nothing to save, or `output` cannot be made.
    """
    with click.progressbar(length=PERCENT, label=f"Reading {file}", file=sys.stderr) as bar:
        saved = repair(file, output, progress=lambda read, of: bar.update(PERCENT * read // of - bar.pos))
    found = ", ".join(counted(saved[kind], *nouns) for kind, *nouns in _NOUNS)
    echo(f"Saved into {output}: {found}. Next: celery journal audit --offline {output}", err=True)
