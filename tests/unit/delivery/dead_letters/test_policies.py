"""The policies of queues: what a queue lacks, and whether its delivery limit allows looking at letters."""

from __future__ import annotations

import re
from typing import Any

import pytest

from proj.broker.management_api import Management
from proj.broker.version import BrokerVersion
from proj.delivery.dead_letters.delivery_limit import check_delivery_limit, delivery_limit
from proj.delivery.dead_letters.policies import QueuePolicies, obstacle
from proj.delivery.dead_letters.queue_policy import PolicyStatus, effective_policy, extended_policy, policy_status
from proj.errors import NoManagement, ProjError
from proj.lab.definitions import packaged_definitions

SAFE = {
    "dead-letter-exchange": "dead_letters",
    "dead-letter-strategy": "at-least-once",
    "overflow": "reject-publish",
    "delivery-limit": 20,
}


class Silent(Management):
    """The API of a broker without the management plug-in."""

    def request(self, method: str, path: str, body: object = None) -> Any:
        del body
        raise NoManagement(f"No management API answers {method} {path}.")


class Answering(Management):
    """An API that gives fixed queues and policies (None: it refuses them) and records changes."""

    def __init__(self, answer: Any, policies: list[Any] | None = None) -> None:
        super().__init__("http://localhost/api/")
        self.answer = answer
        self.policies = policies
        self.changes: list[tuple[str, str]] = []

    def request(self, method: str, path: str, body: object = None) -> Any:
        del body
        if method != "GET":
            self.changes.append((method, path))
        if not path.startswith("policies"):
            return self.answer
        if self.policies is None:
            raise NoManagement(f"It refuses {path}.")
        return self.policies


def status(name: str = "work", **there: Any) -> PolicyStatus:
    return policy_status(name, there, declared_type="classic", dead_letters="dead_letters")


def test_queue_without_a_policy_lacks_everything() -> None:
    """A classic queue needs less than a quorum queue, because it has no delivery limit."""
    assert status(type="quorum").missing == SAFE
    assert status(type="classic").missing == {"dead-letter-exchange": "dead_letters"}


def test_queue_with_the_packaged_policy_lacks_nothing() -> None:
    """Private brokers and docker-compose.yml load exactly what is required here."""
    queues = {"work": ("task_queue", "quorum"), "work_classic": ("task_queue", "classic")}
    for each in packaged_definitions()["policies"]:
        name, kind = queues.get(each["name"], ("dead_letters", "quorum"))
        there = {"type": kind, "policy": each["name"], "effective_policy_definition": each["definition"]}

        assert status(name, **there).missing == {}


def test_another_value_of_a_required_key_is_not_missing() -> None:
    """Another exchange or limit is someone's choice, by policy or by argument."""
    chosen = status(type="quorum", arguments={"x-dead-letter-exchange": "theirs", "x-delivery-limit": 3})

    assert chosen.missing.keys() == {"dead-letter-strategy", "overflow"}
    assert (chosen.dead_letter_exchange, chosen.delivery_limit) == ("theirs", 3)


def test_policy_applies_to_its_queue_and_its_quarantine_queue_only() -> None:
    """A dot in a queue's name matches only a dot."""
    pattern = extended_policy(status("a.b", type="quorum"), "dead_letters")["pattern"]

    assert [bool(re.search(pattern, name)) for name in ("a.b", "a.b.suspects", "a.bc", "axb", "xa.b")] == [
        *(True, True),
        *(False, False, False),
    ]


def test_effective_policy_is_the_matching_one_with_the_highest_priority() -> None:
    """As the broker chooses. Policies for exchanges or for another type of queue do not count."""
    policies = [
        {"name": "low", "pattern": "^work", "apply-to": "queues", "priority": 0, "definition": {}},
        {"name": "high", "pattern": "ork$", "apply-to": "all", "priority": 9, "definition": {}},
        {"name": "other", "pattern": ".*", "apply-to": "classic_queues", "priority": 99, "definition": {}},
        {"name": "exchanges", "pattern": ".*", "apply-to": "exchanges", "priority": 99, "definition": {}},
    ]

    held = {name: effective_policy(policies, name, "quorum") for name in ("work", "work.suspects", "else")}

    assert {name: policy and policy["name"] for name, policy in held.items()} == {
        "work": "high",
        "work.suspects": "low",
        "else": None,
    }


