"""The dead letters of the dashboard over HTTP, on a real broker: looked at, requeued, exported, removed, cancelled."""

from __future__ import annotations

import json
import threading
from base64 import b64encode
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import pytest
from amqp.basic_message import Message
from celery import Celery
from kombu import Connection

from proj.delivery.dead_letters.headers import dead_letter_headers
from proj.delivery.dead_letters.queue import DeadLetterQueue
from proj.delivery.dead_letters.requeue import NOTES_SUFFIX
from proj.journal.reader import open_journal
from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from proj.delivery.dead_letters.queue import UnackedLetter
    from proj.lab.broker import Broker

    from .conftest import Answer, Serve, Site

pytestmark = pytest.mark.one_version

PASSWORD = f"Basic {b64encode(b'ann:secret').decode()}"
WORK = "work"
NOTES = f"dead_letters{NOTES_SUFFIX}"


@pytest.fixture
def channel(broker: Broker, vhost: str) -> Iterator[Any]:
    with Connection(broker.url(vhost)) as connection:
        channel = connection.default_channel
        channel.confirm_select()
        channel.queue_declare(WORK, durable=True, auto_delete=False)
        yield channel


@pytest.fixture
def site(broker: Broker, vhost: str, serve: Serve, tmp_path: Path) -> Callable[..., Any]:
    """Serves the dashboard of this virtual host."""

    @contextmanager
    def site(**options: Any) -> Iterator[Site]:
        app = Celery(broker=broker.url(vhost), set_as_current=False)
        with serve(app, broker_api=broker.management_url, journal=str(tmp_path / "journal"), **options) as served, app:
            yield served

    return site


def put(channel: Any, names: list[str], reason: str, *, ran: bool | None = None) -> None:
    """Put letters into the queue, as a worker does."""
    for name in names:
        headers = dead_letter_headers(
            {"id": name, "task": "t.t", "argsrepr": "('secret',)"}, reason=reason, queue=WORK, worker="w@x", time=1.5,
            attempts=1, ran=ran,
        )  # fmt: skip
        message = Message(b"[[1], {}, {}]", application_headers=headers, content_type="application/json")
        channel.basic_publish_confirm(message, exchange="", routing_key="dead_letters")


def press(site: Site, verb: str, **fields: Any) -> Answer:
    origin = f"http://127.0.0.1:{site.port}"
    body = urlencode(fields, doseq=True)
    return site.ask(f"/dispatch/letters/{verb}", "POST", body=body, Authorization=PASSWORD, Origin=origin)


def confirmed(site: Site, verb: str, **fields: Any) -> tuple[str, Answer]:
    """The question, and the answer to a yes."""
    asked = press(site, verb, **fields).json
    return asked["question"], press(site, verb, **fields, token=asked["token"])


def look(site: Site, **headers: str) -> Any:
    return site.ask("/dispatch/letters?again=1", **headers).json


def ended(site: Site) -> Any:
    """The job, when it has ended."""

    def job() -> Any:
        return site.ask("/dispatch/letters/job", Authorization=PASSWORD).json["job"]

    wait_until(lambda: job()["state"] not in {"running", "stopping"}, what="the job to end", timeout_s=60)
    return job()


def count(channel: Any, queue: str) -> int:
    return int(channel.queue_declare(queue, passive=True).message_count)


def test_letters_are_requeued_exported_and_removed_with_a_line_each(
    site: Callable[..., Any], channel: Any, tmp_path: Path
) -> None:
    """All of a reason, or chosen ones; the count is that of the question, and the journal has who did it."""
    put(channel, [f"expired-{number}" for number in range(12)], "It expired.", ran=False)
    put(channel, ["killer", "other"], "It killed its pool process.", ran=True)
    with site(basic_auth=["ann:secret"], read_only=False) as served:
        first = look(served, Authorization=PASSWORD)["look"]
        asked, answer = confirmed(served, "requeue", look=first["key"], group="0")
        assert answer.status == 200
        job = ended(served)
        requeued = (count(channel, WORK), count(channel, "dead_letters"))
        second = look(served, Authorization=PASSWORD)["look"]
        (chosen,) = [one["mark"] for one in second["groups"][0]["letters"] if one["id"] == "killer"]
        _, exported = confirmed(served, "export", look=second["key"], letter=[chosen])
        removal, _ = confirmed(served, "purge", look=second["key"], letter=[chosen])
        purged = ended(served)
        stale = press(served, "requeue", look=second["key"], group="7")
        unknown = press(served, "requeue", look="nobody", group="0")

    assert [(group["reason"], group["queue"], group["count"]) for group in first["groups"]] == [
        ("It expired.", WORK, 12),
        ("It killed its pool process.", WORK, 2),
    ]
    assert {one["ran"] for one in first["groups"][1]["letters"]} == {True}
    assert asked == "Requeue 12 letters to work?"
    assert (job["state"], job["done"], job["twice"], requeued) == ("done", 12, [], (12, 2))
    assert exported.headers["Content-Disposition"].startswith('attachment; filename="dead_letters-')
    assert [json.loads(line)["id"] for line in exported.text.splitlines()] == ["killer"]
    assert removal.startswith("Remove 1 letter from dead_letters for ever?")
    assert (purged["done"], count(channel, "dead_letters")) == (1, 1)
    assert (stale.status, unknown.status) == (409, 404)
    with open_journal(tmp_path / "journal") as journal:
        assert [(each.who, each.verb, each.what, each.count) for each in journal.actions()] == [
            ("ann@dashboard", "requeue", "dead_letters: reason 'It expired.', from work", 12),
            ("ann@dashboard", "export", "dead_letters: killer", 1),
            ("ann@dashboard", "purge", "dead_letters: killer", 1),
        ]


