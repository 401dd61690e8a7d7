"""Which workers get which messages: broadcast, direct and topic exchanges, and workers with PROJ_BIND."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from proj.broker.queue_depths import depths_by_management
from proj.celery import app
from proj.delivery.publishing.confirm_publishing import close_publishing
from proj.delivery.publishing.plain_message import PlainMessage
from proj.delivery.send_many import send_many
from proj.errors import Unroutable
from proj.lab.processes.waiting import wait_until
from proj.queues import WORK_QUEUE
from proj.tasks import work
from tests.processes.worker import wait_until_ready, worker_process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard
    from proj.lab.processes.process import Process

pytestmark = pytest.mark.one_version

VHOST = "exchanges"
TIMEOUT_S = 60
#: Workers by name, with their PROJ_BIND; two share the work of one pattern.
BINDINGS = {
    "plain": "",
    "heavy1": "*.heavy",
    "heavy2": "*.heavy",
    "image": "image.heavy,sound.#,sound.light.*",
    "anywhere": "#.error.#",
}


class Crew:
    """Workers, and the messages that each received."""

    def __init__(self, guard: Guard, broker: Broker) -> None:
        self._guard = guard
        self._broker = broker
        self.workers: dict[str, Process] = {}

    def start(self, name: str) -> None:
        process = worker_process(
            f"{name}@exchanges",
            *("--concurrency", "1", "--include", "exchange_tasks"),
            guard=self._guard,
            broker_url=self._broker.url(VHOST),
            folder=Path(tempfile.mkdtemp(dir=self._guard.folder)),
            PROJ_BIND=BINDINGS[name],
            PROJ_DOT_SECONDS="0.05",
            PYTHONPATH=os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2])]),
        )
        process.start()
        self.workers[name] = process

    def await_ready(self) -> None:
        wait_until_ready(*self.workers.values())

    def received(self, text: str) -> dict[str, int]:
        """How often each worker received a text that begins so; only workers that did."""
        pattern = re.compile(rf" \[x\] Received '{re.escape(text)}")
        times = {name: len(pattern.findall(worker.log_text())) for name, worker in self.workers.items()}
        return {name: count for name, count in times.items() if count}

    def await_received(self, text: str, **expected: int) -> None:
        """Return when exactly these workers have received it so often."""
        wait_until(lambda: self.received(text) == expected, what=f"{text!r} at {expected}", timeout_s=TIMEOUT_S)

    def await_received_once(self, texts: list[str]) -> set[str]:
        """Wait until each text was received once, and return the names of the workers."""
        wait_until(
            lambda: all(sum(self.received(text).values()) == 1 for text in texts), what="each", timeout_s=TIMEOUT_S
        )
        return {name for text in texts for name in self.received(text)}


@pytest.fixture(scope="module")
def crew(broker: Broker, guard: Guard) -> Iterator[Crew]:
    """All workers, ready."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CELERY_BROKER_URL", broker.add_vhost(VHOST))
        crew = Crew(guard, broker)
        for name in BINDINGS:
            crew.start(name)
        crew.await_ready()
        yield crew
        for worker in crew.workers.values():
            worker.kill()
        close_publishing(app)
        app.close()
    broker.remove_vhost(VHOST)


def send(text: str, exchange: str, key: str = "", **options: Any) -> None:
    work.apply_async((text,), exchange=exchange, routing_key=key, ignore_result=True, **options)


@pytest.mark.parametrize("countdown_s", [None, 1])
def test_each_exchange_reaches_the_bound_workers_and_no_others(crew: Crew, countdown_s: float | None) -> None:
    """Also with a delay. Celery's own delayed delivery loses the exchange, and sends to the default queue."""
    when = f"after {countdown_s}"
    send(f"all {when}", "broadcast", countdown=countdown_s)
    send(f"photo {when}", "direct", "image.heavy", countdown=countdown_s)
    send(f"song {when}", "topic", "sound.light.short", countdown=countdown_s)
    send(f"alert {when}", "topic", "site.error.disk", countdown=countdown_s)
    work.apply_async((f"work {when}",), ignore_result=True, countdown=countdown_s)

    crew.await_received(f"photo {when}", image=1)
    crew.await_received(f"song {when}", image=1)
    crew.await_received(f"alert {when}", anywhere=1)
    crew.await_received(f"work {when}", plain=1)
    crew.await_received(f"all {when}", **dict.fromkeys(BINDINGS, 1))


def test_message_that_matches_two_patterns_of_a_worker_comes_once(crew: Crew) -> None:
    """As with a queue of the tutorial that has two bindings, also with a delay."""
    send("twice asked for", "topic", "sound.light.short")
    send("twice asked for, later", "topic", "sound.light.short", countdown=1)
    send("behind", "topic", "sound.dark", countdown=2)

    crew.await_received("behind", image=1)
    assert crew.received("twice asked for") == {"image": 2}


def test_workers_with_the_same_pattern_share_the_work(crew: Crew) -> None:
    """Each message goes to one of them, and each gets some. The queue of another pattern gets its own copy."""
    texts = [f"task {number}" for number in range(10)]
    for text in texts:
        send(text, "topic", "text.heavy")

    assert crew.await_received_once(texts) == {"heavy1", "heavy2"}
    send("heavy photo", "topic", "image.heavy")
    wait_until(lambda: sum(crew.received("heavy photo").values()) == 2, what="both copies", timeout_s=TIMEOUT_S)
    assert crew.received("heavy photo")["image"] == 1