def test_policy_of_someone_else_is_never_replaced() -> None:
    """A queue has only one effective policy, so --apply refuses and changes nothing."""
    broker = Answering([{"name": "work", "type": "quorum", "policy": "theirs"}])
    policies = QueuePolicies(broker, vhost="/", queue_types={"work": "quorum"}, dead_letters="dead_letters")

    with pytest.raises(ProjError, match="'theirs', the policy of work"):
        policies.apply()

    assert broker.changes == []


def test_policy_with_a_key_that_a_type_of_queue_does_not_support_is_not_effective() -> None:
    """So for a classic queue not the shipped policy for quorum queues is effective, but one of a lower priority."""
    packaged = packaged_definitions()["policies"]

    held = {kind: effective_policy(packaged, "task_queue", kind) for kind in ("quorum", "classic")}

    assert {kind: policy and policy["name"] for kind, policy in held.items()} == {
        "quorum": "work",
        "classic": "work_classic",
    }


@pytest.mark.parametrize(("kind", "name", "priority"), [("quorum", "work", 2), ("classic", "work_classic", 1)])
def test_length_limit_extends_a_shipped_policy_for_the_queue_alone(kind: str, name: str, priority: int) -> None:
    """Its quarantine queue, and all others that match the shipped policy, stay under that."""
    packaged = packaged_definitions()["policies"]
    policy = effective_policy(packaged, "task_queue", kind)
    assert policy is not None
    assert policy["name"] == name
    there = {"type": kind}
    limited = policy_status(
        "task_queue",
        there,
        declared_type=kind,
        dead_letters="dead_letters",
        policy=policy,
        max_length=9,
        shipped=packaged,
    )

    assert not limited.is_foreign
    assert extended_policy(limited, "dead_letters") == {
        "pattern": "^task_queue$",
        "apply-to": "queues",
        "priority": priority,
        "definition": {**policy["definition"], "max-length": 9},
    }


def test_shipped_policy_with_a_changed_definition_is_someone_elses() -> None:
    """Its name does not make it ours."""
    packaged = packaged_definitions()["policies"]
    changed = {"name": "work", "definition": {**SAFE, "message-ttl": 5}}

    assert policy_status(
        "task_queue", None, declared_type="quorum", dead_letters="d", policy=changed, shipped=packaged
    ).is_foreign


@pytest.mark.parametrize(
    ("argument", "asked", "fixed"),
    [(50, 100, {"x-max-length": 50}), (50, 0, {"x-max-length": 50}), (50, 50, {}), (50, 30, {})],
)
def test_length_limit_in_a_queues_arguments_is_an_obstacle_when_it_is_lower(
    argument: int, asked: int, fixed: dict[str, int]
) -> None:
    """The lower one of argument and policy counts, so no policy can raise it."""
    there = {"type": "classic", "arguments": {"x-max-length": argument, "x-dead-letter-exchange": "d"}}
    policy = {"name": "proj.dead_letters.q", "definition": {"overflow": "reject-publish"}}
    before = policy_status("q", there, declared_type="classic", dead_letters="d", policy=policy, max_length=asked)

    assert before.fixed == fixed
    assert (obstacle([before]) is not None) == bool(fixed)
    if not fixed:
        after = {**policy, "definition": extended_policy(before, "d")["definition"]}
        made = policy_status("q", there, declared_type="classic", dead_letters="d", policy=after, max_length=asked)
        assert (made.missing, made.max_length) == ({}, asked)


@pytest.mark.parametrize(
    ("queue", "version", "limit"),
    [
        ({"type": "classic"}, "4.1.0", None),
        ({"type": "quorum"}, "3.13.7", None),
        ({"type": "quorum"}, "4.1.0", 20),
        ({"type": "quorum", "effective_policy_definition": []}, "4.1.0", 20),
        ({"type": "quorum", "effective_policy_definition": {"delivery-limit": -1}}, "4.1.0", None),
        ({"type": "quorum", "effective_policy_definition": {"delivery-limit": 5}}, "3.10.8", 5),
        ({"type": "quorum", "arguments": {"x-delivery-limit": 7}}, "3.10.8", 7),
        ({"arguments": {"x-queue-type": "quorum", "x-delivery-limit": 7}}, "nonsense", 7),
    ],
)
def test_delivery_limit_is_the_one_that_the_broker_applies(
    queue: dict[str, Any], version: str, limit: int | None
) -> None:
    """RabbitMQ 4 has a default limit."""
    assert delivery_limit(queue, BrokerVersion.read(version)) == limit


