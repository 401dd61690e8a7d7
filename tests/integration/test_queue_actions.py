"""The handlers of the buttons that pause and resume a queue: who may press them, and what is confirmed."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from celery import Celery

from proj.broker.queue_depths import QueueDepths
from proj.dashboard.web.actions.handler import Asked, Fields
from proj.dashboard.web.actions.queue_actions import QueueActions
from proj.errors import ProjError
from proj.journal.reader import open_journal
from proj.journal.writer import JournalWriter

if TYPE_CHECKING:
    from pathlib import Path

    from proj.lab.broker import Broker

    from .conftest import Answer, Serve, Site

pytestmark = pytest.mark.one_version

PAUSE = "/dispatch/queues/pause"
BUTTONS = (PAUSE, *(f"/dispatch/letters/{verb}" for verb in ("requeue", "export", "purge", "cancel")))
BUTTONS += (
    "/dispatch/queues/halt",
    "/dispatch/queues/drain",
    "/dispatch/queues/cancel",
    "/dispatch/workers/halt",
    "/dispatch/tasks/retry",
)
PASSWORD = f"Basic {b64encode(b'ann:secret').decode()}"


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """What was done, by whom, in place of a broker."""
    done: list[tuple[str, str, str]] = []

    def ask(_self: QueueActions, verb: str, fields: Fields) -> Asked | None:
        (queue,) = fields["queue"]
        return Asked(question=f"{verb} {queue}?", count=2) if queue != "nowhere" else None

    def do(_self: QueueActions, verb: str, fields: Fields, *, who: str, count: int) -> dict[str, Any]:
        (queue,) = fields["queue"]
        assert count == 2
        if queue == "refused":
            raise ProjError("It cannot be paused.")
        done.append((verb, queue, who))
        return {"queue": queue, "done": True}

    monkeypatch.setattr(QueueActions, "ask", ask)
    monkeypatch.setattr(QueueActions, "do", do)
    return done


def press(site: Site, path: str = PAUSE, **fields: str) -> Answer:
    """Press a button on a page of the dashboard, with the right password."""
    origin = f"http://127.0.0.1:{site.port}"
    return site.ask(path, "POST", body=urlencode(fields), Authorization=PASSWORD, Origin=origin)


def test_button_asks_first_and_then_does_what_was_confirmed(serve: Serve, done: list[tuple[str, str, str]]) -> None:
    """The question names the count. Its answer holds for this user, this verb and this queue alone."""
    with serve(basic_auth=["ann:secret"], read_only=False) as site:
        asked = press(site, queue="mail").json
        other = [
            press(site, queue="media", token=asked["token"]).status,
            press(site, "/dispatch/queues/resume", queue="mail", token=asked["token"]).status,
            press(site, queue="mail", token="3" + asked["token"]).status,
        ]
        before = list(done)
        confirmed = press(site, queue="mail", token=asked["token"])

    assert (asked["question"], asked["count"]) == ("pause mail?", 2)
    assert (other, before) == ([409, 409, 409], [])
    assert (confirmed.status, confirmed.json) == (200, {"queue": "mail", "done": True})
    assert done == [("pause", "mail", "ann@dashboard")]


@pytest.mark.parametrize(
    ("options", "headers", "status"),
    [
        ({"read_only": True}, {}, 401),
        ({"read_only": False}, {}, 401),
        ({"read_only": True, "basic_auth": ["ann:secret"]}, {"Authorization": PASSWORD, "Origin": "here"}, 403),
        ({"read_only": False, "basic_auth": ["ann:secret"]}, {"Origin": "here"}, 401),
        ({"read_only": False, "basic_auth": ["ann:secret"]}, {"Authorization": PASSWORD}, 403),
        (
            {"read_only": False, "basic_auth": ["ann:secret"]},
            {"Authorization": PASSWORD, "Origin": "http://evil.example"},
            403,
        ),
    ],
    ids=["read-only", "no password", "read-only with password", "without", "no origin", "other page"],
)
def test_button_is_refused_to_everyone_else(
    serve: Serve, done: list[tuple[str, str, str]], options: dict[str, Any], headers: dict[str, str], status: int
) -> None:
    """As Flower's own buttons: behind its authentication, not where it is read-only, and not from another page."""
    with serve(**options) as site:
        said = {name: value.replace("here", f"http://127.0.0.1:{site.port}") for name, value in headers.items()}
        answers = [site.ask(path, "POST", body="queue=mail&look=1&group=0", **said).status for path in BUTTONS]
        read = site.ask(PAUSE, **said)

    assert answers == [status] * len(BUTTONS)
    assert read.status in {401, 405}
    assert done == []


def test_button_says_why_nothing_was_done(serve: Serve, done: list[tuple[str, str, str]]) -> None:
    """In one plain sentence."""
    with serve(basic_auth=["ann:secret"], read_only=False) as site:
        nowhere = press(site, queue="nowhere")
        missing = press(site)
        refused = press(site, queue="refused", token=press(site, queue="refused").json["token"])

    assert (nowhere.status, nowhere.text) == (404, "There is no such queue.\n")
    assert missing.status == 400
    assert (refused.status, refused.text) == (409, "It cannot be paused.\n")
    assert done == []


def test_actions_of_buttons_are_those_of_the_commands(broker: Broker, vhost: str, tmp_path: Path) -> None:
    """On a real broker, with a line in the journal that the dashboard writes."""
    app = Celery(broker=broker.url(vhost), set_as_current=False)
    actions = QueueActions(app, broker_api=broker.management_url, journal=tmp_path / "journal")
    depths = QueueDepths(app, broker_api=broker.management_url)
    fields = {"queue": ("dead_letters",)}

    def is_paused() -> bool:
        return {depth.name: depth.paused for depth in depths.read()}["dead_letters"]

    with app, JournalWriter(tmp_path / "journal"):
        asked = actions.ask("pause", fields)
        paused = (actions.do("pause", fields, who="ann@dashboard", count=0)["paused"], is_paused())
        resumed = (actions.do("resume", fields, who="bob@dashboard", count=0)["paused"], is_paused())
        nowhere = actions.ask("pause", {"queue": ("nowhere",)})

    assert asked is not None
    assert asked.question == (
        "Pause dead_letters? 0 workers will start no task of it until it is resumed; 0 messages wait in it."
    )
    assert (paused, resumed, nowhere) == ((True, True), (False, False), None)
    with open_journal(tmp_path / "journal") as journal:
        assert [(each.who, each.verb) for each in journal.actions()] == [
            ("ann@dashboard", "pause"),
            ("bob@dashboard", "resume"),
        ]


@pytest.mark.parametrize(("read_only", "buttons"), [(False, 1), (True, 0)])
def test_page_has_the_buttons_where_they_may_be_pressed(serve: Serve, *, read_only: bool, buttons: int) -> None:
    """It knows their addresses then."""
    with serve(basic_auth=["ann:secret"], read_only=read_only) as site:
        page = site.ask("/dispatch", Authorization=PASSWORD)

    assert page.status == 200
    assert page.text.count('data-acts="/dispatch"') == page.text.count('id="dispatch-ask"') == buttons
