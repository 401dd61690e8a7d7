"""Where the broker sends what queues give up, from the answers of the management API."""

from __future__ import annotations

import logging
from email.message import Message
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError

import pytest
from celery import Celery

from proj.broker.management_api import Management
from proj.delivery.dead_letters import keeper
from proj.delivery.dead_letters.destinations import NO_EXCHANGE, dropped, sentence
from proj.errors import NoManagement

if TYPE_CHECKING:
    from collections.abc import Mapping

LEADS_TO = {"dead_letters": ["dead_letters"], "unbound": []}
DEAD_LETTERS = {"name": "dead_letters", "type": "quorum"}


class Answering(Management):
    """An API that knows these queues and policies (None: it refuses them), and the bindings of `LEADS_TO`."""

    def __init__(self, *queues: Any, policies: list[Any] | None = None) -> None:
        super().__init__("http://localhost/api/")
        self.queues = queues
        self.policies = policies

    def request(self, method: str, path: str, body: object = None) -> Any:
        del method, body
        if path.startswith("queues"):
            return self.queues
        if path.startswith("policies"):
            if self.policies is None:
                raise NoManagement("It refuses.")
            return self.policies
        exchange = path.split("/")[2]
        if exchange not in LEADS_TO:
            raise NoManagement("There is none.") from HTTPError(path, 404, "Not Found", Message(), None)
        return LEADS_TO[exchange]


def queue(name: str = "work", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": "classic", **more}


def reasons(*queues: Any, policies: list[Any] | None = None) -> Mapping[str, str]:
    return dropped(Answering(*queues, policies=policies), "/", dead_letters="dead_letters")


def by_policy(exchange: str, **more: str) -> dict[str, Any]:
    return {"effective_policy_definition": {"dead-letter-exchange": exchange, **more}}


def test_queue_without_a_dead_letter_exchange_is_named() -> None:
    """RabbitMQ drops what expires there, and Celery sets an expiration."""
    found = reasons(queue(), queue("kept", **by_policy("dead_letters")), DEAD_LETTERS)

    assert found == {"work": NO_EXCHANGE}
    assert "from work (no policy" in (sentence(found) or "")


def test_queue_without_an_exchange_is_nobodys_business_where_nothing_keeps_dead_letters() -> None:
    """An app without `install` has no queue of them, and may want none."""
    assert reasons(queue()) == {}


@pytest.mark.parametrize("exchange", ["unbound", "missing"])
def test_exchange_that_leads_to_no_queue_is_named(exchange: str) -> None:
    """Somebody has deleted the queue of dead letters, and its binding with it."""
    assert exchange in reasons(queue(**by_policy(exchange)))["work"]


def test_argument_of_the_queue_goes_before_its_policy() -> None:
    """As the broker takes them."""
    arguments = {"x-dead-letter-exchange": "dead_letters"}

    assert reasons(queue(arguments=arguments, **by_policy("unbound")), DEAD_LETTERS) == {}


def test_policies_are_read_from_their_list_where_that_is_allowed() -> None:
    """What a queue says of its policy is seconds old."""
    policy = {"pattern": "^work$", "apply-to": "queues", "definition": {"dead-letter-exchange": "dead_letters"}}

    assert reasons(queue(), DEAD_LETTERS, policies=[policy]) == {}
    assert reasons(queue(**by_policy("dead_letters")), DEAD_LETTERS, policies=[]) == {"work": NO_EXCHANGE}


def test_default_exchange_leads_to_the_queue_of_the_routing_key() -> None:
    """Without a key each message has its own."""
    gone = {"dead-letter-routing-key": "gone"}

    assert reasons(queue(**by_policy("", **gone)))["work"] == "there is no queue gone"
    assert reasons(queue(**by_policy("", **gone)), queue("gone")) == {}
    assert reasons(queue(**by_policy(""))) == {}


def test_queues_that_workers_make_for_themselves_are_not_named() -> None:
    """Nothing in the queue of a worker's commands is worth keeping."""
    assert reasons(queue("celery@host.celery.pidbox"), queue("celeryev.1"), DEAD_LETTERS) == {}


def test_sentence_names_only_some_of_many_queues_and_prints_each_safely() -> None:
    """A name may hold what clears the screen."""
    many = {f"queue-{number:02}\x1b[2J": NO_EXCHANGE for number in range(12)}

    text = sentence(many) or ""

    assert "queue-00\\x1b[2J" in text
    assert "and 2 more" in text
    assert "\x1b" not in text


def test_worker_that_cannot_ask_the_management_api_says_so_without_noise(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Most users of workers may not ask it."""
    monkeypatch.setattr(keeper, "_KNOWN_S", 0.0)
    monkeypatch.setenv("FLOWER_BROKER_API", "http://127.0.0.1:1/api/")
    with caplog.at_level(logging.INFO):
        keeper._say_where_they_go(Celery(broker="amqp://127.0.0.1:1//", set_as_current=False), ["work"])  # noqa: SLF001 the thread's target

    (record,) = caplog.records
    assert (record.levelno, getattr(record, "action", None)) == (logging.INFO, "dead_letters_not_known")
