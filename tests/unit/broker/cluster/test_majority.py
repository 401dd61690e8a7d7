"""Which quorum queues have no majority, and the sentence that says so."""

from __future__ import annotations

from typing import Any

import pytest

from proj.broker.cluster.majority import LostMajority, lost_majority, sentence

NODES = ["a@h", "b@h", "c@h"]


@pytest.mark.parametrize(("online", "is_lost"), [(NODES, False), (NODES[:2], False), (NODES[:1], True), ([], True)])
def test_queue_with_no_more_than_half_of_its_members_has_no_majority(online: list[str], *, is_lost: bool) -> None:
    """Two of three are enough."""
    found = lost_majority({"name": "q", "members": NODES, "online": online})

    assert (found is not None) is is_lost


@pytest.mark.parametrize("queue", [{"name": "q"}, {"name": "q", "members": [], "online": []}])
def test_queue_without_members_has_lost_none(queue: dict[str, Any]) -> None:
    """A classic queue, and a stream of an earlier RabbitMQ."""
    assert lost_majority(queue) is None


def lost(*queues: str) -> list[LostMajority]:
    return [LostMajority(queue=queue, members=tuple(NODES), online=("b@h",)) for queue in queues]


def test_sentence_says_which_nodes_answer_and_what_does_not_work() -> None:
    """A person starts one of those that do not."""
    assert sentence(lost("task_queue")) == (
        "The queue task_queue has no majority: b@h answers, a@h, c@h do not. Until another of these nodes is started, "
        "nothing is delivered, and nothing that is published is confirmed."
    )


def test_sentence_names_the_queues_of_the_app_first_and_counts_the_rest() -> None:
    """An app has 28 queues for delays."""
    said = sentence(lost("celery_delayed_1", "celery_delayed_2", "mails", "orders"))

    assert said is not None
    assert said.startswith("The queues mails, orders, celery_delayed_1 and 1 other have no majority: ")


def test_nothing_is_said_where_no_majority_is_lost() -> None:
    """The usual case."""
    assert sentence([]) is None
