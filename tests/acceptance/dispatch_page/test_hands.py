"""The buttons that pause and resume a queue in the view Now."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from proj.dashboard.web.actions.handler import Asked
from proj.lab.processes.waiting import wait_until
from tests.acceptance import now_scenes
from tests.acceptance.dispatch_server import refreshed, serving, text, visit

if TYPE_CHECKING:
    from tests.acceptance.chromium import Tab


class Actions:
    """In place of `QueueActions`: keeps what was done."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str]] = []

    def ask(self, verb: str, queue: str) -> Asked:
        return Asked(question=f"{verb} {queue}? 4 workers will follow.", count=4)

    def do(self, verb: str, queue: str, **_who: str) -> dict[str, Any]:
        self.done.append((verb, queue))
        return {"done": True, "workers": [{"worker": "w1@host", "followed": True}]}


def test_queue_is_paused_after_a_question_and_resumed(tab: Tab) -> None:
    """By keyboard; without the answer nothing is done, and the row says that its queue is paused."""
    actions = Actions()
    asked = "#dispatch-question"
    with serving(actions) as server:
        server.monitor.now_said = json.loads(now_scenes.document(now_scenes.fine()))
        visit(tab, server.url)
        tab.value("document.querySelector('[data-act=pause][data-queue=mail]').focus()")
        tab.press("Enter")
        wait_until(lambda: "4 workers" in text(tab, asked), what="the question", timeout_s=60)
        tab.click("#dispatch-ask [value=no]")
        assert actions.done == []

        tab.click("[data-act=pause][data-queue=mail]")
        wait_until(lambda: "4 workers" in text(tab, asked), what="the question", timeout_s=60)
        tab.click("#dispatch-ask [value=yes]")
        wait_until(lambda: "1 of 1 workers" in text(tab, asked), what="the outcome", timeout_s=60)
        assert text(tab, asked) == "mail is paused: 1 of 1 workers follow."
        assert actions.done == [("pause", "mail")]
        tab.press("Escape")

        server.monitor.now_said["queues"][0].update(name="mail", paused=True)
        refreshed(tab)
        assert "paused" in text(tab, "[data-key='row mail'] th")
        assert tab.value("document.querySelector('[data-queue=mail]').ariaLabel") == "Resume mail"
        assert tab.complaints == []


def test_page_has_no_buttons_where_the_dashboard_may_not_act(tab: Tab) -> None:
    """As it is by default."""
    with serving() as server:
        server.monitor.now_said = json.loads(now_scenes.document(now_scenes.fine()))
        visit(tab, server.url)
        assert tab.value("document.querySelectorAll('[data-act], dialog').length") == 0
