"""What a pause came to, from what the workers replied and which queues they are known to consume."""

from __future__ import annotations

import pytest

from proj.delivery.pausing.follow_command import FollowReply, read_follow
from proj.delivery.pausing.pause_workers import PauseOutcome, outcomes_of

QUEUES = {"w@x": {"mail"}}
CONSUMES = {"ok": "looks", "consumes": True, "paused": False, "running": 1, "starting": 0, "given_back": 0}
PAUSED = {"ok": "looks", "consumes": False, "paused": True, "running": 1, "starting": 0, "given_back": 3}


def outcomes(reply: dict[str, object] | None, *, paused: bool, queues: dict[str, set[str]]) -> list[PauseOutcome]:
    replies = {} if reply is None else {"w@x": read_follow(reply)}
    return outcomes_of(replies, queues, "mail", paused=paused)


@pytest.mark.parametrize(
    ("reply", "paused", "answer", "followed"),
    [
        (PAUSED, True, "paused", True),
        (CONSUMES, True, "has not followed yet", False),
        ({**PAUSED, "starting": 2}, True, "still starts 2", False),
        ({**CONSUMES, "refused": "it cannot"}, True, "refuses: it cannot", False),
        ({"error": "No such control command"}, True, "does not know the command", False),
        (None, True, "none", False),
        (CONSUMES, False, "consumes", True),
        (PAUSED, False, "has not followed yet", False),
        ({"error": "No such control command"}, False, "does not know the command", True),
        (None, False, "none", False),
        ({**CONSUMES, "refused": "it cannot"}, False, "consumes", True),
    ],
)
def test_worker_has_followed_only_if_it_said_so(
    reply: dict[str, object] | None, *, paused: bool, answer: str, followed: bool
) -> None:
    """Every other worker that consumes from the queue is named, with what it said."""
    (outcome,) = outcomes(reply, paused=paused, queues=QUEUES)

    assert outcome.answer.startswith(answer)
    assert outcome.followed is followed


@pytest.mark.parametrize(
    ("reply", "paused", "final"),
    [
        (CONSUMES, True, False),
        (CONSUMES, False, True),
        (PAUSED, True, True),
        (PAUSED, False, False),
        ({**PAUSED, "starting": 2}, True, False),
        ({**CONSUMES, "refused": "it cannot"}, True, True),
        ({**CONSUMES, "refused": "it cannot"}, False, True),
    ],
)
def test_worker_is_asked_until_nothing_is_left_to_do(reply: dict[str, object], *, paused: bool, final: bool) -> None:
    """One that refuses to pause a queue consumes from it: a resume need not wait for it."""
    said = read_follow(reply)

    assert said is not None
    assert said.is_final(paused=paused) is final


def test_worker_of_other_queues_is_not_named_unless_it_may_have_the_queue_paused() -> None:
    """A worker lists no queue that it leaves alone, so one that is silent at a resume may have paused it."""
    neither = {**CONSUMES, "consumes": False}
    others = {"w@x": {"images"}}

    assert outcomes(neither, paused=True, queues=others) == []
    assert outcomes(neither, paused=False, queues=others) == []
    assert outcomes({"error": "No such control command"}, paused=True, queues=others) == []
    assert outcomes(None, paused=True, queues=others) == []
    assert [each.followed for each in outcomes(None, paused=False, queues=others)] == [False]


def test_reply_is_read_as_far_as_it_is_one() -> None:
    """Anyone who can publish to the broker may reply."""
    reply = read_follow({"ok": "looks", "consumes": "yes", "running": None, "refused": 7})

    assert reply == FollowReply(consumes=False, paused=False, running=0, starting=0, given_back=0, refused=None)
