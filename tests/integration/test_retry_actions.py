"""The button that sends a failed task again, over HTTP, on a real broker."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from celery import Celery
from kombu import Connection

from proj.journal.reader import open_journal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from proj.lab.broker import Broker

    from .conftest import Answer, Serve, Site

pytestmark = pytest.mark.one_version

PASSWORD = f"Basic {b64encode(b'ann:secret').decode()}"
QUEUE = "sums"


@pytest.fixture
def app(broker: Broker, vhost: str, tmp_path: Path) -> Iterator[Celery]:
    """An app whose result backend is a folder, as another process reads it."""
    results = tmp_path / "results"
    results.mkdir()
    app = Celery(broker=broker.url(vhost), backend=f"file://{results}", set_as_current=False)
    app.conf.task_routes = {"t.add": QUEUE}
    with app:
        yield app


def press(site: Site, **fields: str) -> Answer:
    origin = f"http://127.0.0.1:{site.port}"
    return site.ask("/dispatch/tasks/retry", "POST", body=urlencode(fields), Authorization=PASSWORD, Origin=origin)


def fail(site: Site, task_id: str, **told: Any) -> None:
    """Let the dashboard hear of a task that failed."""
    common = {"uuid": task_id, "hostname": "w@x", "timestamp": time.time(), "clock": 1, "utcoffset": 0, "pid": 1}
    received = {"name": "t.add", "args": "(1, 'two')", "kwargs": "{}", "retries": 0, **told}
    site.hear(
        {"type": "task-received", "local_received": time.time(), **common, **received},
        {"type": "task-failed", "local_received": time.time(), **common, "exception": "no", "traceback": ""},
    )


def test_failed_task_is_sent_again_with_the_same_arguments_and_a_new_id(
    serve: Serve, app: Celery, broker: Broker, tmp_path: Path
) -> None:
    """Those of the result backend, else those of its events; not twice, and not what nobody knows exactly."""
    options = {"basic_auth": ["ann:secret"], "read_only": False, "broker_api": broker.management_url}
    backend: Any = app.backend
    meta = {"status": "FAILURE", "result": None, "traceback": None, "children": [], "name": "t.add", "queue": QUEUE}
    with (
        serve(app, **options, journal=str(tmp_path / "journal")) as site,
        Connection(app.conf.broker_url) as connection,
    ):
        channel: Any = connection.default_channel
        channel.queue_declare(QUEUE, durable=True, auto_delete=False)
        fail(site, "by-text")
        fail(site, "kept", args="(<object>,)")
        fail(site, "shortened", args="('...',)")
        kept = {**meta, "task_id": "kept", "args": ["it's", {"k": [1]}], "kwargs": {"n": 2}}
        backend.set(backend.get_key_for_task("kept"), json.dumps(kept))
        answers = {}
        for name in ("by-text", "kept"):
            asked = press(site, task=name).json
            answers[name] = asked["question"], press(site, task=name, token=asked["token"]).json
            again = press(site, task=name, token=asked["token"])
            assert (again.status, "was sent again" in again.text) == (409, True)
        refused = [press(site, task=name) for name in ("shortened", "nobody")]
        messages = [channel.basic_get(QUEUE, no_ack=True) for _ in range(3)]

    assert [answer.status for answer in refused] == [409, 409]
    assert "Celery has shortened it" in refused[0].text
    assert answers["by-text"][0].startswith("Send 1 task t.add again to sums, with a new id and with its arguments as")
    assert [json.loads(one.body)[:2] for one in messages[:2]] == [[[1, "two"], {}], [["it's", {"k": [1]}], {"n": 2}]]
    assert messages[2] is None
    ids = [answers[name][1]["id"] for name in ("by-text", "kept")]
    assert [(one.headers["id"], one.headers["task"]) for one in messages[:2]] == [(new, "t.add") for new in ids]
    assert answers["kept"][1]["outcome"] == f"t.add kept was sent again to sums as {ids[1]}."
    with open_journal(tmp_path / "journal") as journal:
        assert [(each.who, each.verb, each.what, each.count) for each in journal.actions()] == [
            ("ann@dashboard", "retry", f"{old} as {new}, t.add to sums", 1)
            for old, new in zip(("by-text", "kept"), ids, strict=True)
        ]
