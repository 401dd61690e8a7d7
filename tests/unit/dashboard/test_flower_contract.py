"""What the dashboard uses of Flower, Tornado and Celery although their manuals do not promise it.

An upgrade that changes one of these fails here, and not as an empty page.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import click
import flower
import flower.app
import flower.command
import flower.events
import flower.inspector
import flower.options
import flower.urls
import flower.views
import pytest
import tornado.options
import tornado.web
from celery import Celery
from celery.events.receiver import EventReceiver
from celery.events.state import State, Task, Worker
from kombu.mixins import ConsumerMixin

from proj.dashboard import install
from proj.dashboard.web import event_filter
from proj.dashboard.web.arguments import FLOWERS_OWN
from proj.dashboard.web.options import defined_options
from proj.dashboard.web.reply_filter import _CHECKS
from proj.dashboard.web.template_loader import ANCHOR, NAVIGATION, TAB, TemplateLoader, add_tab
from proj.journal.event import AdaptiveCounts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FLOWER = Path(flower.__file__).parent


# --- Flower's command --------------------------------------------------------------------------------


class Made(Exception):
    """Flower's command has made its application, with these arguments."""


@pytest.fixture
def run_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Run Flower's command until it makes its application, and return what the application gets."""
    file = tmp_path / "flowerconfig.py"
    for option in defined_options().values():
        monkeypatch.setattr(option, "_value", vars(option)["_value"])
    monkeypatch.setattr(flower.command, "settings", dict(flower.urls.settings))

    def make(**arguments: object) -> None:
        raise Made(arguments)

    monkeypatch.setattr(flower.command, "Flower", make)

    def run(*arguments: str, configuration: str = "") -> dict[str, Any]:
        file.write_text(configuration)
        app = Celery("theirs", set_as_current=False)
        celery = click.Context(click.Command("celery"), obj=SimpleNamespace(app=app, quiet=True))
        with click.Context(flower.command.flower, parent=celery, obj=celery.obj), pytest.raises(Made) as made:
            flower.command.flower.callback(tornado_argv=("--logging=none", f"--conf={file}", *arguments))
        (given,) = made.value.args
        assert given["capp"] is app
        return dict(given)

    return run


def test_command_makes_the_application_that_its_module_names(run_command: Callable[..., dict[str, Any]]) -> None:
    """So ours can take the place of Flower's."""
    given = run_command()

    assert given.keys() >= {"capp", "options", *flower.urls.settings}
    assert given["options"] is tornado.options.options
    assert flower.command.Flower is not flower.app.Flower


