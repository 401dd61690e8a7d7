"""The catalogue of faults, and the result of a drill."""

from __future__ import annotations

import dataclasses
import re
from inspect import cleandoc

import pytest

from proj.broker.version import BrokerVersion
from proj.commands.lab.drill import drill
from proj.errors import InvalidSetting
from proj.lab.drills.drill import Result
from proj.lab.drills.faults.catalogue import BY_NAME, CLUSTER_FAULTS, FAULTS
from proj.lab.drills.run_drills import chosen_faults
from proj.lab.drills.verdict import verdict
from proj.queues import CLASSIC, QUEUE_TYPES, QUORUM

GOOD = Result(
    fault="worker-killed",
    queue_type="quorum",
    dispatch="fair",
    did="main process killed 3 times",
    struck=True,
    late="",
    verdict=verdict([], dead=(), guilty=(), hits=(), window=2),
    slots=4,
    all_slots=4,
    raised="",
    reasons={},
    seconds=1.0,
)


def test_drill_has_no_complaint_when_the_fault_struck_and_all_promises_were_kept() -> None:
    """A drill without a complaint is a success."""
    assert GOOD.complaints == ()


def test_drill_whose_fault_had_no_effect_is_not_a_success() -> None:
    """Nothing was lost, but nothing was proved either."""
    idle = dataclasses.replace(GOOD, struck=False, did="Only 0 connections were there to be closed.")

    assert idle.complaints == ("The fault had no effect: Only 0 connections were there to be closed.",)


def test_drill_in_which_a_deadline_passed_is_not_a_success() -> None:
    """A worker that hangs may lose nothing."""
    late = "Timed out after 30 s while waiting for every worker to work again."

    assert dataclasses.replace(GOOD, late=late).complaints == (late,)


def test_drill_after_which_a_slot_does_not_work_is_not_a_success() -> None:
    """The other slots may have done all the work."""
    assert dataclasses.replace(GOOD, slots=3).complaints == ("Only 3 of 4 slots work after the fault.",)


def test_all_faults_are_chosen_unless_some_are_named() -> None:
    """In the order of the catalogue, not of the names."""
    named = chosen_faults(["malformed", "worker-killed"], "quorum", short=False)

    assert chosen_faults([], "quorum", short=False) == list(FAULTS)
    assert [fault.name for fault in named] == ["worker-killed", "malformed"]


def test_faults_of_a_cluster_are_those_of_several_nodes() -> None:
    """One broker has no leader to lose; a classic queue has none either."""
    assert chosen_faults([], "quorum", short=False, nodes=3) == list(CLUSTER_FAULTS)
    assert [fault.name for fault in chosen_faults([], "quorum", short=True, nodes=3)] == ["leader-killed"]
    with pytest.raises(InvalidSetting, match=r"--fault is 'leader-killed', but must be given with --nodes 3"):
        chosen_faults(["leader-killed"], "quorum", short=False)
    version = BrokerVersion.read("4.3.6")
    assert BY_NAME["leader-killed"].obstacle(version, CLASSIC, 3) == "A classic queue is on one node of a cluster."
    assert BY_NAME["half-open"].obstacle(version, QUORUM, 3) == "The proxy of the drills leads to one node."
    assert BY_NAME["worker-killed"].obstacle(version, QUORUM, 3) == ""


def test_unknown_fault_is_refused_with_the_known_ones() -> None:
    """The error is one sentence, and nothing is started."""
    with pytest.raises(InvalidSetting, match=r"--fault is 'earthquake', but must be one of worker-killed, "):
        chosen_faults(["earthquake"], "quorum", short=False)


def test_short_set_tries_something_on_each_type_of_queue() -> None:
    """Only a few faults, each on one type."""
    short = {queue_type: chosen_faults([], queue_type, short=True) for queue_type in QUEUE_TYPES}

    assert all(short.values())
    assert sum(map(len, short.values())) <= 6


@pytest.mark.parametrize("name", ["consumer-timeout", "long-task"])
def test_consumer_timeout_is_skipped_where_classic_queues_have_none(name: str) -> None:
    """RabbitMQ 4.3 has it on quorum queues alone; a drill that waited for it would fail."""
    old, new = BrokerVersion.read("4.2.9"), BrokerVersion.read("4.3.6")

    assert BY_NAME[name].obstacle(new, CLASSIC) == "RabbitMQ 4.3 has no consumer timeout on classic queues."
    assert [BY_NAME[name].obstacle(version, QUORUM) for version in (old, new)] == ["", ""]
    assert BY_NAME[name].obstacle(old, CLASSIC) == ""


def test_no_other_fault_is_skipped() -> None:
    """All others can happen on every RabbitMQ."""
    version = BrokerVersion.read("4.3.6")

    skipped = {fault.name for fault in FAULTS for queue_type in QUEUE_TYPES if fault.obstacle(version, queue_type)}

    assert skipped == {"consumer-timeout", "long-task"}


def test_help_describes_every_fault() -> None:
    """The help is a literal text, because every worker start loads it."""
    described = re.findall(r"^  ([a-z-]+)  +\S", cleandoc(drill.help).split("What is counted")[0], flags=re.MULTILINE)

    assert sorted(described) == sorted(BY_NAME)
