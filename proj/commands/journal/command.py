"""`celery -A anyapp journal`: record what happens to tasks, and audit, report, search and compare it."""

from __future__ import annotations

import click

from proj.commands.journal.audit import audit
from proj.commands.journal.compare import compare
from proj.commands.journal.record import record
from proj.commands.journal.repair import repair
from proj.commands.journal.report import report
from proj.commands.journal.search import search
from proj.commands.terminal.command import Group


@click.group(cls=Group)
def journal() -> None:
    """Record what happens to tasks; audit, report, search and compare it later."""


journal.add_command(audit)
journal.add_command(compare)
journal.add_command(record)
journal.add_command(repair)
journal.add_command(report)
journal.add_command(search)
