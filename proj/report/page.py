"""HTML form of a report: one page that contains its script, style and data, and loads nothing."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from datetime import datetime, timezone
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from proj.plural import counted
from proj.printable import printable
from proj.report.script import script
from proj.report.text import as_text

if TYPE_CHECKING:
    from collections.abc import Mapping


def as_page(document: Mapping[str, Any]) -> str:
    """The document as an HTML page. Its Content Security Policy allows only the script and style in it."""
    drawing, style = script(), static("report.css")
    parts = {
        "title": html.escape(printable(document["title"])),
        "subtitle": html.escape(_subtitle(document)),
        "script": drawing,
        "script-hash": _hash(drawing),
        "style": style,
        "style-hash": _hash(style),
        "text": html.escape(as_text(document)),
        # "<" is escaped, so that no text in the data can end the script element.
        "data": json.dumps(document, separators=(",", ":")).replace("<", "\\u003c").replace("\x7f", "\\u007f"),
    }
    return re.sub(r"\{\{([a-z-]+)\}\}", lambda match: parts[match[1]], static("page.html"))


def static(name: str) -> str:
    """The text of report.css or page.html."""
    return files("proj.report").joinpath(name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    """The hash of an inline script or style as in a Content Security Policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _subtitle(document: Mapping[str, Any]) -> str:
    runs = document["runs"]
    attempts = sum(run["figures"]["attempts"] for run in runs)
    began = datetime.fromtimestamp(min(run["origin"] for run in runs), timezone.utc)
    return f"{counted(len(runs), 'run')}, {counted(attempts, 'attempt')}, began {began:%Y-%m-%d %H:%M} UTC"
