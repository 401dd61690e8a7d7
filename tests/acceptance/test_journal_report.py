"""`celery -A anyapp journal report`, and its page as a browser shows it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from proj.journal.attempt import Attempt
from proj.journal.records import Run, Worker
from proj.journal.writer import JournalWriter
from tests.acceptance.chromium import Tab, browser

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import Celery

BEGAN = 1_000_000.0


def fill(path: Path, *, messages: int = 10) -> Path:
    """A journal of a run in each mode: every second message is heavy; with round-robin one worker gets all of these."""
    with JournalWriter(path) as writer:
        for began, mode in ((BEGAN, "round-robin"), (BEGAN + 60, "fair"), (BEGAN + 120, "adaptive")):
            free = {f"{mode}-{number}@host": began for number in (1, 2)}
            attempts = []
            for number in range(messages):
                turn = list(free)[number % 2] if mode == "round-robin" else min(free, key=lambda name: free[name])
                started = free[turn]
                free[turn] += 2.0 if number % 2 == 0 else 0.1
                attempts.append(
                    Attempt(
                        task_id=f"{mode}-{number}",
                        state="succeeded",
                        name="theirs.work",
                        queue=f"queue.{mode}",
                        worker=turn,
                        arguments=f"('<i>message</i> {number}',)",
                        sent=began,
                        received=began if mode == "round-robin" else started,
                        started=started,
                        finished=free[turn],
                        runtime_s=free[turn] - started,
                        run=mode,
                    )
                )
            writer.add_run(Run(name=mode, dispatch=mode, began=began, settings={"seed": 7}))
            writer.put_workers(Worker(name=name, slots=1, queues=(f"queue.{mode}",), dispatch=mode) for name in free)
            writer.put_attempts(attempts)
            writer.end_run(mode, max(free.values()))
        writer.commit()
    return path


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return fill(tmp_path / "run.sqlite")


@pytest.fixture
def page(celery: Celery, journal: Path, tmp_path: Path) -> Path:
    written = celery("-A", "proj", "journal", "report", str(journal), "--arguments", "-o", "page.html")
    assert written.returncode == 0, written.stderr
    return tmp_path / "page.html"


@pytest.fixture(scope="module")
def shared_tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser(tmp_path_factory.mktemp("browser")) as tab:
        yield tab


@pytest.fixture
def tab(shared_tab: Tab) -> Tab:
    """A tab without recorded complaints and requests."""
    shared_tab.do("Emulation.setEmulatedMedia", features=[])
    shared_tab.do("Emulation.clearDeviceMetricsOverride")
    shared_tab.complaints.clear()
    shared_tab.requests.clear()
    return shared_tab


# --- The command ------------------------------------------------------------------------------------------


def test_report_is_text_by_default(celery: Celery, journal: Path) -> None:
    """The figures of the runs are side by side on stdout; no broker is needed."""
    shown = celery("-A", "proj", "journal", "report", str(journal), CELERY_BROKER_URL="amqp://127.0.0.1:1//")

    assert (shown.returncode, shown.stderr) == (0, "")
    assert re.search(r"makespan +10\.0 s +6\.20 s +6\.20 s", shown.stdout)


def test_report_works_with_any_app(celery: Celery, journal: Path, tmp_path: Path) -> None:
    """The app does not use proj; the report is JSON for programs."""
    (tmp_path / "theirs.py").write_text("from celery import Celery\napp = Celery('theirs')\n")

    shown = celery("-A", "theirs", "journal", "report", str(journal), "--format", "json", "--run", "fair")

    assert shown.returncode == 0, shown.stderr
    assert [run["name"] for run in json.loads(shown.stdout)["runs"]] == ["fair"]


@pytest.mark.parametrize(
    ("name", "beginning"),
    [("page.html", "<!doctype html>"), ("a.md", "### run"), ("a.txt", "run.sqlite"), ("a.json", '{"format"')],
)
def test_ending_of_the_output_chooses_the_format(
    celery: Celery, journal: Path, tmp_path: Path, name: str, beginning: str
) -> None:
    """The old content is replaced, and the summary goes to stderr."""
    (tmp_path / name).write_text("old")

    written = celery("-A", "proj", "journal", "report", str(journal), "-o", name)

    assert (written.returncode, written.stdout) == (0, "")
    assert written.stderr.startswith(f"{name}: 3 runs, ")
    assert (tmp_path / name).read_text().startswith(beginning)
    assert {path.name for path in tmp_path.iterdir() if path.name.startswith(".")} == set()


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("missing.sqlite",), 2, "There is no journal at missing.sqlite"),
        (("empty.sqlite",), 1, "There is nothing to report in empty.sqlite"),
        (("run.sqlite", "--run", "unfair"), 1, "Its runs are: round-robin, fair, adaptive."),
        (("run.sqlite", "-o", "page.pdf"), 2, "page.pdf ends in none of .html"),
        (("run.sqlite", "-o", "nowhere/page.html"), 1, "cannot be written to nowhere/page.html"),
    ],
)
def test_report_names_the_error_in_one_sentence(
    celery: Celery, journal: Path, tmp_path: Path, words: tuple[str, ...], status: int, said: str
) -> None:
    """There is no journal, no attempt in it, no such run, no such format or no such folder."""
    with JournalWriter(tmp_path / "empty.sqlite") as writer:
        writer.commit()
    assert journal.exists()

    refused = celery("-A", "proj", "journal", "report", *words)

    assert refused.returncode == status
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr


# --- The page ---------------------------------------------------------------------------------------------


def test_page_draws_without_errors_and_loads_nothing(tab: Tab, page: Path) -> None:
    """There is a picture for each timeline, each depth and each kind of wait, and none of them is blank."""
    tab.open(page)

    blank = """[...document.querySelectorAll("canvas[role]")].filter((canvas) => {
        const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return new Set(new Uint32Array(data.buffer)).size < 3;
    }).length"""
    assert tab.value("document.querySelectorAll('canvas[role]').length") == 3 + 3 + 3
    assert tab.value(blank) == 0
    assert tab.complaints == []
    assert [address for address in tab.requests if not address.startswith(("file:", "data:"))] == []


@pytest.mark.parametrize("width", [1000, 1280])
def test_runs_in_three_modes_are_side_by_side(tab: Tab, page: Path, width: int) -> None:
    """A card each, at the same height, and no name is cut."""
    tab.do("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False)
    tab.open(page)

    tops = tab.value("[...document.querySelectorAll('.cards > *')].map((one) => one.getBoundingClientRect().top)")
    assert len(tops) == 3
    assert len(set(tops)) == 1
    cut = "[...document.querySelectorAll('.cards *')].filter((one) => one.scrollWidth > one.clientWidth + 1).length"
    assert tab.value(cut) == 0


def test_page_has_a_table_below_every_picture(tab: Tab, page: Path) -> None:
    """The tables have the figures of the pictures, and each picture has a description."""
    tab.open(page)

    assert tab.value("[...document.querySelectorAll('caption')].map((one) => one.textContent)") == [
        *["Workers"] * 3,
        *["Depth of the queues"] * 3,
        "Waits and run times",
        "Longest avoidable waits",
        "Figures",
        "How it was made",
    ]
    assert tab.value("[...document.querySelectorAll('canvas[role]')].every((one) => one.ariaLabel.length > 20)")


def test_timeline_is_read_with_the_keyboard(tab: Tab, page: Path) -> None:
    """The arrow keys move from bar to bar, and the bar is described below; markup in a message is text."""
    tab.open(page)
    tab.value("document.querySelector('canvas[tabindex]').focus()")

    readings = []
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        tab.press(key)
        readings.append(tab.value("document.querySelector('output').textContent"))

    assert readings == [
        "round-robin-1, slot 1: <i>message</i> 0: done, 0 s to 2.00 s (2.00 s), from 13:46:40 UTC",
        "round-robin-1, slot 1: <i>message</i> 2: done, 2.00 s to 4.00 s (2.00 s), from 13:46:42 UTC",
        "round-robin-2, slot 1: <i>message</i> 9: done, 0.40 s to 0.50 s (0.10 s), from 13:46:40 UTC",
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_page_fits_and_can_be_read(tab: Tab, page: Path, scheme: str, width: int) -> None:
    """Nothing is cut off on a desktop or a phone, and contrast is at least 4.5 (WCAG AA) in light and dark."""
    tab.do("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    tab.do("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 500)
    tab.open(page)

    style = "getComputedStyle(document.querySelector('#proj-report'))"
    colours = {
        name: tab.value(f"{style}.getPropertyValue('--pr-{name}').trim()")
        for name in ("surface", "raised", "ink", "muted", "running", "onrunning", "lost", "held", "failed")
    }
    assert tab.value("document.documentElement.scrollWidth") <= width
    assert (luminance(colours["surface"]) < 0.1) == (scheme == "dark")
    for text in ("ink", "muted", "lost", "held", "failed", "running"):
        assert contrast(colours[text], colours["surface"]) >= 4.5, text
    assert contrast(colours["ink"], colours["raised"]) >= 4.5
    assert contrast(colours["onrunning"], colours["running"]) >= 4.5


def test_page_prints_in_light_with_its_tables_open(tab: Tab, page: Path) -> None:
    """Paper cannot be clicked; after printing, the tables on the screen are as before."""
    tab.do("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    tab.open(page)
    tab.value(
        "void addEventListener('beforeprint', () => { window.printed = ["
        "[...document.querySelectorAll('details')].every((one) => one.open), "
        "getComputedStyle(document.querySelector('#proj-report')).getPropertyValue('--pr-surface').trim()]; })"
    )

    assert len(tab.do("Page.printToPDF")["data"]) > 10_000

    assert tab.value("window.printed") == [True, "#ffffff"]
    assert tab.value("[...document.querySelectorAll('details')].some((one) => one.open)") is False


def test_page_is_drawn_again_with_newer_data(tab: Tab, page: Path) -> None:
    """A live page replaces the pictures, and opened tables stay open."""
    tab.open(page)

    again = """(() => {
        const root = document.getElementById("proj-report");
        const data = JSON.parse(document.getElementById("proj-report-data").textContent);
        root.querySelector("details").open = true;
        return new Promise((done) => setTimeout(() => {
            data.runs.pop();
            ProjReport.draw(root, data);
            done([root.querySelectorAll("canvas[role]").length, root.querySelector("details").open]);
        }, 50));
    })()"""
    assert tab.value(again) == [2 + 2 + 3, True]
    assert tab.value(
        "ProjReport.draw(document.getElementById('proj-report'), {format: 'proj-report', version: 99}), "
        "document.getElementById('proj-report').textContent"
    ).endswith("was given version 99.")


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    brighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)
