"""The report as one HTML page that asks nobody for anything: script, style and data are inside it."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from datetime import datetime, timezone
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from proj.report.script import script
from proj.report.text import as_text

if TYPE_CHECKING:
    from collections.abc import Mapping


def as_page(document: Mapping[str, Any]) -> str:
    """The document's page; its policy lets no other script run than the one inside, and nothing be loaded."""
    drawing, style = script(), static("report.css")
    parts = {
        "title": html.escape(document["title"]),
        "subtitle": html.escape(_subtitle(document)),
        "script": drawing,
        "script-hash": _hash(drawing),
        "style": style,
        "style-hash": _hash(style),
        "text": html.escape(as_text(document)),
        # No "<" is left that could end the element; JSON reads it back from its number.
        "data": json.dumps(document, separators=(",", ":")).replace("<", "\\u003c"),
    }
    return re.sub(r"\{\{([a-z-]+)\}\}", lambda place: parts[place[1]], static("page.html"))


def static(name: str) -> str:
    """The text of report.css or page.html."""
    return files("proj.report").joinpath(name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    """The source expression of Content Security Policy for an inline script or style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _subtitle(document: Mapping[str, Any]) -> str:
    runs = document["runs"]
    attempts = sum(run["figures"]["attempts"] for run in runs)
    began = datetime.fromtimestamp(min(run["origin"] for run in runs), timezone.utc)
    return f"{len(runs)} run{'s' * (len(runs) != 1)}, {attempts:,} attempts, began {began:%Y-%m-%d %H:%M} UTC"