def test_requeue_that_is_cancelled_stops_between_two_letters_and_names_what_may_be_doubled(
    site: Callable[..., Any], channel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was done is told and counted; the others stay. An earlier requeue that was killed had one in hand.

    It had requeued another one, which is no dead letter any more: when all letters were looked at, its note is deleted.
    """
    names = [f"letter-{number:02}" for number in range(40)]
    put(channel, names, "It expired.")
    put(channel, ["other"], "It killed its pool process.")
    channel.queue_declare(NOTES, durable=True, auto_delete=False)
    note = Message(json.dumps(["letter-03 1.5", "requeued 1.5"]).encode())
    channel.basic_publish_confirm(note, exchange="", routing_key=NOTES)
    reached, go_on, stock = threading.Event(), threading.Event(), DeadLetterQueue.requeue

    def requeue(self: DeadLetterQueue, unacked: UnackedLetter, **more: Any) -> None:
        stock(self, unacked, **more)
        if unacked.letter.id == "letter-15":
            reached.set()
            assert go_on.wait(60)

    monkeypatch.setattr(DeadLetterQueue, "requeue", requeue)
    with site(basic_auth=["ann:secret"], read_only=False) as served:
        key = look(served, Authorization=PASSWORD)["look"]["key"]
        _, answer = confirmed(served, "requeue", look=key, group="0")
        assert reached.wait(60)
        _, other = confirmed(served, "purge", look=key, group="0")
        during = look(served, Authorization=PASSWORD)
        cancelled = press(served, "cancel")
        go_on.set()
        job = ended(served)
        noted = count(channel, NOTES)
        left = look(served, Authorization=PASSWORD)["look"]
        _, again = confirmed(served, "requeue", look=left["key"], group="0")
        last = ended(served)

    assert (answer.status, other.status, cancelled.json["job"]["state"]) == (200, 409, "stopping")
    assert (during["look"]["key"], during["job"]["state"]) == (key, "running")
    assert (job["state"], job["done"], job["twice"]) == ("stopped", 16, ["letter-03"])
    assert "ann@dashboard cancelled it: 16 of 40 letters were requeued, and 24 stay in dead_letters." in job["said"]
    assert noted == 1
    assert left["groups"][0]["count"] == 24
    assert (again.status, last["done"], last["twice"]) == (200, 24, [])
    requeued = [channel.basic_get(WORK, no_ack=True).headers["id"] for _ in range(40)]
    assert requeued == names
    with pytest.raises(channel.connection.channel_errors):
        count(channel, NOTES)


def test_letters_are_shown_where_nothing_may_be_done_but_not_to_another_page_or_without_the_password(
    site: Callable[..., Any], channel: Any
) -> None:
    """Without arguments, unless those of one letter are asked for. A look takes nothing away."""
    put(channel, ["one"], "It expired.")
    with site(read_only=True) as served:
        seen = look(served)["look"]
        letter = seen["groups"][0]["letters"][0]
        where = f"/dispatch/letters/arguments?look={seen['key']}&letter="
        asked = served.ask(where + quote(letter["mark"])).json
        nobody = served.ask(where + "nobody").status
        other = served.ask("/dispatch/letters", Sec_Fetch_Site="cross-site").status
        page = served.ask("/dispatch").text
    with site(read_only=True, basic_auth=["ann:secret"]) as served:
        without = served.ask("/dispatch/letters").status

    assert (letter["id"], letter["ran"], "secret" in json.dumps(seen)) == ("one", None, False)
    assert asked == {"arguments": "('secret',)"}
    assert (nobody, other, without) == (404, 403, 401)
    assert "data-acts" not in page
    assert count(channel, "dead_letters") == 1
