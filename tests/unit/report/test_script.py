"""The script of a report's page."""

from __future__ import annotations

from pathlib import Path

import proj.report.script
from proj.report.script import NOUNS, script


def test_script_has_all_files_in_one_function() -> None:
    """No file is left out, and no name but ProjReport becomes global."""
    folder = Path(proj.report.script.__file__).parent / "scripts"

    whole = script()

    assert {path.stem for path in folder.iterdir()} == set(NOUNS)
    assert all(path.read_text() in whole for path in folder.iterdir())
    assert whole.startswith('(() => {\n"use strict";\n')
    assert whole.endswith("})();\n")
