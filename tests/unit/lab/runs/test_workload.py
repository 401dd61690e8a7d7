"""Workloads."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import pytest

from proj.dots import weigh
from proj.errors import InvalidSetting
from proj.lab.runs.workload import WORKLOADS, is_light, odd_heavy, workload

if TYPE_CHECKING:
    from pathlib import Path


def weights(name: str, *, seed: int = 7, count: int | None = None) -> list[int]:
    return [weigh(message.text) for message in workload(name, seed=seed, count=count)]


def test_odd_messages_are_heavy_and_even_ones_light() -> None:
    """As in RabbitMQ's own example, counted from one."""
    messages = odd_heavy(5)

    assert [weigh(message) for message in messages] == [20, 1, 20, 1, 20]
    assert [is_light(message) for message in messages] == [False, True, False, True, False]
    assert len(set(messages)) == 5
    assert weights("odd-heavy", count=5) == [20, 1, 20, 1, 20]


@pytest.mark.parametrize("name", WORKLOADS)
def test_workload_is_the_same_for_the_same_seed_and_has_the_given_length(name: str) -> None:
    """A run can be repeated on another machine from the settings in its journal."""
    assert workload(name, seed=7) == workload(name, seed=7)
    assert len(workload(name, seed=7, count=23)) == 23
    assert all(weigh(message.text) >= 1 for message in workload(name, seed=7))


@pytest.mark.parametrize("name", ["rare-heavy", "heavy-tailed", "bursts", "eta-mix"])
def test_random_workload_differs_by_seed(name: str) -> None:
    """The seed is used."""
    assert workload(name, seed=7) != workload(name, seed=8)


def test_tutorials_messages_are_those_of_the_tutorials() -> None:
    """One dot to five dots, and fifteen of one second each, numbered from 0."""
    assert weights("tutorial-five") == [1, 2, 3, 4, 5]
    assert workload("tutorial-five", seed=1)[0].text == "First message."
    assert weights("fifteen-numbered") == [1] * 15
    assert workload("fifteen-numbered", seed=1)[14].text.startswith("14 ")


def test_rare_heavy_has_one_heavy_message_in_ten() -> None:
    """Exactly one in ten, with every seed, and at least one."""
    assert sorted(weights("rare-heavy", count=40))[-5:] == [1, 20, 20, 20, 20]
    assert sorted(weights("rare-heavy", count=3)) == [1, 1, 20]


def test_heavy_tail_is_heavy() -> None:
    """The median is small, and the heaviest message weighs many times as much."""
    many = weights("heavy-tailed", count=2000)

    assert statistics.median(many) == 3
    assert max(many) > 20 * statistics.median(many)


def test_bursts_come_ten_at_a_time() -> None:
    """Ten messages at once, then none for thirty dots."""
    times = [message.sent_dots for message in workload("bursts", seed=7, count=25)]

    assert times == [0.0] * 10 + [30.0] * 10 + [60.0] * 5


def test_eta_mix_delays_every_other_message() -> None:
    """The others are due at once."""
    due = [message.due_dots for message in workload("eta-mix", seed=7, count=6)]

    assert due[0::2] == [None, None, None]
    assert all(dots is not None and 10 <= dots <= 30 for dots in due[1::2])


def test_workload_from_a_file_is_its_lines(tmp_path: Path) -> None:
    """One message for each line that is not empty; the lines repeat when more messages are asked for."""
    file = tmp_path / "messages.txt"
    file.write_text("a.\n\nb..\n", encoding="utf-8")

    assert [message.text for message in workload(f"file:{file}", seed=1)] == ["a.", "b.."]
    assert [message.text for message in workload(f"file:{file}", seed=1, count=3)] == ["a.", "b..", "a."]


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe"])
def test_workload_file_without_a_message_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """The file is missing, empty or not text: the error is one sentence with the path."""
    file = tmp_path / "messages.txt"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(InvalidSetting, match=r"messages\.txt"):
        workload(f"file:{file}", seed=1)


def test_unknown_workload_is_refused_with_the_known_ones() -> None:
    """The error lists them."""
    with pytest.raises(InvalidSetting, match="odd-heavy"):
        workload("even-heavy", seed=1)
