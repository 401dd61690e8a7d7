"""From a bar to the task, and the search: each leads to all attempts of a task and to Flower's page of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from proj.journal.attempt import Attempt
from proj.lab.processes.waiting import wait_until
from tests.acceptance import now_scenes
from tests.acceptance.dispatch_server import text, visit
from tests.acceptance.dispatch_story import BEGAN

if TYPE_CHECKING:
    from tests.acceptance.chromium import Tab
    from tests.acceptance.dispatch_server import Server, Told

CANVAS = "document.querySelector('#dispatch-report canvas[tabindex]')"


@pytest.fixture
def remembered(monitor: Told) -> Told:
    """The first task of the first bar was lost with its worker and done again; Flower remembers another one alone."""
    first = Attempt(
        task_id="round-robin-0",
        state="lost",
        name="theirs.work",
        queue="queue.round-robin",
        worker="round-robin-1@host",
        sent=BEGAN,
        received=BEGAN,
        started=BEGAN,
    )
    again = Attempt(
        task_id="round-robin-0",
        number=1,
        state="succeeded",
        name="theirs.work",
        worker="round-robin-2@host",
        redelivered=True,
        received=BEGAN + 3,
        started=BEGAN + 3,
        finished=BEGAN + 5,
    )
    monitor.tasks = [[first, again], [Attempt(task_id="fair-0", state="failed", name="theirs.<b>", worker="w@h")]]
    monitor.in_flower = {"fair-0"}
    return monitor


def shown(tab: Tab, words: str) -> str:
    """What the dialog says, when these words are in it."""
    wait_until(lambda: words in text(tab, "#dispatch-task[open]"), what=f"{words} in the dialog", timeout_s=60)
    return text(tab, "#dispatch-task")


def test_bar_leads_to_the_attempts_of_its_task_by_keyboard(page: Tab, remembered: Told) -> None:
    """Who had it, when, and why it came back; where Flower has forgotten it, that is said in place of a link."""
    assert remembered.tasks
    page.value(f"{CANVAS}.focus()")
    page.press("ArrowDown")
    page.press("Enter")

    said = shown(page, "Attempt 2")
    assert "Task round-robin-0" in said
    assert "then delivered again to round-robin-2@host" in said
    assert "Flower does not remember this task" in said
    assert "finished" in said
    assert "task=round-robin-0" in page.value("location.search")
    page.press("Escape")
    wait_until(lambda: not page.value("document.querySelector('#dispatch-task').open"), what="its end", timeout_s=60)
    assert page.value(f"document.activeElement === {CANVAS}")
    assert "task=" not in page.value("location.search")
    assert page.complaints == []


def test_offender_leads_to_the_attempts_of_its_task(page: Tab, remembered: Told) -> None:
    """By the begin of its id in the table of the longest avoidable waits."""
    assert remembered.tasks
    task = page.value("document.querySelector('#dispatch-report a[data-task]').dataset.task")
    page.value("document.querySelector('#dispatch-report a[data-task]').focus()")
    page.press("Enter")

    assert f"Task {task}" in shown(page, "Task ")


def test_search_finds_attempts_and_leads_to_their_tasks(tab: Tab, shared_server: Server, remembered: Told) -> None:
    """In both views; the address keeps the words, names are shown as text, and errors as a sentence."""
    remembered.now_said = json.loads(now_scenes.document(now_scenes.fine()))
    visit(tab, f"{shared_server.url}?words=state%3Alost")
    wait_until(lambda: "1 attempt in" in text(tab, "#dispatch-search-said"), what="the search", timeout_s=60)
    assert "round-robin-1@host" in text(tab, "#dispatch-tasks")

    def search(words: str) -> str:
        tab.value("document.querySelector('#dispatch-search-words').focus()")
        tab.value(f"void (document.querySelector('#dispatch-search-words').value = {words!r})")
        tab.press("Enter")
        done = "!['', 'Searching …'].includes(document.querySelector('#dispatch-search-said').textContent)"
        wait_until(lambda: tab.value(done), what="the search", timeout_s=60)
        return text(tab, "#dispatch-search-said")

    assert search("nowhere") == "No attempt in the dashboard's memory matches."
    assert text(tab, "#dispatch-tasks") == ""
    assert "There is no state 'done'" in search("state:done")
    assert search("fair-0") == "1 attempt in the dashboard's memory."
    assert "theirs.<b>" in text(tab, "#dispatch-tasks")
    assert tab.value("document.querySelector('#dispatch-tasks td a').getAttribute('href')") == "/task/fair-0"
    tab.value("document.querySelector('#dispatch-tasks a[data-task]').click()")
    assert "failed" in shown(tab, "Attempt 1")
    assert tab.value("document.querySelector('#dispatch-task-body a').getAttribute('href')") == "/task/fair-0"
    # The answer of 400 is what the page shows.
    assert all("400" in one for one in tab.complaints)


def test_page_of_a_task_that_flower_has_forgotten_leads_to_its_attempts(
    tab: Tab, shared_server: Server, remembered: Told
) -> None:
    """Instead of an answer of 404."""
    remembered.now_said = json.loads(now_scenes.document(now_scenes.fine()))
    tab.do("Page.navigate", url=f"{shared_server.url.removesuffix('/dispatch')}/task/round-robin-0")

    assert "2 attempts by the dashboard's memory" in shown(tab, "Attempt 2")
