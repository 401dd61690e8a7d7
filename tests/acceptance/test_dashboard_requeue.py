"""The requeue of the dashboard's page, killed in the middle, as `python bench/requeue.py` measures it at full size."""

from __future__ import annotations

import json
import urllib.request
from base64 import b64encode
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from amqp.basic_message import Message
from kombu import Connection

from proj.delivery.dead_letters.headers import dead_letter_headers
from proj.lab.processes.waiting import wait_until
from tests.acceptance.test_dashboard import Dashboard

if TYPE_CHECKING:
    from pathlib import Path

    from proj.lab.processes.guard import Guard

COUNT = 500


class Buttons(Dashboard):
    """A dashboard whose buttons one may press."""

    def press(self, path: str, **fields: str) -> Any:
        """The JSON at a path; `fields` are those of a button."""
        address = f"http://127.0.0.1:{self.port}"
        headers = {"Authorization": f"Basic {b64encode(b'ann:secret').decode()}", "Origin": address}
        data = urlencode(fields).encode() if fields else None
        with urllib.request.urlopen(
            urllib.request.Request(address + path, data=data, headers=headers), timeout=60
        ) as answer:
            return json.loads(answer.read())

    def requeue_all(self) -> None:
        look = self.press("/dispatch/letters?again=1")["look"]
        fields = {"look": look["key"], "group": look["groups"][0]["key"]}
        self.press(
            "/dispatch/letters/requeue", **fields, token=self.press("/dispatch/letters/requeue", **fields)["token"]
        )

    def job(self) -> Any:
        return self.press("/dispatch/letters/job")["job"]


def put(channel: Any) -> None:
    for number in range(COUNT):
        headers = dead_letter_headers(
            {"id": f"letter-{number}", "task": "t.t"}, reason="No.", queue="work", worker="w@x", time=1.5, attempts=1
        )
        channel.basic_publish(
            Message(b"[[], {}, {}]", application_headers=headers, delivery_mode=2), routing_key="dead_letters"
        )


def test_requeue_of_the_page_that_is_killed_and_done_again_loses_none_and_names_doubles(
    guard: Guard, variables: dict[str, str], tmp_path: Path
) -> None:
    """Every letter that is in its queue twice was named by the second requeue, which leaves no notes behind."""
    options = ("--read_only=false", "--basic_auth=ann:secret")
    dashboard = Buttons(tmp_path, "dashboard", *options, guard=guard, **variables)
    with Connection(variables["CELERY_BROKER_URL"]) as connection:
        channel: Any = connection.default_channel
        channel.queue_declare("work", durable=True, auto_delete=False)

        def depth(queue: str) -> int:
            return int(channel.queue_declare(queue, passive=True).message_count)

        put(channel)
        wait_until(lambda: depth("dead_letters") == COUNT, what="the letters", timeout_s=60)
        with dashboard:
            dashboard.requeue_all()
            wait_until(lambda: dashboard.job()["done"] > COUNT / 5, what="some letters", timeout_s=60)
            dashboard.kill()
        wait_until(lambda: depth("dead_letters") + depth("work") >= COUNT, what="the letters to return", timeout_s=60)
        with dashboard:
            dashboard.requeue_all()
            wait_until(lambda: dashboard.job()["state"] != "running", what="the rest", timeout_s=60)
            job = dashboard.job()

        requeued = [message.headers["id"] for message in iter(lambda: channel.basic_get("work", no_ack=True), None)]
        assert depth("dead_letters") == 0
        with pytest.raises(channel.connection.channel_errors):
            depth("dead_letters.requeued")
    doubles = {name for name, times in Counter(requeued).items() if times > 1}
    assert (job["state"], 0 < job["done"] < COUNT) == ("done", True)
    assert set(requeued) == {f"letter-{number}" for number in range(COUNT)}
    assert doubles <= set(job["twice"])
    assert len(requeued) == COUNT + len(doubles)