def test_command_reads_environment_then_file_then_arguments(
    run_command: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each overrides the earlier ones, and all of them override the defaults that we set before."""
    for name in ("db", "address", "ca_certs"):
        setattr(tornado.options.options, name, "default")
    for name, value in (("DB", "environment"), ("ADDRESS", "environment"), ("PORT", "1")):
        monkeypatch.setenv(f"FLOWER_{name}", value)

    options = run_command("--port=3", configuration="address = 'file'\nport = 2\n")["options"]

    assert (options.ca_certs, options.db, options.address, options.port) == ("default", "environment", "file", 3)


def test_command_takes_its_options_from_tornados_module() -> None:
    """An option that we define there is one of Flower's: in arguments, in the environment and in the file."""
    assert flower.command.options is flower.options.options is tornado.options.options
    assert flower.command.is_flower_option("--dispatch-history=1")
    assert flower.command.is_flower_envvar("FLOWER_DISPATCH_HISTORY")
    assert flower.command.ENV_VAR_PREFIX == "FLOWER_"
    assert flower.command.settings is flower.urls.settings


def test_options_are_kept_by_name_with_type_and_parser() -> None:
    """We parse a value with a copy of its option before Flower does."""
    option = defined_options()["dispatch-history"]
    assert (option.type, option.multiple, option.name) == (int, False, "dispatch_history")
    assert option.parse("5000") == 5000
    assert "callback" in vars(option)


def test_environment_variables_of_flower_are_all_known() -> None:
    """We would refuse an unknown one as mistyped. Flower has no list of them, so its source is searched."""
    sources = [path.read_text() for path in FLOWER.rglob("*.py")]
    read = {name for text in sources for name in re.findall(r"""["'](FLOWER_[A-Z0-9_]+)["']""", text)}
    options = {f"FLOWER_{name.upper().replace('-', '_')}" for name in defined_options()}

    assert read - {"FLOWER_"} - options == FLOWERS_OWN


def test_names_that_the_installation_needs_are_there() -> None:
    """Without one of them, stock Flower starts with a warning."""
    install._flower_modules()  # noqa: SLF001 what is tested


# --- The application --------------------------------------------------------------------------------


class Loop:
    """In place of Flower's loop: keeps callbacks until they are called."""

    def __init__(self) -> None:
        self.callbacks: list[Callable[[], None]] = []

    def add_callback(self, callback: Callable[[], None]) -> None:
        self.callbacks.append(callback)


@pytest.fixture
def application() -> Iterator[flower.app.Flower]:
    """Flower's application, which is not started."""

    async def make() -> flower.app.Flower:
        app = Celery("theirs", broker="amqp://nobody@127.0.0.1:1//", set_as_current=False)
        return flower.app.Flower(options=flower.options.default_options, capp=app, **flower.urls.settings)

    application = asyncio.run(make())
    yield application
    application.executor.shutdown()


def test_application_takes_its_options_and_app_by_name() -> None:
    """Ours passes them on."""
    assert {"options", "capp"} <= inspect.signature(flower.app.Flower).parameters.keys()


@pytest.mark.parametrize(
    ("holder", "name"),
    [
        (flower.app.Flower, "start_http_server"),  # ours turns its OSError into one sentence
        (flower.app.Flower, "start"),  # ours starts the monitor
        (flower.app.Flower, "stop"),  # ours stops the monitor
        (tornado.web.Application, "find_handler"),  # ours checks the Host header
        (tornado.web.Application, "get_handler_delegate"),  # refuses a Host
        (tornado.web.Application, "add_handlers"),  # adds our addresses before Flower's last one, which takes all
        (tornado.web.Application, "add_transform"),  # adds headers to every answer
        (tornado.web.OutputTransform, "transform_first_chunk"),  # the same
        (flower.views.BaseHandler, "get_current_user"),  # `authenticated` asks it
        (flower.views.BaseHandler, "write_error"),  # draws Flower's error pages
        (flower.inspector.Inspector, "_on_update"),  # gets every reply of a worker
        (flower.events.Events, "on_event"),  # gets every event
        (flower.events.Events, "on_enable_events"),  # tells workers to send events, by the timer
        (flower.events.PrometheusMetrics, "remove_workers"),  # removes the series of a worker
    ],
)
def test_method_is_there(holder: type, name: str) -> None:
    """Each is replaced or called by us."""
    assert callable(getattr(holder, name))


def test_application_has_the_attributes_that_ours_uses(application: flower.app.Flower) -> None:
    """See `flower_types`."""
    state = application.events.state
    for holder, names in (
        (application, ("io_loop", "events", "inspector", "options", "capp")),
        (state, ("workers", "counter", "tasks_by_worker", "metrics")),
        (application.inspector, ("workers", "_on_update")),
        (application.events, ("timer", "events_enable_interval")),
    ):
        assert [name for name in names if not hasattr(holder, name)] == []


def test_event_goes_to_the_state_in_the_loop_and_nowhere_else(application: flower.app.Flower) -> None:
    """Our batches do the same in its place, for many events at a time."""
    application.events.io_loop = loop = Loop()
    event = {"type": "worker-online", "hostname": "w@h", "timestamp": 1.0, "local_received": 1.0, "clock": 1}

    application.events.on_event(event)
    before = set(application.events.state.workers)
    for callback in loop.callbacks:
        callback()

    assert (len(loop.callbacks), before, set(application.events.state.workers)) == (1, set(), {"w@h"})


class Ended(BaseException):
    """Ends Flower's thread, which goes on after every Exception."""


def test_events_thread_uses_a_handler_and_a_receiver_that_were_replaced(
    application: flower.app.Flower, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looks both up when it runs."""

    class Receiver:
        def __init__(self, _: object, *, handlers: dict[str, Callable[[object], None]], app: Celery) -> None:
            assert app is application.capp
            handlers["*"]("event")

        def capture(self, **_: object) -> None:
            raise Ended

    heard: list[object] = []
    monkeypatch.setattr(flower.events, "EventReceiver", Receiver)
    application.events.on_event = heard.append

    with pytest.raises(Ended):
        application.events.run()

    assert heard == ["event"]


def test_inspector_gives_every_reply_to_a_method_that_was_replaced(application: flower.app.Flower) -> None:
    """It looks the method up for each reply."""
    inspector, loop, replies = application.inspector, Loop(), list[tuple[object, ...]]()
    inspector.io_loop = loop
    asked = SimpleNamespace(stats=lambda: {"w@h": {"pid": 1}})
    inspector.capp = SimpleNamespace(control=SimpleNamespace(inspect=lambda **_: asked))
    inspector._on_update = lambda *reply: replies.append(reply)  # noqa: SLF001 as the dashboard does

    inspector._inspect("stats", None)  # noqa: SLF001 what is tested
    for callback in loop.callbacks:
        callback()

    assert replies == [("w@h", "stats", {"pid": 1})]


def test_inspector_asks_only_for_replies_that_we_check() -> None:
    """A reply to another method would pass unchecked."""
    inspector = flower.inspector.Inspector
    # `methods` in Flower 2.1, which asks for less.
    asked = getattr(inspector, "inspect_methods", None) or inspector.methods
    assert set(asked) <= _CHECKS.keys()


def test_prefix_is_put_before_addresses_with_arguments() -> None:
    """The rule keeps its arguments and its name."""
    rule = flower.app.rewrite_handler(tornado.web.url("/x", tornado.web.RequestHandler, {"a": 1}, name="n"), "mon")
    assert (rule.regex.pattern, rule.kwargs, rule.name) == ("/mon/x$", {"a": 1}, "n")


# --- Events -----------------------------------------------------------------------------------------


def test_fields_of_a_worker_are_those_that_we_check() -> None:
    """Flower shows all of them; `heartbeats` is no field of an event."""
    assert set(Worker._fields) - {"heartbeats"} <= event_filter._FIELDS["worker"].keys()  # noqa: SLF001 what is tested


def test_heartbeat_of_adaptive_dispatch_changes_nothing_that_flower_shows() -> None:
    """Stock Flower and other monitors give all fields to Celery's Worker, which must have no attribute of these."""
    event = {
        "type": "worker-heartbeat",
        "hostname": "w@h",
        "timestamp": 1.0,
        "local_received": 1.0,
        "clock": 1,
        "pid": 1,
    }
    told = dict(zip(AdaptiveCounts._fields, (8, 3, 40), strict=True))
    shown = {}
    for fields in ({}, told):
        state = State()
        state.event({**event, **fields})
        worker = state.workers["w@h"]
        shown[len(fields)] = {name: getattr(worker, name) for name in Worker._fields}

    assert shown[0] == shown[len(told)]
    assert not [name for name in told if hasattr(Worker, name)]
    assert event_filter.checked_event({**event, **told}) == event


def test_fields_of_a_task_are_those_that_we_check() -> None:
    """The others are set by Celery itself, not from events."""
    own = {"state", "worker", "client", "children", "root", "parent"}
    times = {"received", "sent", "started", "rejected", "succeeded", "failed", "retried", "revoked"}
    assert set(Task._fields) - own - times <= event_filter._FIELDS["task"].keys()  # noqa: SLF001 what is tested


def test_receiver_has_the_methods_and_clocks_that_ours_replaces() -> None:
    """Celery's receiver, and kombu's consumer below it."""
    assert list(inspect.signature(EventReceiver._receive).parameters)[:3] == ["self", "body", "message"]  # noqa: SLF001 what is tested
    assert list(inspect.signature(EventReceiver.event_from_message).parameters)[:3] == ["self", "body", "localize"]
    assert list(inspect.signature(ConsumerMixin.on_decode_error).parameters) == ["self", "message", "exc"]
    app = Celery("theirs", set_as_current=False)
    channel = SimpleNamespace(connection=SimpleNamespace(client=app.connection_for_read()))
    assert {"clock", "adjust_clock", "forward_clock"} <= vars(EventReceiver(channel, app=app)).keys()


# --- The page ---------------------------------------------------------------------------------------


def test_navigation_has_the_item_after_which_our_tab_goes() -> None:
    """The broker's, which is the last on the left."""
    text = (FLOWER / "templates" / NAVIGATION).read_text()
    assert text.count(ANCHOR) == 1
    assert "active_tab == 'broker'" in text
    tabbed = add_tab(text)
    assert tabbed.replace(TAB, "") == text
    assert tabbed.index("</ul>") > tabbed.index(TAB) > tabbed.index(ANCHOR)


def test_navigation_without_that_item_is_unchanged_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """The page can still be reached by its address."""
    assert add_tab("<nav></nav>") == "<nav></nav>"
    assert [vars(record)["action"] for record in caplog.records] == ["tab_missing"]


@pytest.mark.parametrize("block", ["title", "navbar", "container", "extra_scripts"])
def test_base_template_has_the_blocks_that_the_page_fills(block: str) -> None:
    """Head, navigation, scripts and theme are Flower's."""
    assert f"{{% block {block} %}}" in (FLOWER / "templates" / "base.html").read_text()


def test_loader_finds_flowers_templates_and_ours() -> None:
    """Under the names by which they extend each other, and it reads each file once."""
    loader = TemplateLoader(flower.urls.settings["template_path"])
    assert loader.load("dispatch.html") is loader.load("dispatch.html")
    assert loader.load("workers.html")
    names = {path.name for path in (FLOWER / "templates").iterdir()}
    assert "dispatch.html" not in names
