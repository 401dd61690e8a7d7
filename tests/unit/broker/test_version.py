"""What differs between RabbitMQ's versions."""

from __future__ import annotations

import pytest

from proj.broker.version import BrokerVersion


@pytest.mark.parametrize(
    ("text", "limit", "counts_nacks"),
    [
        ("3.10.8", None, True),
        ("3.13.7+1.g2", None, True),
        ("4.0.5", 20, True),
        ("4.2.9", 20, True),
        ("4.3.6", 20, False),
        ("4.10.0", 20, False),
        ("5.0.0-beta.1", 20, False),
    ],
)
def test_version_says_what_its_quorum_queues_count(text: str, limit: int | None, *, counts_nacks: bool) -> None:
    """Versions compare by their numbers, not as texts."""
    version = BrokerVersion.read(text)

    assert version.default_delivery_limit == limit
    assert version.counts_nacks is counts_nacks


@pytest.mark.parametrize("text", ["", "newest", None, 4, b"4.3.6"])
def test_version_that_cannot_be_read_is_the_oldest(text: object) -> None:
    """A broker that gives no version is trusted with nothing that newer ones do."""
    assert BrokerVersion.read(text) == BrokerVersion(0, 0)


@pytest.mark.parametrize(("text", "expected"), [("3.10.8", True), ("4.2.9", True), ("4.3.6", False)])
def test_version_says_whether_a_classic_queue_takes_messages_back(text: str, *, expected: bool) -> None:
    """Since 4.3 the consumer timeout is one of quorum queues."""
    assert BrokerVersion.read(text).times_out_classic_queues is expected


@pytest.mark.parametrize(("text", "expected"), [("3.10.8", False), ("4.2.9", False), ("4.3.6", True)])
def test_version_says_whether_a_timeout_ends_one_consumer_alone(text: str, *, expected: bool) -> None:
    """Before 4.3 it closes the channel, with all consumers."""
    assert BrokerVersion.read(text).cancels_at_timeout is expected


@pytest.mark.parametrize(("text", "expected"), [("3.10.8", False), ("4.2.9", False), ("4.3.6", True)])
def test_version_says_whether_a_consumer_sets_its_timeout(text: str, *, expected: bool) -> None:
    """Where it does, a long task keeps its message without a lease."""
    assert BrokerVersion.read(text).lets_consumers_set_timeout is expected


@pytest.mark.parametrize(("text", "expected"), [("3.10.8", False), ("4.0.5", True), ("4.3.6", False), ("", False)])
def test_version_says_whether_a_binding_takes_effect_late(text: str, *, expected: bool) -> None:
    """A message that was returned is then sent again for a moment."""
    assert BrokerVersion.read(text).binds_late is expected


@pytest.mark.parametrize(("text", "expected"), [("3.10.8", False), ("4.0.5", True), ("4.3.6", True)])
def test_version_says_whether_a_dead_letter_keeps_its_count(text: str, *, expected: bool) -> None:
    """Then the count of a message may be of an earlier queue."""
    assert BrokerVersion.read(text).keeps_counts_of_dead_letters is expected


def test_version_is_shown_as_people_write_it() -> None:
    """In errors and tables."""
    assert str(BrokerVersion.read("4.3.6")) == "4.3"
