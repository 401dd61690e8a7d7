"""The one script that draws a report, in its page and in the dashboard: the files of `scripts`, in one function."""

from __future__ import annotations

from importlib.resources import files

#: From the tools to what is drawn with them; `report` is last, because it starts when all others are there.
NOUNS = (
    "text",
    "element",
    "patch",
    "table",
    "canvas",
    "brush",
    "legend",
    "axis",
    "reader",
    "timeline",
    "chart",
    "document",
    "report",
)


def script() -> str:
    """The text of the whole script, which leaves one name behind: `ProjReport`."""
    folder = files("proj.report").joinpath("scripts")
    parts = "\n".join(folder.joinpath(f"{noun}.js").read_text(encoding="utf-8") for noun in NOUNS)
    return f'(() => {{\n"use strict";\n\n{parts}}})();\n'
