"""The tutorials' four types of exchange, on our workers with our commands."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from proj.lab.processes.environment import child_environment
from proj.lab.processes.waiting import wait_until
from tests.processes.worker import wait_until_ready, worker_process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard

VHOST = "seed-exchanges"
#: What each worker asks for by PROJ_BIND; the last one takes from the work queue, as workers do.
BINDINGS = {"wildcard": "*.heavy", "exact": "image.heavy", "plain": ""}
#: What is sent, how, and who is to do it.
SENT = {
    "to one of them": ((), ["plain"]),
    "to all": (("--exchange", "broadcast"), ["exact", "plain", "wildcard"]),
    "by its key": (("--exchange", "direct", "--key", "image.heavy"), ["exact"]),
    "by a pattern": (("--exchange", "topic", "--key", "pdf.heavy"), ["wildcard"]),
    "by a pattern and a key": (("--exchange", "topic", "--key", "image.heavy"), ["exact", "wildcard"]),
    "the end": (("--exchange", "broadcast"), ["exact", "plain", "wildcard"]),
}


@pytest.fixture(scope="module")
def done_by(broker: Broker, guard: Guard) -> Iterator[dict[str, list[str]]]:
    """The workers that received each message, once for each time."""
    url = broker.add_vhost(VHOST)
    workers = [
        worker_process(f"{name}@{VHOST}", "--concurrency", "1", guard=guard, broker_url=url, PROJ_BIND=binding)
        for name, binding in BINDINGS.items()
    ]

    def doers() -> dict[str, list[str]]:
        found: dict[str, list[str]] = {message: [] for message in SENT}
        for name, worker in sorted(zip(BINDINGS, workers, strict=True)):
            for message in re.findall(r" \[x\] Received '(.*)'$", worker.log_text(), flags=re.MULTILINE):
                found[message].append(name)
        return found

    for worker in workers:
        worker.start()
    wait_until_ready(*workers)
    for message, (how, receivers) in SENT.items():
        subprocess.run(
            [sys.executable, "-m", "celery", "-A", "proj", "send", *how, message],
            env=child_environment(CELERY_BROKER_URL=url),
            cwd=guard.folder,
            stdout=subprocess.DEVNULL,
            timeout=60,
            check=True,
        )
        # Before the next one, so that whatever went astray has arrived when the last one has.
        wait_until(
            lambda message=message, receivers=receivers: set(receivers) <= set(doers()[message]),
            what=f"{message!r} at {receivers}",
            timeout_s=60,
        )
    yield doers()
    for worker in workers:
        worker.kill()
    broker.remove_vhost(VHOST)


def test_work_queues_message_goes_to_one_worker(done_by: dict[str, list[str]]) -> None:
    """Without --exchange, to a worker without PROJ_BIND."""
    assert done_by["to one of them"] == ["plain"]


def test_broadcast_message_goes_to_every_worker_once(done_by: dict[str, list[str]]) -> None:
    """`--exchange broadcast`, whatever its PROJ_BIND."""
    assert done_by["to all"] == ["exact", "plain", "wildcard"]


def test_direct_message_goes_to_workers_bound_with_exactly_its_key(done_by: dict[str, list[str]]) -> None:
    """`--exchange direct --key image.heavy`, but not to a pattern that the key matches."""
    assert done_by["by its key"] == ["exact"]


def test_topic_message_goes_to_every_worker_whose_pattern_matches_its_key(done_by: dict[str, list[str]]) -> None:
    """`--exchange topic --key …`, for patterns with and without a wildcard."""
    assert done_by["by a pattern"] == ["wildcard"]
    assert done_by["by a pattern and a key"] == ["exact", "wildcard"]
