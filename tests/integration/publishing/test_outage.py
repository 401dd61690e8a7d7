"""The broker is killed, restarts, or raises an alarm while tasks are published."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from proj.delivery.publishing.confirm_channel import ConfirmChannel
from proj.delivery.send_many import send_many
from proj.errors import Unconfirmed
from proj.lab.broker import Broker
from proj.lab.processes.waiting import wait_until

from .conftest import QUEUE, arrived, close, make_app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from celery import Celery
    from celery.canvas import Signature

    from proj.lab.processes.guard import Guard

#: Seconds that the memory alarm of a test lasts.
ALARM_S = 3.0


class Publishers:
    """Threads that publish until they are told to stop: two with `delay`, one with `send_many`."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._stop = threading.Event()
        #: The ids of confirmed tasks, and the errors of all others.
        self.confirmed: set[str] = set()
        self.errors: list[Exception] = []
        self.delayed = 0
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._one, self._one, self._many)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=60)
            assert not thread.is_alive()

    def _one(self) -> None:
        while not self._stop.is_set():
            try:
                self.confirmed.add(self._app.send_task("note").id)
                self.delayed += 1
            except Unconfirmed as error:  # noqa: PERF203 each may fail
                self.errors.append(error)

    def _many(self) -> None:
        def signatures() -> Iterator[Signature]:
            while not self._stop.wait(0.01):
                yield self._app.tasks["note"].s()

        send_many(signatures(), app=self._app, in_flight=50, on_confirmed=self.confirmed.add)


@pytest.fixture(scope="module")
def mortal(guard: Guard) -> Iterator[Broker]:
    """A broker of this file's own."""
    with Broker(guard) as broker:
        yield broker


@pytest.fixture
def app(mortal: Broker) -> Iterator[Celery]:
    app = make_app(mortal.url(), queue_type="quorum")
    app.send_task("note", task_id="first")
    arrived(mortal.url())
    yield app
    close(app)


def test_every_publish_returns_or_raises_while_the_broker_is_away(mortal: Broker, app: Celery) -> None:
    """After a restart and after SIGKILL every confirmed task is there. Nothing raised, because the deadline is longer.

    The restart comes first: RabbitMQ 3.10 can forget what is in a quorum queue's log when it is killed moments after
    the queue was declared.
    """
    publishers = Publishers(app)
    wait_until(lambda: publishers.delayed >= 20, what="the first tasks", timeout_s=60)
    for strike in (mortal.restart, lambda: (mortal.kill(), mortal.start())):
        strike()
        before = publishers.delayed
        wait_until(lambda before=before: publishers.delayed >= before + 20, what="further tasks", timeout_s=60)  # type: ignore[misc] # a default for the loop's value
    publishers.stop()

    found = arrived(mortal.url())
    assert publishers.errors == []
    assert publishers.confirmed - set(found) == set()
    # For each strike, one that was being sent by each thread, and the 50 in flight of `send_many`.
    assert sum(found.values()) - len(found) <= 2 * (2 + 50)


@pytest.mark.parametrize(
    ("urls", "publish"),
    [
        (1, lambda app: app.send_task("note", task_id="blocked")),
        (2, lambda app: app.send_task("note", task_id="blocked")),
        (2, lambda app: send_many([app.tasks["note"].s().set(task_id="blocked")], app=app)),
    ],
    ids=["delay", "delay with two URLs", "send_many with two URLs"],
)
def test_publish_waits_without_a_copy_while_publishers_are_blocked(
    mortal: Broker, monkeypatch: pytest.MonkeyPatch, urls: int, publish: Callable[[Celery], object]
) -> None:
    """With a memory alarm the broker does not read: the task is written once, and confirmed when the alarm is over.

    Also over a connection that could change nodes, when the alarm is longer than that takes.
    """
    # The alarm is longer; the answers of a busy machine come sooner.
    monkeypatch.setattr("proj.delivery.publishing.confirm_channel.SILENCE_S", ALARM_S / 2)
    written: list[str] = []
    write = ConfirmChannel.write

    def spy(channel: ConfirmChannel, publish: object) -> int:
        written.append("once")
        return write(channel, publish)  # type: ignore[arg-type] # as it came

    app = make_app(";".join([mortal.url()] * urls), queue_type="quorum")
    app.send_task("note", task_id="first")
    arrived(mortal.url())
    monkeypatch.setattr(ConfirmChannel, "write", spy)
    mortal.order("set_vm_memory_high_watermark", "0")
    try:
        wait_until(
            lambda: "memory" in mortal.order("eval", "rabbit_alarm:get_alarms()."), what="the alarm", timeout_s=20
        )
        thread = threading.Thread(target=publish, args=(app,), daemon=True)
        thread.start()
        thread.join(timeout=ALARM_S)
        was_waiting = thread.is_alive()
    finally:
        mortal.order("set_vm_memory_high_watermark", "0.4")
    thread.join(timeout=60)
    close(app)

    assert was_waiting
    assert not thread.is_alive()
    assert written == ["once"]
    assert arrived(mortal.url()) == {"blocked": 1}


def frozen(doing: str) -> str:
    """Erlang that suspends or resumes the process of the quorum queue, which then confirms nothing."""
    find = f'{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"{QUEUE}">>)), '
    return f"{find}sys:{doing}(amqqueue:get_pid(Q))."


@pytest.mark.parametrize(
    "publish",
    [
        lambda app: app.send_task("note", task_id="stuck"),
        lambda app: send_many([app.tasks["note"].s().set(task_id="stuck")], app=app),
    ],
    ids=["delay", "send_many"],
)
def test_message_that_is_not_confirmed_goes_over_another_node_once(
    mortal: Broker, monkeypatch: pytest.MonkeyPatch, publish: Callable[[Celery], object]
) -> None:
    """The connection lives, but the queue confirms nothing: where there are several nodes, another one is tried."""
    written: list[int] = []
    write = ConfirmChannel.write

    def spy(channel: ConfirmChannel, outgoing: object) -> int:
        written.append(id(channel))
        return write(channel, outgoing)  # type: ignore[arg-type] # as it came

    app = make_app(f"{mortal.url()};{mortal.url()}", queue_type="quorum")
    app.send_task("note", task_id="first")
    arrived(mortal.url())
    monkeypatch.setattr("proj.delivery.publishing.confirm_channel.SILENCE_S", 0.5)
    # A busy machine may answer later than that, which is another reason to change the connection.
    monkeypatch.setattr(ConfirmChannel, "check_connection", lambda _channel: None)
    monkeypatch.setattr(ConfirmChannel, "write", spy)
    mortal.order("eval", frozen("suspend"))
    try:
        thread = threading.Thread(target=publish, args=(app,), daemon=True)
        thread.start()
        wait_until(lambda: len(written) == 2, what="a second attempt", timeout_s=60)
        # As long as the first attempt took, and longer.
        thread.join(timeout=2)
        was_waiting = thread.is_alive()
    finally:
        mortal.order("eval", frozen("resume"))
    thread.join(timeout=60)
    assert not thread.is_alive()
    close(app)

    assert was_waiting
    assert len(set(written)) == len(written) == 2
    assert arrived(mortal.url()).keys() == {"stuck"}
