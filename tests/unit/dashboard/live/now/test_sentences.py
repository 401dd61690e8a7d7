"""The first sentence in scenes with one fault each; docs/dashboard.md has the same table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from proj.dashboard.live.now.now import MOST_SENTENCES
from proj.dashboard.live.now.sentences import KINDS
from tests.unit.dashboard.live.now.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Callable

    from proj.dashboard.live.now.status import NowStatus, Sentence

PAGE = Path(__file__).parents[5] / "docs" / "dashboard.md"


class Case(NamedTuple):
    """A scene with what its first sentence must name."""

    what: str
    play: Callable[[Scene], None]
    level: str
    kind: str
    queues: tuple[str, ...] = ()
    workers: tuple[str, ...] = ()


def team(scene: Scene, *names: str, queue: str = "mail", slots: int = 1) -> None:
    for name in names:
        scene.worker(name, queue, slots=slots)
    scene.depth(queue, consumers=len(names))


def even_work(scene: Scene, until: float, *names: str, queue: str = "mail") -> None:
    """Tasks of a second, one after another, for each worker."""
    for begin in range(int(until)):
        for name in names:
            scene.task(queue, name, sent=begin, received=begin + 0.17, started=begin + 0.2, ended=begin + 1.15)


def fine(scene: Scene) -> None:
    team(scene, "w1", "w2")
    scene.depth("mail", ready=3, unacknowledged=2, consumers=2)
    even_work(scene, 90, "w1", "w2")
    scene.play(90)


def unfair(scene: Scene) -> None:
    team(scene, "w1", "w3", "w5")
    even_work(scene, 50, "w1", "w3", "w5")
    scene.task("mail", "w3", sent=50, received=50, started=50.1)
    for number in range(12):
        scene.task("mail", "w3", sent=58 - number / 10, received=58.2 + number / 100)
    scene.depth("mail", unacknowledged=13, consumers=3)
    scene.play(60)


def stuck(scene: Scene) -> None:
    team(scene, "w1", "w2", "w3")
    scene.worker("w3", "media")
    scene.worker("w3", "mail", "media")
    even_work(scene, 60, "w1", "w2")
    for number in range(12):
        scene.task("media", sent=10 + number)
    scene.depth("media", ready=12, consumers=0)
    scene.play(60)


def no_workers(scene: Scene) -> None:
    for queue, count in (("mail", 30), ("media", 10)):
        scene.depth(queue, ready=count, consumers=0)
        for number in range(count):
            scene.task(queue, sent=1 + number / 10)
    scene.play(60)


def broker_away(scene: Scene) -> None:
    team(scene, "w1", "w2")
    even_work(scene, 30, "w1", "w2")
    scene.play(30)
    scene.broker_away()
    scene.stop_heartbeats("w1")
    scene.stop_heartbeats("w2")
    scene.play(62)


def worker_gone(scene: Scene) -> None:
    team(scene, "w1", "w3", slots=4)
    even_work(scene, 100, "w1")
    for _ in range(4):
        scene.task("mail", "w3", sent=9, received=9, started=9.1)
    scene.play(10)
    scene.stop_heartbeats("w3")
    scene.play(100)


def worker_silent(scene: Scene) -> None:
    team(scene, "w1", "w3", slots=4)
    even_work(scene, 60, "w1")
    for _ in range(4):
        scene.task("mail", "w3", sent=40, received=40, started=40.1)
    scene.play(48)
    scene.stop_heartbeats("w3")
    scene.play(60)


def dead_letters(scene: Scene) -> None:
    team(scene, "w1", "w2")
    even_work(scene, 60, "w1", "w2")
    scene.depth("dead_letters", ready=2, consumers=0)
    scene.play(40)
    scene.depth("dead_letters", ready=9, consumers=0)
    scene.play(60)


def failing(scene: Scene) -> None:
    team(scene, "w1", "w2")
    for begin in range(60):
        scene.task("mail", "w1", sent=begin, received=begin, started=begin + 0.02, ended=begin + 0.9)
        end = "failed" if begin % 3 else "succeeded"
        scene.task("mail", "w2", sent=begin, received=begin, started=begin + 0.02, ended=begin + 0.9, end=end)
    scene.play(60)


def growing(scene: Scene) -> None:
    team(scene, "w1", "w2")
    even_work(scene, 60, "w1", "w2")
    for second in range(60):
        for _ in range(3):
            scene.task("mail", sent=second + 0.5)
        scene.depth("mail", ready=3 * second, unacknowledged=2, consumers=2)
        scene.play(second + 1)


def events_lost(scene: Scene) -> None:
    team(scene, "w1", "w2")
    even_work(scene, 60, "w1", "w2")
    scene.play(30)
    scene.lose_starts("w2", 17)
    scene.play(60)


def empty(scene: Scene) -> None:
    team(scene, "w1", "w2", "w3")
    scene.play(60)


def not_consuming(scene: Scene) -> None:
    team(scene, "w1", "w2")
    even_work(scene, 15, "w1", "w2")
    scene.depth("mail", ready=12, consumers=2)
    scene.play(60)


def lost(scene: Scene) -> None:
    team(scene, "w1", "w2")
    scene.worker("w3", "mail", slots=3, early=("theirs.task",))
    even_work(scene, 60, "w1", "w2")
    for _ in range(3):
        scene.task("mail", "w3", sent=30, received=30, started=30.1)
    scene.play(40)
    scene.restart("w3")
    scene.play(60)


def paused(scene: Scene) -> None:
    team(scene, "w1", "w2")
    even_work(scene, 30, "w1", "w2")
    for number in range(12):
        scene.task("mail", sent=30 + number)
    scene.depth("mail", ready=12, consumers=0, paused=True)
    scene.play(60)


CASES = (
    Case("Fine", fine, "ok", "fine"),
    Case("Unfair", unfair, "warning", "unfair", ("mail",), ("w3@host",)),
    Case("A queue without consumers", stuck, "bad", "no_consumers", ("media",), ("w3@host",)),
    Case("No workers", no_workers, "bad", "no_workers", ("mail", "media")),
    Case("The broker is away", broker_away, "bad", "broker_away"),
    Case("A worker is gone with tasks", worker_gone, "warning", "worker_gone", ("mail",), ("w3@host",)),
    Case("A worker is silent", worker_silent, "warning", "worker_silent", ("mail",), ("w3@host",)),
    Case("More dead letters", dead_letters, "warning", "dead_letters", ("dead_letters",)),
    Case("Failing tasks", failing, "warning", "failing", ("mail",), ("w2@host",)),
    Case("A growing backlog", growing, "warning", "growing", ("mail",)),
    Case("Lost events", events_lost, "warning", "events_missing", (), ("w2@host",)),
    Case("Empty", empty, "ok", "empty"),
    Case("Alive, but not consuming", not_consuming, "bad", "not_consuming", ("mail",), ("w1@host", "w2@host")),
    Case("A paused queue", paused, "warning", "paused", ("mail",)),
    Case("Tasks lost with a worker", lost, "bad", "tasks_lost", ("mail",), ("w3@host",)),
)


def played(case: Case) -> NowStatus:
    scene = Scene()
    case.play(scene)
    return scene.status()


def first(case: Case) -> Sentence:
    return played(case).sentences[0]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_first_sentence_names_the_fault_and_who_is_to_blame(case: Case) -> None:
    """Who has never seen the page finds the queue and the worker by it alone."""
    said = first(case)

    assert (said.level, said.kind, said.queues, said.workers) == case[2:]
    for name in (*said.queues, *said.workers):
        assert name.removesuffix("@host") in said.text


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_rows_of_who_is_to_blame_are_first(case: Case) -> None:
    """A row has the gravest level of the sentences that name it."""
    status = played(case)
    blamed = {name for one in status.sentences if one.level in {"bad", "warning"} for name in one.queues}
    rows = [queue.name for queue in status.queues if queue.level in {"bad", "warning"}]

    assert set(rows) == blamed - {"dead_letters"}
    assert rows == [queue.name for queue in status.queues[: len(rows)]]


@pytest.mark.parametrize("window_s", [60, 300, 900, 3600, None])
def test_healthy_queue_is_fine_in_every_window(window_s: int | None) -> None:
    """No race's figure leads the page of work that goes on."""
    scene = Scene()
    fine(scene)

    assert [one.kind for one in scene.status(window_s).sentences] == ["fine"]


