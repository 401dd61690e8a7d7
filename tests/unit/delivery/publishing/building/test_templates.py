"""Templates of messages: what they make is what Celery makes, and Celery makes all that they could get wrong."""

from __future__ import annotations

from contextlib import contextmanager
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
from amqp.basic_message import Message
from amqp.serialization import decode_properties_basic
from celery import Celery, signals
from celery.app.amqp import AMQP
from celery.result import AsyncResult
from celery.utils.saferepr import saferepr
from hypothesis import given, settings
from hypothesis import strategies as st
from kombu import Exchange, Producer, Queue, serialization
from kombu.exceptions import EncodeError

from proj.delivery.publishing.building.task_template import Built, TaskTemplate
from proj.delivery.publishing.building.templates import Templates, short_repr
from proj.delivery.publishing.outgoing_message import OutgoingMessage

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    # JSON has no date, identifier or bytes; kombu encodes them.
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | TEXTS
    | st.datetimes()
    | st.uuids()
    | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


class Published:
    """A producer that keeps what is published, as kombu's does on its way to the broker."""

    def __init__(self) -> None:
        self.outgoing: list[OutgoingMessage] = []
        self.events: list[dict[str, Any]] = []
        self.declared = True
        self._recorded: list[Built] | None = None
        self.built_by_celery = 0

    def add(self, outgoing: OutgoingMessage) -> None:
        self.outgoing.append(outgoing)

    def has_declared(self, _entities: object) -> bool:
        return self.declared

    @contextmanager
    def recording(self) -> Iterator[list[Built]]:
        self._recorded = recorded = []  # type: ignore[var-annotated] # the attribute has the type
        try:
            yield recorded
        finally:
            self._recorded = None

    def keep(self, kind: str, fields: dict[str, Any], _producer: object) -> None:
        assert kind == "task-sent"
        self.events.append(fields)

    is_stock = True

    def by_celery(self, message: Any, options: dict[str, Any]) -> None:
        self.built_by_celery += 1
        _type, _encoding, body = serialization.dumps(message.body, "json")
        outgoing = OutgoingMessage(
            Message(
                body,
                content_type="application/json",
                content_encoding="utf-8",
                application_headers=message.headers,
                delivery_mode=2,
                priority=options.get("priority") or 0,
                **message.properties,
            ),
            "tasks",
            "key",
            mandatory=True,
        )
        self.outgoing.append(outgoing)
        event = {**message.sent_event, "queue": "q"}
        self.events.append(event)
        if self._recorded is not None:
            self._recorded.append(
                Built(outgoing=outgoing, serializer="json", declare=(), body=message.body, event=event)
            )


class Sender:
    """Sends tasks as the `send_task` of an app with `confirm_publishing` does."""

    def __init__(self, app: Celery) -> None:
        self.app = app
        self.published = Published()
        self.templates = Templates(app, self.published, self.published)  # type: ignore[arg-type] # has what is used

    def send(self, task_id: str, *args: Any, kwargs: dict[str, Any] | None = None, **options: Any) -> Any:
        def by_celery() -> Any:
            amqp: Any = self.app.amqp
            shown = {name: options[name] for name in ("ignore_result", "shadow", "time_limit") if name in options}
            message = amqp.create_task_message(
                task_id, "add", args, kwargs, reply_to=self.app.thread_oid, create_sent_event=True, **shown
            )
            self.published.by_celery(message, options)
            return self.app.AsyncResult(task_id)

        return self.templates.send("add", args, kwargs, task_id, options, by_celery)

    @property
    def by_template(self) -> int:
        return len(self.published.outgoing) - self.published.built_by_celery


def made(outgoing: OutgoingMessage) -> tuple[Any, ...]:
    """All of a message that goes to the broker."""
    message: Any = outgoing.message
    properties, _ = decode_properties_basic(message._serialize_properties(), 0)  # noqa: SLF001 py-amqp's writer calls it too
    return (properties, message.body, outgoing.exchange, outgoing.routing_key, outgoing.mandatory)


