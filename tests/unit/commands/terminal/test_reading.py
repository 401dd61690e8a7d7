"""What is said of large files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proj.commands.terminal.reading import SMALL_BYTES, say_reading

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_only_a_large_file_is_announced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr; a file that cannot be read is left to whoever opens it."""
    small, large = tmp_path / "small", tmp_path / "large"
    for path, size in ((small, SMALL_BYTES), (large, 2 * SMALL_BYTES)):
        with path.open("wb") as file:
            file.truncate(size)

    for path in (small, large, tmp_path / "none"):
        say_reading(path)

    assert capsys.readouterr() == ("", f"Reading {large} (20 MB) …\n")