def test_every_kind_of_sentence_is_documented() -> None:
    """The page's builder and its readers find all of them."""
    text = PAGE.read_text()

    assert [kind for kind in KINDS if f"`{kind}`" not in text] == []


def test_documentation_has_what_the_sentences_said() -> None:
    """The table is made from the scenes; a changed sentence changes it."""
    table = "\n".join(f"| {case.what} | {one.level} | {one.text} |" for case in CASES for one in [first(case)])

    assert table in PAGE.read_text(), table


def test_worker_that_ended_in_order_is_no_fault_and_one_that_vanished_is() -> None:
    """A warm shutdown says goodbye; a killed worker without tasks does not."""
    kinds = []
    for goodbye in (True, False):
        scene = Scene()
        team(scene, "w1", "w2")
        scene.play(10)
        scene.stop_heartbeats("w2", goodbye=goodbye)
        scene.play(80)
        kinds.append([one.kind for one in scene.status().sentences])

    assert kinds == [["empty"], ["worker_gone"]]


def test_worker_that_ends_drains_first_and_is_named_when_its_task_does_not_end() -> None:
    """In a warm shutdown it says goodbye before its last tasks end; in a cold one they do not. What it held is back."""
    scene = Scene()
    team(scene, "w1", "w2", slots=2)
    scene.task("mail", "w2", sent=1, received=1, started=1.1)
    scene.task("mail", "w2", sent=1, received=1)
    scene.play(10)
    scene.stop_heartbeats("w2", goodbye=True)
    scene.play(20)
    drains = scene.status()
    scene.play(320)
    said = scene.status().sentences[0]

    assert {one.name: one.state for one in drains.workers} == {"w1@host": "alive", "w2@host": "draining"}
    assert "worker_gone" not in {one.kind for one in drains.sentences}
    assert (drains.totals.workers_alive, drains.totals.busy_slots) == (1, 0)
    assert (said.kind, said.workers) == ("worker_gone", ("w2@host",))
    assert "w2, a worker of mail, is gone with 1 task that" in said.text