def test_looking_is_refused_where_the_broker_would_drop_letters() -> None:
    """The limit is low, or unknown on RabbitMQ 4."""
    old, new = BrokerVersion.read("3.10.8"), BrokerVersion.read("4.1.0")
    low = Answering({"type": "quorum", "effective_policy_definition": {"delivery-limit": 20}})
    with pytest.raises(ProjError, match=r"drops a letter after 20.*--apply"):
        check_delivery_limit("dead_letters", version=old, management=low, vhost="/")
    fresh = {"name": "p", "pattern": "^dead", "apply-to": "all", "definition": {"delivery-limit": 20}}
    with pytest.raises(ProjError, match=r"drops a letter after 20.*--apply"):
        check_delivery_limit("dead_letters", version=old, management=Answering({"type": "quorum"}, [fresh]), vhost="/")
    with pytest.raises(ProjError, match=r"RabbitMQ 4\.1 drops.*--broker-api.*--apply"):
        check_delivery_limit("dead_letters", version=new, management=Silent("http://x/api/"), vhost="/")
    with pytest.raises(ProjError, match=r"killed look adds one.*drops a letter after 20.*--apply"):
        check_delivery_limit("dead_letters", version=BrokerVersion.read("4.3.6"), management=low, vhost="/")


def test_looking_is_allowed_where_the_limit_is_high_or_probably_none() -> None:
    """With a warning where the limit is unknown before RabbitMQ 4."""
    high = Answering({"type": "quorum", "effective_policy_definition": {"delivery-limit": 1_000_000}})

    old, new = BrokerVersion.read("3.10.8"), BrokerVersion.read("4.1.0")

    assert check_delivery_limit("dead_letters", version=new, management=high, vhost="/") is None
    doubt = check_delivery_limit("dead_letters", version=old, management=Silent("http://x/api/"), vhost="/")
    assert doubt is not None
    assert "not known" in doubt


def test_policy_of_ours_gets_the_timeout_of_lost_nodes_where_the_broker_knows_it() -> None:
    """An older broker would refuse the policy; a policy of someone else is not ours to change for that."""
    old, new = BrokerVersion.read("4.2.9"), BrokerVersion.read("4.3.6")
    ours = {"name": "proj.dead_letters.q", "definition": SAFE}

    def lacks(version: BrokerVersion, policy: dict[str, Any] | None, kind: str = "quorum") -> set[str]:
        there = {"type": kind}
        found = policy_status(
            "q", there, declared_type=kind, dead_letters="dead_letters", policy=policy, version=version
        )
        return set(found.missing)

    key = {"consumer-disconnected-timeout"}
    assert (lacks(old, ours), lacks(new, ours)) == (set(), key)
    assert (lacks(old, None), lacks(new, None)) == (set(SAFE), set(SAFE) | key)
    assert lacks(new, {"name": "theirs", "definition": SAFE}) == set()
    assert lacks(new, None, "classic") == {"dead-letter-exchange"}


def test_policies_of_the_lab_have_a_key_only_where_the_broker_knows_it() -> None:
    """A node refuses all definitions with a key that it does not know, and does not start."""
    known = {
        version: {
            each["name"]: each["definition"].get("consumer-disconnected-timeout")
            for each in packaged_definitions(BrokerVersion.read(version))["policies"]
        }
        for version in ("3.10.8", "4.2.9", "4.3.6")
    }

    assert known == {
        "3.10.8": {"dead_letters": None, "work": None, "work_classic": None},
        "4.2.9": {"dead_letters": None, "work": None, "work_classic": None},
        "4.3.6": {"dead_letters": None, "work": 5000, "work_classic": None},
    }
