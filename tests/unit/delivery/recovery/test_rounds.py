"""The rounds in which a worker makes its checks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.signals import heartbeat_sent
from celery.worker.consumer.gossip import Gossip
from celery.worker.heartbeat import Heart
from kombu.asynchronous.timer import Timer

from proj.delivery.recovery.rounds import ROUND_S, Rounds


class Heartbeat:
    """Stands in for Celery's, which is the sender of the signal."""

    def __init__(self, timer: object, interval: float) -> None:
        self.timer = timer
        self.interval = interval


class Worker(SimpleNamespace):
    """A worker's consumer, with a heartbeat unless it has none; `made` has the checks that were made."""

    def __init__(self, *, interval_s: float | None = ROUND_S) -> None:
        soon: list[Any] = []
        repeated: list[tuple[float, Any]] = []
        timer = SimpleNamespace(
            call_after=lambda _, call: soon.append(call), call_repeatedly=lambda *how: repeated.append(how)
        )
        heart = None if interval_s is None else Heartbeat(timer, interval_s)
        super().__init__(timer=timer, heart=heart, soon=soon, repeated=repeated, now=0.0, made=[])
        self.rounds = Rounds(self, clock=lambda: self.now)
        self.rounds.begin()

    def check(self, name: str, every_s: float) -> None:
        self.rounds.every(every_s, lambda: self.made.append(name))

    def beat(self, seconds: float) -> None:
        """Let that many seconds pass, send a heartbeat, and do what is due in that turn of the loop."""
        self.now += seconds
        heartbeat_sent.send(sender=self.heart)
        self.pass_turn()

    def pass_turn(self) -> None:
        while self.soon:
            self.soon.pop(0)()


def test_checks_are_made_in_the_turn_of_the_heartbeat_and_no_timer_is_added() -> None:
    """An idle worker does not wake up for them."""
    worker = Worker()
    worker.check("each", 2)
    worker.check("third", 5)

    for _ in range(6):
        worker.beat(2.0)

    assert worker.made == ["each", "each", "each", "third"] * 2
    assert worker.repeated == []


@pytest.mark.parametrize("interval_s", [None, 30.0])
def test_worker_without_a_frequent_heartbeat_makes_rounds_by_a_timer(interval_s: float | None) -> None:
    """`--without-heartbeat` turns no check off, and `--heartbeat-interval 30` makes none rare."""
    worker = Worker(interval_s=interval_s)
    worker.check("check", 2)

    ((seconds, make),) = worker.repeated
    worker.now += seconds
    make()
    worker.now += seconds
    heartbeat_sent.send(sender=worker.heart)
    worker.pass_turn()

    assert seconds == ROUND_S
    assert worker.made == ["check"]


def test_failure_of_a_check_ends_the_turn_and_leaves_the_others_for_the_next_one() -> None:
    """A worker reconnects on such an error; a handler of the signal would swallow it."""
    worker = Worker()

    def fail() -> None:
        raise ConnectionResetError

    worker.rounds.every(10, fail)
    worker.check("other", 10)

    with pytest.raises(ConnectionResetError):
        worker.beat(10.0)
    worker.beat(2.0)

    assert worker.made == ["other"]


def test_look_of_gossip_for_lost_workers_is_made_in_a_round_and_not_by_its_timer() -> None:
    """Celery's timer for it would wake an idle worker up every five seconds."""
    worker = Worker()
    app = Celery(set_as_current=False)
    consumer: Any = SimpleNamespace(app=app, hostname="here", pid=1, timer=Timer(), hub=None)
    gossip = worker.gossip = Gossip(consumer)
    gossip.register_timer()
    ((_due, _priority, entry),) = gossip.timer.queue
    gossip.periodic = lambda: worker.made.append("gossip")

    worker.rounds.begin()
    for _ in range(6):
        worker.beat(2.0)

    assert entry.canceled
    assert worker.made == ["gossip", "gossip"]


def test_checks_of_a_lost_connection_are_forgotten() -> None:
    """The next connection has its own."""
    worker = Worker()
    worker.check("old", 2)

    worker.rounds.end()
    worker.check("new", 2)
    worker.beat(2.0)

    assert worker.made == ["new"]


def test_heartbeat_of_another_worker_in_the_process_makes_no_round() -> None:
    """Celery's signal has the heartbeats of all."""
    worker, other = Worker(), Worker()
    worker.check("check", 2)

    worker.now += 2.0
    other.beat(2.0)
    worker.pass_turn()

    assert worker.made == []


def test_heartbeat_of_celery_has_the_names_that_rounds_need() -> None:
    """It sends the signal because the rounds listened before it began, and tells its timer and its interval."""
    worker = Worker()
    eventer: Any = SimpleNamespace(enabled=True, on_enabled=set(), on_disabled=set(), send=lambda *_, **__: None)

    worker.heart = Heart(worker.timer, eventer)
    worker.heart.start()

    assert worker.soon == [worker.rounds.make]
    assert worker.heart.interval == ROUND_S
