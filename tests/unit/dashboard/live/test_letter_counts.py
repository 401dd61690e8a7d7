"""Letter counts: each queue has its own dead letters, new and waiting, by what workers count in their heartbeats."""

from __future__ import annotations

from proj.dashboard.live.letters.letter_counts import MOST_WORKERS, SETTLED_S, LetterCounts
from proj.journal.event import WorkerEvent, parsed
from proj.queues import DEAD_LETTERS
from tests.unit.dashboard.live.now.scene import Scene


def beat(letters: dict[str, int] | None, *, pid: int = 1, kind: str = "heartbeat", worker: str = "w") -> WorkerEvent:
    return WorkerEvent(worker, kind, 1.0, pid, 0, letters=letters)


def test_letters_are_new_once_also_when_heartbeats_are_lost_or_the_worker_begins_again() -> None:
    """A heartbeat has all letters of its process."""
    counts = LetterCounts()

    assert counts.add(beat({"mail": 7}), 1.0) == {}
    assert counts.add(beat({"mail": 9, "media": 1}), 9.0) == {"mail": 2, "media": 1}
    assert counts.add(beat({"mail": 9, "media": 1}), 11.0) == {}
    assert counts.add(beat({"mail": 1}, pid=2), 13.0) == {"mail": 1}
    assert counts.waiting("mail", 11) == (10, True)
    assert counts.waiting("nobody", 11) == (0, True)


def test_letters_of_a_new_worker_are_new_from_its_begin() -> None:
    """Those that a process had made before it was first heard wait, and are not new."""
    counts = LetterCounts()
    counts.add(beat(None, kind="online", worker="new"), 1.0)

    assert counts.add(beat({"mail": 2}, worker="new"), 3.0) == {"mail": 2}
    assert counts.add(beat({"mail": 5}, worker="old"), 3.0) == {}
    assert counts.waiting("mail", 7) == (7, True)


def test_only_so_many_workers_that_began_are_remembered() -> None:
    """Each pod has a name of its own, and stock workers tell no letters at all."""
    counts = LetterCounts()
    for number in range(MOST_WORKERS + 1):
        counts.add(beat(None, kind="online", worker=f"w{number}"), 1.0)

    assert counts.add(beat({"mail": 2}, worker="w0"), 3.0) == {}
    assert counts.add(beat({"mail": 2}, worker="w1"), 3.0) == {"mail": 2}


def test_letters_that_were_taken_out_make_the_number_a_limit() -> None:
    """Nobody tells of which queue they were, until none waits any more."""
    counts = LetterCounts()
    counts.add(beat({}), 1.0)
    counts.add(beat({"mail": 6, "media": 3}), 3.0)

    assert counts.waiting("mail", 8) == (6, False)
    assert counts.waiting("mail", 4) == (4, False)
    assert counts.unassigned(12) == 3
    counts.note_waiting(0, 3.0 + SETTLED_S - 0.1)
    assert counts.waiting("mail", 8) == (6, False)
    counts.note_waiting(0, 3.0 + SETTLED_S)
    assert counts.waiting("mail", 8) == (0, True)


def test_worker_without_these_counts_tells_nothing() -> None:
    """Stock workers leave dead letters to the broker; a forged count is ignored."""
    counts = LetterCounts()
    for letters in (None, 5, {"mail": -1}, {"mail": "1"}, {"": 1}, {f"q{number}": 1 for number in range(51)}):
        event = parsed({"type": "worker-heartbeat", "timestamp": 1.0, "hostname": "w", "dead_letters": letters})
        assert isinstance(event, WorkerEvent)
        assert counts.add(event, 1.0) == {}

    assert not counts.tells("w")


def test_rows_of_queues_tell_their_dead_letters() -> None:
    """New in the window, and waiting; a queue whose workers do not count them tells nothing."""
    scene = Scene()
    scene.worker("w1", "mail", "media")
    scene.worker("stock", "others")
    for name in ("mail", "media", "others"):
        scene.depth(name)
    scene.letters("w1")
    scene.depth(DEAD_LETTERS)
    scene.play(10)
    scene.letters("w1", mail=3)
    scene.depth(DEAD_LETTERS, ready=4)
    scene.play(20)

    status = scene.status()
    rows = {row.name: (row.letters_new, row.letters_waiting, row.letters_exact) for row in status.queues}
    assert rows == {"mail": (3, 3, True), "media": (0, 0, True), "others": (None, None, True)}
    assert status.dead_letters is not None
    assert status.dead_letters.unassigned == 1
    scene.depth(DEAD_LETTERS, ready=2)
    scene.play(100)
    assert [(row.letters_new, row.letters_waiting, row.letters_exact) for row in scene.status().queues][0:1] == [
        (0, 2, False)
    ]
