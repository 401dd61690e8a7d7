"""Writing a report in one of its formats, to stdout or to a file."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proj.commands.terminal.console import echo, echo_lines
from proj.commands.terminal.reading import say_reading
from proj.errors import ProjError
from proj.journal.reader import open_journal
from proj.plural import counted
from proj.printable import json_text
from proj.report.document import document
from proj.report.markdown import as_markdown
from proj.report.page import as_page
from proj.report.text import as_text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping


def _as_json(made: Mapping[str, Any]) -> str:
    return json_text(made) + "\n"


#: The function that makes each format from a document.
FORMS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "text": as_text,
    "markdown": as_markdown,
    "html": as_page,
    "json": _as_json,
}


def write_report(file: Path, *, output: Path | None, form: str, runs: Collection[str], arguments: bool) -> None:
    """Report the journal in `file`, to `output` or to stdout.

    Raises:
        ProjError: the file is not a journal, has no attempts or no such run, or the output cannot be written.
    """
    say_reading(file)
    with open_journal(file) as journal:
        made = document(journal, title=file.name, names=runs, arguments=arguments)
    content = FORMS[form](made)
    if output is None:
        echo_lines(content, nl=False)
        return
    _replace(output, content)
    echo(f"{output}: {counted(len(made['runs']), 'run')}, {len(content.encode()) / 1000:,.0f} kB.", err=True)


def _replace(path: Path, content: str) -> None:
    """Write a new file beside `path` and rename it, so that no reader finds half a report."""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as beside:
                beside.write(content)
            # The permissions of a new file; those of a temporary file allow only its owner to read it.
            mask = os.umask(0)
            os.umask(mask)
            Path(name).chmod(0o666 & ~mask)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ProjError(f"The report cannot be written to {path}: {error.strerror}.") from error