@pytest.mark.parametrize(
    ("queues", "fields", "name", "known_by"),
    [
        (("mail",), {}, "mail", "worker"),
        (("mail", "media"), {"queue": "mail"}, "mail", "received"),
        (("mail", "media"), {}, None, None),
    ],
)
def test_queue_that_is_not_known_says_what_would_make_it_known(
    queues: tuple[str, ...], fields: dict[str, str], name: str | None, known_by: str | None
) -> None:
    """It is the last way out: an event of the worker, or its only queue, tell it."""
    scene = Scene()
    scene.worker("w1", *queues)
    scene.task("mail", "w1", received=2, started=2.1, ended=3, **fields)
    scene.play(10)
    status = scene.status()
    (row,) = (queue for queue in status.queues if queue.started)
    last = status.sentences[-1]

    assert (row.name, row.known_by) == (name, known_by)
    assert (last.kind == "queue_unknown") is (name is None)
    assert ("task_send_sent_event = True" in last.text) is (name is None)
    assert status.sentences[0].kind == "fine"


def test_no_worker_is_gone_and_no_task_lost_because_the_broker_was_away() -> None:
    """No heartbeat comes meanwhile, nor for a moment after it."""
    scene = Scene()
    scene.worker("w1", "mail", early=("theirs.task",))
    scene.depth("mail", unacknowledged=1, consumers=1)
    scene.task("mail", "w1", sent=5, received=5, started=5.1)
    scene.play(20)
    scene.stop_heartbeats("w1")
    scene.broker_away()
    scene.play(200)
    away = scene.status().sentences
    scene.broker_back()
    scene.play(203)
    back = scene.status().sentences
    scene.beat_again("w1")
    scene.play(240)

    assert [[one.kind for one in said] for said in (away, back)] == [["broker_away"], ["starting"]]
    assert [one.kind for one in scene.status(None).sentences] == ["fine"]


def test_worker_with_the_pool_solo_may_be_silent_while_it_runs_a_task() -> None:
    """It sends no heartbeat meanwhile."""
    scene = Scene()
    scene.worker("w1", "mail", solo=True)
    scene.depth("mail", unacknowledged=1, consumers=1)
    scene.play(10)
    scene.stop_heartbeats("w1")
    scene.play(200)
    status = scene.status()

    assert [worker.state for worker in status.workers] == ["silent"]
    assert not [one for one in status.sentences if one.workers]


def test_workers_that_only_the_broker_knows_are_told_of() -> None:
    """Nobody is told that no worker is there while the broker counts consumers."""
    scene = Scene()
    scene.depth("mail", ready=3, consumers=2)
    scene.task("mail", sent=1)
    scene.play(20)
    said = scene.status().sentences[0]

    assert (said.level, said.kind) == ("warning", "no_workers")
    assert "the broker counts 2 consumers" in said.text


def test_worst_of_many_queues_is_told_first_and_the_others_are_counted() -> None:
    """Always in the same order, however many there are."""
    scene = Scene()
    for number in range(MOST_SENTENCES + 5):
        scene.depth(f"q{number}", ready=100 + (7 * number) % 40, consumers=0)
        scene.task(f"q{number}", sent=1)
    scene.worker("w1", "mail")
    scene.play(20)
    status = scene.status()
    ready = {queue.name: queue.ready for queue in status.queues}
    told = [ready[one.queues[0]] for one in status.sentences]

    assert told == sorted(told, reverse=True)
    assert (len(told), status.sentences_left_out) == (MOST_SENTENCES, 5)
    assert [queue.name for queue in status.queues[:3]] == [one.queues[0] for one in status.sentences[:3]]