@pytest.fixture(scope="module")
def app() -> Celery:
    app = Celery("templates", broker="amqp://nobody.invalid", backend="cache+memory://", set_as_current=False)
    app.conf.task_queues = [Queue("q", Exchange("tasks", "topic"), "key")]
    return app


@settings(max_examples=60, deadline=None)
@given(
    calls=st.lists(
        st.tuples(TEXTS, st.lists(VALUES, max_size=3), st.dictionaries(TEXTS, VALUES, max_size=3)),
        min_size=3,
        max_size=5,
    ),
    options=st.fixed_dictionaries(
        {},
        optional={
            "priority": st.integers(0, 9),
            "ignore_result": st.booleans(),
            "shadow": TEXTS,
            "time_limit": st.integers(1, 9),
        },
    ),
)
def test_template_makes_the_message_and_the_event_that_celery_makes(
    app: Celery, calls: list[tuple[str, list[Any], dict[str, Any]]], options: dict[str, Any]
) -> None:
    """For any arguments and any options that it accepts."""
    sender, celery = Sender(app), Sender(app)
    celery.templates._is_possible = False  # noqa: SLF001 so that Celery builds each

    for number, (text, args, kwargs) in enumerate(calls):
        for each in (sender, celery):
            each.send(f"{number}{text}"[:60], *args, kwargs=kwargs, **options)

    assert sender.by_template == len(calls) - 2
    assert celery.by_template == 0
    assert [made(one) for one in sender.published.outgoing] == [made(one) for one in celery.published.outgoing]
    assert sender.published.events == celery.published.events


