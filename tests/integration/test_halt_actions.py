"""The buttons that halt workers, over HTTP, with a worker on a real broker."""

from __future__ import annotations

import threading
from base64 import b64encode
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from kombu import Connection

from proj.dashboard.web.actions import halt_actions
from proj.delivery.shutdown.halt_workers import RunningWorkers
from proj.journal.reader import open_journal
from proj.lab.processes.waiting import wait_until
from tests.processes.worker import wait_until_ready

from .test_pause import Site as Workers

if TYPE_CHECKING:
    from pathlib import Path

    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard

    from .conftest import Answer, Serve, Site

pytestmark = pytest.mark.one_version

PASSWORD = f"Basic {b64encode(b'ann:secret').decode()}"


def press(site: Site, path: str, **fields: str) -> Answer:
    origin = f"http://127.0.0.1:{site.port}"
    return site.ask(f"/dispatch/{path}", "POST", body=urlencode(fields), Authorization=PASSWORD, Origin=origin)


def confirmed(site: Site, path: str, **fields: str) -> tuple[str, Answer]:
    asked = press(site, path, **fields)
    assert asked.status == 200, asked.text
    return asked.json["question"], press(site, path, **fields, token=asked.json["token"])


class _Held(RunningWorkers):
    """What is known of the workers, to a job only when the test lets it go on."""

    goes_on = threading.Event()

    def __init__(self, *words: Any) -> None:
        if threading.current_thread().name.startswith("job-"):
            assert self.goes_on.wait(60)
        super().__init__(*words)


def halts(site: Site) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = site.ask("/dispatch/halts", Authorization=PASSWORD).json["halts"]
    return found


def test_worker_is_halted_by_its_button_and_a_drain_is_cancelled(
    serve: Serve, broker: Broker, vhost: str, guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it runs ends first, what it holds is ready again, and who did it is in the journal."""
    workers, end = Workers(broker, vhost, guard, tmp_path), tmp_path / "end"
    options = {"basic_auth": ["ann:secret"], "read_only": False, "broker_api": broker.management_url}
    with (
        workers.worker("w", "--concurrency", "1", "-Q", "first") as worker,
        serve(workers.app, **options, journal=str(tmp_path / "journal")) as site,
        workers.app,
        Connection(workers.url) as connection,
    ):
        wait_until_ready(worker)
        for number in range(3):
            workers.send("wait", number, str(end))
        wait_until(workers.begun, what="a task to begin", timeout_s=60)

        asked, _ = confirmed(site, "queues/drain", queue="first")
        wait_until(lambda: "ready" in halts(site)[-1]["said"], what="what is left", timeout_s=60)
        press(site, "queues/cancel", key=halts(site)[-1]["key"])
        wait_until(lambda: halts(site)[-1]["ended"], what="the cancelled drain", timeout_s=60)
        cancelled = halts(site)[-1]

        monkeypatch.setattr(halt_actions, "RunningWorkers", _Held)
        confirmed(site, "queues/halt", queue="first")
        press(site, "queues/cancel", key=halts(site)[-1]["key"])
        _Held.goes_on.set()
        wait_until(lambda: halts(site)[-1]["ended"], what="the cancelled halt", timeout_s=60)
        not_told = halts(site)[-1]

        question, _ = confirmed(site, "workers/halt", worker="w@host")
        wait_until(lambda: halts(site)[0]["told"], what="the worker to be told", timeout_s=60)
        end.touch()
        wait_until(lambda: halts(site)[0]["ended"], what="its end", timeout_s=60)
        halted = halts(site)[0]
        wait_until(lambda: not worker.running, what="its process to end", timeout_s=60)
        left = connection.default_channel.queue_declare("first", passive=True).message_count
        nobody = press(site, "workers/halt", worker="w@host")

    assert asked.startswith("Wait until first is empty, and then halt 1 worker of first: w@host? What runs there ends")
    assert (cancelled["state"], cancelled["told"]) == ("stopped", False)
    assert not_told["said"] == "ann@dashboard cancelled it: no worker of first was halted."
    assert question.startswith("Halt w@host? What runs there ends first (1 task now)")
    assert (halted["said"], worker.returncode) == ("1 of 1 worker stopped: w@host.", 0)
    assert len({number for number, _ in workers.begun()}) + left == 3
    assert nobody.status == 409
    with open_journal(tmp_path / "journal") as journal:
        assert [(each.who, each.verb, each.what, each.count) for each in journal.actions()] == [
            ("ann@dashboard", "halt", "w@host", 1)
        ]
