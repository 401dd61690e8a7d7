"""The buttons of the view Now: a queue is paused and resumed, and dead letters are shown and requeued."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery import Celery

from proj.dashboard.web.actions.halt_actions import HaltActions
from proj.dashboard.web.actions.halt_progress import HaltProgress
from proj.dashboard.web.actions.handler import Asked, Fields
from proj.dashboard.web.actions.job import Job
from proj.dashboard.web.actions.letter_actions import LetterActions
from proj.dashboard.web.actions.letter_groups import Look, grouped
from proj.dashboard.web.actions.retry_decision import RULE
from proj.delivery.dead_letters.letter import DeadLetter
from proj.journal.attempt import Attempt
from proj.lab.processes.waiting import wait_until
from tests.acceptance import now_scenes
from tests.acceptance.dispatch_server import refreshed, serving, text, visit

if TYPE_CHECKING:
    from proj.dashboard.web.actions.letter_progress import LetterProgress
    from proj.delivery.dead_letters.choice import Choice
    from tests.acceptance.chromium import Tab

CONTRAST = Path(__file__).with_name("contrast.js")
CONTROLS = Path(__file__).with_name("controls.js")
ASKED = "#dispatch-question"
LETTERS = "#dispatch-letters"


class Actions:
    """In place of `QueueActions`: keeps what was done."""

    needs = ("queue",)
    may_have = ()
    absent = "There is no such queue."

    def __init__(self) -> None:
        self.done: list[tuple[str, str]] = []

    def ask(self, verb: str, fields: Fields) -> Asked:
        return Asked(question=f"{verb} {fields['queue'][0]}? 4 workers will follow.", count=4, yes="Do it")

    def do(self, verb: str, fields: Fields, **_: Any) -> dict[str, Any]:
        self.done.append((verb, fields["queue"][0]))
        return {"outcome": "It is done: 1 of 1 worker follows."}


class Letters(LetterActions):
    """Dead letters without a broker: a requeue waits for the test after the first letter."""

    def __init__(self) -> None:
        super().__init__(Celery("theirs", set_as_current=False), broker_api=None, journal=None)
        self.letters = [letter(number) for number in range(14)]
        self.go_on = threading.Event()

    def _look(self) -> Look:
        found = grouped(self.letters)
        look = Look(
            key=str(len(self._looks)),
            time=time.time(),
            queue="dead_letters",
            total=len(self.letters),
            read=len(self.letters),
            groups=found,
            warning=None,
        )
        self._looks[look.key] = look
        return look

    def _requeue(self, choice: Choice, what: str, job: Job[LetterProgress]) -> None:
        assert what
        for each in [one for one in self.letters if choice.takes(one)]:
            self.letters.remove(each)
            job.progress.done += 1
            assert self.go_on.wait(60)
            if job.is_cancelled:
                return


class Workers(HaltActions):
    """Workers without a broker: a halt waits for the test."""

    def __init__(self) -> None:
        super().__init__(Celery("theirs", set_as_current=False), of="worker", broker_api=None, journal=None)
        self.go_on = threading.Event()

    def ask(self, verb: str, fields: Fields) -> Asked:
        return Asked(question=f"{verb} {fields['worker'][0]}?", count=1, yes="Halt 1 worker")

    def do(self, verb: str, fields: Fields, *, who: str, count: int) -> dict[str, Any]:
        (name,) = fields["worker"]
        progress = HaltProgress(verb=verb, who=who, key="1", name=name, workers=[name], told=True)
        assert count == 1

        def halt(job: Job[HaltProgress]) -> None:
            assert self.go_on.wait(60)
            job.progress.stopped.append(name)

        self._jobs["1"] = Job(progress, halt)
        self._jobs["1"].start()
        return {"outcome": progress.said(), "halts": self.documents()}


def letter(number: int) -> DeadLetter:
    return DeadLetter(
        id=f"3fd1c2f4-0d0c-4f5e-9d1b-{number:012}",
        task="shop.tasks.send_receipt" if number % 3 else "shop.tasks.charge",
        arguments="('ann@example.com', 42)",
        reason="It killed its pool process 3 times (proj_strikes), last by signal 9 (SIGKILL)."
        if number < 10
        else "It expired at 2026-11-26T20:00:00+00:00, before it was run.",
        queue="mail",
        worker="w1@host",
        time=time.time() - 60 * number,
        attempts=3 if number < 10 else 1,
        size_bytes=812,
        ran=(True, None)[number % 2] if number < 10 else False,
    )


def said_now(waiting: int) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(now_scenes.document(now_scenes.fine()))
    return {**said, "dead_letters": {"queue": "dead_letters", "waiting": waiting, "new": 2}}


def test_queue_is_paused_after_a_question_and_resumed(tab: Tab) -> None:
    """By keyboard; without the answer nothing is done, and the row says that its queue is paused."""
    actions = Actions()
    with serving(actions) as server:
        server.monitor.now_said = json.loads(now_scenes.document(now_scenes.fine()))
        visit(tab, server.url)
        tab.value("document.querySelector('[data-key=\"row mail\"] [data-act]').focus()")
        tab.press("Enter")
        wait_until(lambda: "4 workers" in text(tab, ASKED), what="the question", timeout_s=60)
        tab.click("#dispatch-ask [value=no]")
        assert actions.done == []

        tab.click("[data-key='row mail'] [data-act]")
        wait_until(lambda: "4 workers" in text(tab, ASKED), what="the question", timeout_s=60)
        assert text(tab, "#dispatch-ask [value=yes]") == "Do it"
        tab.click("#dispatch-ask [value=yes]")
        wait_until(lambda: "1 of 1 worker" in text(tab, ASKED), what="the outcome", timeout_s=60)
        assert actions.done == [("pause", "mail")]
        tab.press("Escape")

        server.monitor.now_said["queues"][0].update(name="mail", paused=True)
        refreshed(tab)
        assert "paused" in text(tab, "[data-key='row mail'] th")
        assert tab.value("document.querySelector('[data-key=\"row mail\"] [data-act]').ariaLabel") == "Resume mail"
        assert tab.complaints == []


def test_dead_letters_are_shown_by_reason_and_requeued_in_the_background(tab: Tab) -> None:
    """The question names the count; the requeue says how far it is, and is cancelled from the page."""
    letters = Letters()
    with serving(Actions(), letters) as server:
        server.monitor.now_said = said_now(14)
        visit(tab, server.url)
        assert "14 wait in dead_letters; 2 came in these minutes." in text(tab, LETTERS)
        tab.click("[data-letters=look]")
        wait_until(lambda: "SIGKILL" in text(tab, LETTERS), what="the letters", timeout_s=60)
        assert "example.com" not in text(tab, LETTERS)
        tab.click("[data-arguments]")
        wait_until(lambda: "ann@example.com" in text(tab, LETTERS), what="the arguments", timeout_s=60)
        for scheme in ("light", "dark"):
            tab.look(scheme=scheme, still=True)
            assert tab.value(CONTRAST.read_text())["poor"] == []
        assert tab.value(CONTROLS.read_text()) == []

        tab.click(f"{LETTERS} [data-act='letters/requeue']")
        wait_until(lambda: text(tab, ASKED).startswith("Requeue 10 letters to mail?"), what="it", timeout_s=60)
        tab.click("#dispatch-ask [value=yes]")
        wait_until(lambda: "1 of 10 letters were requeued so far" in text(tab, LETTERS), what="progress", timeout_s=60)
        tab.click("[data-letters=cancel]")
        wait_until(lambda: "being cancelled" in text(tab, LETTERS), what="the cancellation", timeout_s=60)
        letters.go_on.set()
        wait_until(lambda: "cancelled it: 1 of 10" in text(tab, LETTERS), what="the outcome", timeout_s=60)
        wait_until(lambda: "(9)" in text(tab, LETTERS), what="a new look", timeout_s=60)

        tab.value("document.querySelectorAll('[data-mark]').forEach((one, at) => at < 2 && one.click())")
        tab.click("[data-letters=requeue]")
        wait_until(lambda: text(tab, ASKED).startswith("Requeue 2 letters to mail?"), what="it", timeout_s=60)
        tab.click("#dispatch-ask [value=yes]")
        wait_until(lambda: "2 of 2 letters were requeued in" in text(tab, LETTERS), what="the outcome", timeout_s=60)
        assert tab.complaints == []


def test_worker_is_halted_after_a_question_and_shown_as_draining(tab: Tab) -> None:
    """The page says which workers have stopped; a worker that ends its last tasks is draining."""
    workers = Workers()
    with serving(Actions(), workers=workers) as server:
        server.monitor.now_said = json.loads(now_scenes.document(now_scenes.fine()))
        visit(tab, server.url)
        tab.click("[data-key='row w1@host'] [data-act='workers/halt']")
        wait_until(lambda: text(tab, ASKED) == "halt w1@host?", what="the question", timeout_s=60)
        tab.click("#dispatch-ask [value=yes]")
        wait_until(lambda: "w1@host ends its tasks" in text(tab, "#dispatch-halts"), what="the halt", timeout_s=60)
        server.monitor.now_said["workers"][0].update(name="w1@host", state="draining")
        refreshed(tab)
        assert "draining" in text(tab, "[data-key='row w1@host']")
        assert tab.value("document.querySelectorAll(\"[data-key='row w1@host'] [data-act]\").length") == 0
        assert tab.value(CONTROLS.read_text()) == []
        assert tab.value(CONTRAST.read_text())["poor"] == []
        workers.go_on.set()
        wait_until(lambda: "1 of 1 worker stopped" in text(tab, "#dispatch-halts"), what="its end", timeout_s=60)
        assert tab.complaints == []


def test_failed_task_is_sent_again_from_its_attempts_or_refused_with_the_reason(tab: Tab) -> None:
    """The rule is beside the button, which a task that has not failed lacks."""
    done = Attempt(task_id="done", state="succeeded", name="t.add", queue="sums")
    with serving(Actions()) as server:
        server.monitor.now_said = json.loads(now_scenes.document(now_scenes.fine()))
        server.monitor.tasks = [[replace(done, task_id="old", state="failed")], [done]]
        visit(tab, f"{server.url}?task=done")
        wait_until(lambda: "1 attempt" in text(tab, "#dispatch-task"), what="the attempts", timeout_s=60)
        assert "Send it again" not in text(tab, "#dispatch-task")
        visit(tab, f"{server.url}?task=old")
        wait_until(lambda: "Send it again" in text(tab, "#dispatch-task"), what="the button", timeout_s=60)
        assert RULE in text(tab, "#dispatch-task")
        tab.value("document.querySelector('#dispatch-task [data-act]').focus()")
        tab.press("Enter")
        wait_until(lambda: "no event tells its arguments" in text(tab, ASKED), what="the reason", timeout_s=60)
        for scheme in ("light", "dark"):
            tab.look(scheme=scheme, still=True)
            assert tab.value(CONTRAST.read_text())["poor"] == []


def test_page_has_no_buttons_where_the_dashboard_may_not_act(tab: Tab) -> None:
    """As it is by default. It shows dead letters all the same, and says which options allow more."""
    with serving(letters=Letters()) as server:
        server.monitor.now_said = said_now(14)
        visit(tab, server.url)
        tab.click("[data-letters=look]")
        wait_until(lambda: "SIGKILL" in text(tab, LETTERS), what="the letters", timeout_s=60)

        assert "--read_only=false and --basic_auth=user:password" in text(tab, LETTERS)
        assert tab.value("document.querySelectorAll('[data-act], [data-mark], dialog:not(#dispatch-task)').length") == 0
