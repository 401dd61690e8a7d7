"""The text, the Markdown and the page of a document."""

from __future__ import annotations

import json
import re
from dataclasses import replace

from proj.report.document import document
from proj.report.markdown import as_markdown
from proj.report.page import as_page
from proj.report.text import as_text
from tests.unit.report.kept_in_memory import both, dispatched


def test_text_has_figures_and_a_timeline() -> None:
    """One worker is busy to the end, the other one is idle after half a second and holds nothing."""
    lines = as_text(document(both(), title="run.sqlite")).splitlines()

    assert re.search(r"^makespan +10\.0 s +6\.20 s$", "\n".join(lines), re.MULTILINE)
    assert "round-robin-1  1" + "█" * 60 in lines
    assert "round-robin-2  1" + "█" * 3 + "·" * 57 in lines
    assert next(line for line in lines if "held4" in line).strip().startswith("held444444444444333")


def test_markdown_escapes_names() -> None:
    """A name may contain a tag or a column separator."""
    journal = dispatched("fair")
    journal.kept_runs = [replace(journal.kept_runs[0], name="a|b<i>")]
    journal.kept = [replace(attempt, run="a|b<i>") for attempt in journal.kept]

    shown = as_markdown(document(journal, title="run.sqlite"))

    assert r"|  | a\|b\<i\> |" in shown
    assert "| --- | ---: |" in shown
    assert "| makespan | 6.20 s |" in shown


def test_message_cannot_end_the_data_element_of_the_page() -> None:
    """Text of a message starts no script, and is unchanged in the data."""
    evil = "</script><script>{{data}}<!--"
    made = document(dispatched("fair", ((evil, 1.0),)), title="<b>.sqlite", arguments=True)

    page = as_page(made)

    assert "<b>" not in page
    assert evil not in page
    data = re.search(r'<script type="application/json" id="proj-report-data">(.*?)</script>', page, re.DOTALL)
    assert data is not None
    assert json.loads(data[1])["runs"][0]["groups"][0]["lanes"][0][0][3] == evil


def test_page_loads_nothing() -> None:
    """Its policy forbids it, and allows its own script and style by their hashes."""
    page = as_page(document(both(), title="run.sqlite"))

    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy[1]
    assert not re.findall(r"https?://|\bimport\(|fetch\(|XMLHttpRequest|innerHTML|document\.write|eval\(", page)