@pytest.mark.parametrize(
    ("exchange", "key"),
    [("direct", "text.heavy"), ("direct", "*.heavy"), ("topic", "image.light"), ("topic", "a.text.heavy")],
)
def test_task_that_matches_no_pattern_is_unroutable(crew: Crew, exchange: str, key: str) -> None:
    """The error names exchange and key. Celery's binding for delays would let `*.heavy` match any number of words."""
    assert crew.workers

    with pytest.raises(Unroutable, match=rf"exchange '{exchange}' with routing key '{re.escape(key)}'"):
        send("lost", exchange, key)


def test_plain_message_for_a_pattern_is_work_too(crew: Crew) -> None:
    """A plain message becomes a task on every queue of a worker."""
    send_many(
        [
            PlainMessage(text="plain for all", exchange="broadcast", routing_key=""),
            PlainMessage(text="plain photo", exchange="direct", routing_key="image.heavy"),
        ],
        app=app,
    )

    crew.await_received("plain photo", image=1)
    crew.await_received("plain for all", **dict.fromkeys(BINDINGS, 1))


@pytest.mark.parametrize("countdown_s", [0, 1])
def test_retry_goes_only_to_the_queue_that_it_came_from(crew: Crew, countdown_s: float) -> None:
    """Through the exchange, every bound worker would get a copy of each retry."""
    text = f"again after {countdown_s}"
    for exchange, key in (("broadcast", ""), ("direct", "image.heavy")):
        app.send_task(
            "tests.try_again",
            (f"{exchange} {text}", countdown_s),
            exchange=exchange,
            routing_key=key,
            ignore_result=True,
        )

    crew.await_received(f"direct {text}, try 1", image=1)
    crew.await_received(f"broadcast {text}, try 1", **dict.fromkeys(BINDINGS, 1))
    crew.await_received(f"broadcast {text}, try 0", **dict.fromkeys(BINDINGS, 1))


def test_workers_queues_for_broadcasts_are_hidden_and_leave_nothing_behind(crew: Crew, broker: Broker) -> None:
    """Each worker has one, which is removed with it. It has no quarantine queue, which would stay for ever."""
    wait_until(
        lambda: any(depth.name == f"{WORK_QUEUE}.suspects" for depth in depths_by_management(broker.management, VHOST)),
        what="the queues of suspects",
        timeout_s=TIMEOUT_S,
    )

    own = [depth for depth in depths_by_management(broker.management, VHOST) if depth.name.startswith("broadcast.")]

    assert {depth.name for depth in own} == {f"broadcast.{name}@exchanges" for name in crew.workers}
    assert all(depth.is_plumbing for depth in own)


def test_worker_in_a_warm_shutdown_gets_no_more_broadcasts(crew: Crew, broker: Broker) -> None:
    """Messages that wait for it then, and a retry in progress, are delivered when it is back."""
    idle, busy = crew.workers["heavy1"], crew.workers["heavy2"]
    app.send_task("tests.try_again", ("left", 2), exchange="broadcast", routing_key="", ignore_result=True)
    crew.await_received("left, try 0", **dict.fromkeys(crew.workers, 1))
    idle.terminate()
    wait_until(lambda: not idle.running, what="the end of the idle one", timeout_s=TIMEOUT_S)
    send("before" + "." * 40, "broadcast")
    crew.await_received("before", **dict.fromkeys(crew.workers.keys() - {"heavy1"}, 1))
    send("behind", "broadcast")
    busy.terminate()
    wait_until(lambda: not busy.running, what="the end of the busy one", timeout_s=TIMEOUT_S)

    def kept() -> list[int]:
        depths = {depth.name: depth.ready for depth in depths_by_management(broker.management, VHOST)}
        return [depths[f"broadcast.{name}@exchanges"] for name in ("heavy1", "heavy2")]

    # The retry alone; the busy one's may have come in time.
    wait_until(lambda: kept() in ([1, 1], [1, 2]), what="what was kept", timeout_s=TIMEOUT_S)

    crew.start("heavy1")
    crew.start("heavy2")
    crew.await_ready()
    wait_until(lambda: "behind" in crew.workers["heavy2"].log_text(), what="what was kept", timeout_s=TIMEOUT_S)
    back = crew.workers["heavy1"]
    wait_until(lambda: "left, try 1" in back.log_text(), what="the retry", timeout_s=TIMEOUT_S)
    assert "before" not in back.log_text()


def test_worker_that_died_in_a_broadcast_task_runs_it_again_after_its_restart(crew: Crew) -> None:
    """Within the minute for which its queue is kept. The other workers ran it once."""
    send("long" + "." * 40, "broadcast")
    crew.await_received("long", **dict.fromkeys(BINDINGS, 1))

    crew.workers["heavy2"].kill()
    crew.start("heavy2")

    crew.await_received("long", **dict.fromkeys(BINDINGS, 1))
    wait_until(
        lambda: crew.workers["heavy2"].log_text().count(" succeeded in ") == 1, what="its end", timeout_s=TIMEOUT_S
    )
    assert crew.received("long") == dict.fromkeys(BINDINGS, 1)
