"""Script: the files of `scripts` as one function, which draws a report in its page and in the dashboard."""

from __future__ import annotations

from importlib.resources import files

#: In this order: a file uses those before it, and `report` starts the drawing.
NOUNS = (
    "text",
    "element",
    "patch",
    "table",
    "canvas",
    "brush",
    "legend",
    "axis",
    "zoom",
    "reader",
    "timeline",
    "chart",
    "document",
    "report",
)


def script() -> str:
    """The text of the whole script. It defines one global name, `ProjReport`."""
    folder = files("proj.report").joinpath("scripts")
    parts = "\n".join(folder.joinpath(f"{noun}.js").read_text(encoding="utf-8") for noun in NOUNS)
    return f'(() => {{\n"use strict";\n\n{parts}}})();\n'