def test_template_is_not_used_when_the_second_message_is_not_as_it_would_make_it(
    app: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a library adds a header that is another one each time."""
    sender = Sender(app)
    built = sender.published.by_celery
    numbers = iter(range(9))

    def with_trace(message: Any, options: dict[str, Any]) -> None:
        message.headers["trace"] = next(numbers)
        built(message, options)

    monkeypatch.setattr(sender.published, "by_celery", with_trace)

    for number in range(4):
        sender.send(str(number))

    assert (sender.by_template, sender.published.built_by_celery) == (0, 4)


@pytest.mark.parametrize(
    "options",
    [
        {"link": [{"task": "other"}]},
        {"headers": {"x": 1}},
        {"expires": 60},
        {"group_id": "g"},
        {"chain": []},
        {"compression": "zlib"},
        {"queue": Queue("q")},
        {"stamped_headers": ["x"]},
        {"root_id": "another"},
        {"unknown": 1},
    ],
    ids=str,
)
def test_celery_builds_messages_with_options_that_may_differ(app: Celery, options: dict[str, Any]) -> None:
    """A template of them could make another message than Celery."""
    sender = Sender(app)

    for number in range(4):
        sender.send(str(number), **options)

    assert sender.by_template == 0


def test_celery_builds_messages_that_somebody_may_change_before_they_are_published(app: Celery) -> None:
    """A receiver of `before_task_publish` gets each message, as from Celery."""
    sender = Sender(app)

    def change(**_: object) -> None:
        """Never called here."""

    signals.before_task_publish.connect(change)
    try:
        for number in range(4):
            sender.send(str(number))
    finally:
        signals.before_task_publish.disconnect(change)

    assert sender.by_template == 0


def test_receiver_of_after_task_publish_gets_what_celery_gives_it(app: Celery) -> None:
    """Headers and body of its own, which it may change."""
    sender = Sender(app)
    seen: list[dict[str, Any]] = []

    def after(headers: dict[str, Any], body: Any, **others: Any) -> None:
        seen.append({"headers": deepcopy(headers), "body": body, **others})
        headers["timelimit"].append("changed")

    for number in range(2):
        sender.send(str(number), number)
    signals.after_task_publish.connect(after)
    try:
        for number in range(2, 4):
            sender.send(str(number), number)
    finally:
        signals.after_task_publish.disconnect(after)

    assert sender.by_template == 2
    assert [one["headers"]["id"] for one in seen] == ["2", "3"]
    assert [one["headers"]["timelimit"] for one in seen] == [[None, None]] * 2
    embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    assert [one["body"] for one in seen] == [((2,), {}, embed), ((3,), {}, embed)]
    assert (seen[0]["sender"], seen[0]["exchange"], seen[0]["routing_key"]) == ("add", "tasks", "key")


def test_messages_of_different_options_have_different_templates(app: Celery) -> None:
    """A priority is a property of its own, and True is not 1."""
    sender = Sender(app)

    for number in range(8):
        sender.send(str(number), priority=number % 2)

    priorities = [made(one)[0]["priority"] for one in sender.published.outgoing]
    assert priorities == [number % 2 for number in range(8)]
    assert sender.by_template == 4


def test_celery_builds_the_message_after_a_lost_connection(app: Celery) -> None:
    """It declares the queue again first."""
    sender = Sender(app)
    for number in range(3):
        sender.send(str(number))

    sender.published.declared = False
    sender.send("3")

    assert (sender.by_template, sender.published.built_by_celery) == (1, 3)


def test_arguments_that_cannot_be_encoded_are_left_to_celery(app: Celery) -> None:
    """It raises its own error."""
    sender = Sender(app)
    for number in range(3):
        sender.send(str(number))

    with pytest.raises(EncodeError):
        sender.send("3", object())


@pytest.mark.parametrize(("owner", "name"), [(Celery, "send_task"), (AMQP, "as_task_v2"), (Producer, "publish")])
def test_celery_sends_everything_when_somebody_has_wrapped_it(
    app: Celery, monkeypatch: pytest.MonkeyPatch, owner: type, name: str
) -> None:
    """As libraries do that watch programs: they must see every task."""
    stock = getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return stock(*args, **kwargs)

    monkeypatch.setattr(owner, name, wrapped)
    sender = Sender(app)

    for number in range(4):
        sender.send(str(number))

    assert sender.by_template == 0


def test_celery_sends_tasks_that_a_function_routes() -> None:
    """It may route each by its arguments."""
    app = Celery("routed", backend="cache+memory://", set_as_current=False)
    app.conf.task_routes = (lambda *_args, **_options: None,)
    sender = Sender(app)

    for number in range(4):
        sender.send(str(number))

    assert sender.by_template == 0


def test_message_without_celerys_headers_has_no_template() -> None:
    """Protocol 1 has another form."""
    outgoing = OutgoingMessage(Message("", correlation_id="1"), "", "q", mandatory=True)

    with pytest.raises(ValueError, match="protocol 2"):
        TaskTemplate(Built(outgoing=outgoing, serializer=None, declare=(), body=((), {}, {})), "1")


def test_id_that_amqp_cannot_carry_is_left_to_celery(app: Celery) -> None:
    """Its properties have at most 255 bytes."""
    sender = Sender(app)
    for number in range(3):
        sender.send(str(number))

    sender.send("x" * 256)

    assert sender.by_template == 1


@given(st.lists(VALUES | st.text(max_size=40), max_size=5), st.integers(1, 120))
def test_short_arguments_are_shown_as_celery_shows_them(args: list[Any], most: int) -> None:
    """Monitors show the text, and an agreement with Celery's is what a template is proven by."""
    short = short_repr(tuple(args), most)

    assert short in {None, saferepr(tuple(args), most)}


@pytest.mark.parametrize(
    ("args", "shown"),
    [
        ((), "()"),
        (("it's",), "('it\\'s',)"),
        ((1, 2.5, None, True), "(1, 2.5, None, True)"),
        (([1],), None),
        (("x" * 100,), None),
        ([1], None),
    ],
)
def test_arguments_that_are_short_and_flat_are_shown_without_celery(args: object, shown: str | None) -> None:
    """It takes a tenth of the time."""
    assert short_repr(args, 100) == shown


def test_result_of_a_task_is_made_when_somebody_looks_at_it(app: Celery) -> None:
    """`send_many` itself does not; it is as Celery's, and the same each time."""
    sender = Sender(app)
    for number in range(3):
        sender.send(str(number), ignore_result=True)

    result = sender.send("3", ignore_result=True)

    assert sender.by_template == 2
    assert isinstance(result, AsyncResult)
    assert (result.id, result.ignored, result.app) == ("3", True, app)
    assert result == app.AsyncResult("3")
