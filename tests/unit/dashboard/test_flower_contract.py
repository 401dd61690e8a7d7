"""What the dashboard relies on in Flower, Tornado and Celery though it is not in their manuals, one assertion each.

An upgrade that moves one of these fails here, in one readable place, and not in a page that is empty.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

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
import tornado.template
import tornado.web
from celery.events.receiver import EventReceiver
from celery.events.state import State, Task, Worker
from kombu.mixins import ConsumerMixin

from proj.dashboard import install
from proj.dashboard.web import event_filter
from proj.dashboard.web.arguments import FLOWERS_OWN
from proj.dashboard.web.template_loader import ANCHOR, NAVIGATION, TAB, TemplateLoader, add_tab

FLOWER = Path(flower.__file__).parent
SOURCES = {path: path.read_text() for path in FLOWER.rglob("*.py")}


def source(thing: object) -> str:
    return inspect.getsource(thing)  # type: ignore[arg-type] # whatever has a source


# --- The seam ---------------------------------------------------------------------------------------


def test_command_looks_its_application_up_when_it_runs() -> None:
    """So that the module's `Flower` can be replaced by ours."""
    assert "flower_app = Flower(capp=app, options=options, **settings)" in source(flower.command.flower.callback)
    assert flower.command.Flower is not None
    assert flower.command.settings is flower.urls.settings


def test_command_reads_environment_then_file_then_arguments() -> None:
    """Safe defaults that are set before all of them give way to each."""
    text = source(flower.command.flower.callback)
    assert text.index("apply_env_options()") < text.index("apply_options(sys.argv[0], tornado_argv)")
    text = source(flower.command.apply_options)
    assert text.index("parse_config_file") < text.rindex("parse_command_line")


def test_command_takes_its_options_from_tornados_module() -> None:
    """What we define there is an option of Flower's: on the command line, in the environment and in the file."""
    assert flower.command.options is flower.options.options is tornado.options.options
    assert flower.command.is_flower_option("--dispatch-history=1")
    assert flower.command.is_flower_envvar("FLOWER_DISPATCH_HISTORY")
    assert flower.command.ENV_VAR_PREFIX == "FLOWER_"


def test_options_are_kept_by_name_with_type_and_parser() -> None:
    """A value is tried on a copy of its option before Flower reads it."""
    option = tornado.options.options.__dict__["_options"]["dispatch-history"]
    assert (option.type, option.multiple, option.name) == (int, False, "dispatch_history")
    assert option.parse("5000") == 5000
    assert "callback" in option.__dict__


def test_command_can_be_called_with_arguments() -> None:
    """Ours does, in its own context, with which Flower warns about Celery's misplaced options."""
    assert "def flower(ctx, tornado_argv):" in source(flower.command.flower.callback)
    assert "ctx.parent.command.params" in source(flower.command.warn_about_celery_args_used_in_flower_command)


def test_environment_has_no_variable_of_flowers_that_we_do_not_know() -> None:
    """Else we would refuse it as mistyped."""
    read = {name for text in SOURCES.values() for name in re.findall(r"""["'](FLOWER_[A-Z0-9_]+)["']""", text)}
    options = {f"FLOWER_{name.upper().replace('-', '_')}" for name in tornado.options.options.__dict__["_options"]}

    assert read - {"FLOWER_"} - options == FLOWERS_OWN


def test_names_that_are_looked_for_at_the_start_are_there() -> None:
    """Where one is not, stock Flower starts with a warning."""
    install._flower_modules()  # noqa: SLF001 what is tested


# --- The application --------------------------------------------------------------------------------


def test_application_takes_what_it_is_made_of_by_name() -> None:
    """Ours passes it on."""
    assert {"options", "capp"} <= inspect.signature(flower.app.Flower).parameters.keys()


@pytest.mark.parametrize(
    ("holder", "name"),
    [
        (flower.app.Flower, "start_http_server"),  # where a port that is taken becomes a sentence
        (flower.app.Flower, "start"),  # with which the monitor starts
        (flower.app.Flower, "stop"),  # with which it ends
        (tornado.web.Application, "find_handler"),  # before which the Host is looked at
        (tornado.web.Application, "get_handler_delegate"),  # which refuses it
        (tornado.web.Application, "add_handlers"),  # which adds our addresses before Flower's last, which takes all
        (tornado.web.Application, "add_transform"),  # which adds headers to every answer
        (tornado.web.OutputTransform, "transform_first_chunk"),  # the same
        (flower.views.BaseHandler, "get_current_user"),  # with which `authenticated` asks who it is
        (flower.views.BaseHandler, "write_error"),  # which draws Flower's own pages of errors
        (flower.inspector.Inspector, "_on_update"),  # through which every answer of a worker goes
        (flower.events.Events, "on_event"),  # through which every event goes
        (flower.events.PrometheusMetrics, "remove_workers"),  # which forgets the series of a worker
    ],
)
def test_method_is_there(holder: type, name: str) -> None:
    """Each is replaced or called by us."""
    assert callable(getattr(holder, name))


def test_application_has_what_ours_uses() -> None:
    """Its loop, its events and its inspector."""
    text = source(flower.app.Flower.__init__)
    for name in ("io_loop", "events", "inspector", "options", "capp"):
        assert f"self.{name} = " in text
    assert "template_loader" in source(tornado.web.RequestHandler.create_template_loader)


def test_event_is_only_brought_to_the_state_in_the_loop() -> None:
    """What our handover does in its place, for many events at a time."""
    assert (
        source(flower.events.Events.on_event)
        .rstrip()
        .endswith("self.io_loop.add_callback(partial(self.state.event, event))")
    )


def test_events_thread_looks_its_handler_and_its_receiver_up_when_it_runs() -> None:
    """So that both can be replaced before."""
    text = source(flower.events.Events.run)
    assert 'handlers={"*": self.on_event}' in text
    assert "recv = EventReceiver(conn," in text


def test_inspector_looks_its_door_up_at_every_answer() -> None:
    """So that it can be replaced on the object."""
    assert "partial(self._on_update, worker, method, response)" in source(flower.inspector.Inspector._inspect)  # noqa: SLF001 what is tested
    assert "workers" in source(flower.inspector.Inspector.__init__)


def test_inspector_asks_what_we_check() -> None:
    """An answer to a method of which we know nothing would pass as it is."""
    from proj.dashboard.web.reply_filter import _CHECKS  # noqa: PLC0415 what is tested

    inspector = flower.inspector.Inspector
    # Its name in Flower 2.1, which asks for less.
    asked = getattr(inspector, "inspect_methods", None) or inspector.methods
    assert set(asked) <= _CHECKS.keys()


def test_state_counts_by_worker_beside_celerys_own() -> None:
    """All are emptied of a sender that gave way."""
    text = source(flower.events.EventsState.__init__)
    assert "self.counter = " in text
    assert "self.metrics = get_prometheus_metrics()" in text
    assert "self.tasks_by_worker = " in source(State.__init__)
    assert "self.workers = " in source(State.__init__)


def test_prefix_is_put_before_addresses_with_arguments() -> None:
    """A plain tuple would lose them."""
    rule = flower.app.rewrite_handler(tornado.web.url("/x", tornado.web.RequestHandler, {"a": 1}, name="n"), "mon")
    assert (rule.regex.pattern, rule.kwargs, rule.name) == ("/mon/x$", {"a": 1}, "n")


# --- What its pages compute with ---------------------------------------------------------------------


def test_fields_of_a_worker_are_those_that_we_check() -> None:
    """Flower gives all of them to the page of workers; `heartbeats` is no field of an event."""
    assert set(Worker._fields) - {"heartbeats"} <= event_filter._FIELDS["worker"].keys()  # noqa: SLF001 what is tested


def test_fields_of_a_task_are_those_that_we_check() -> None:
    """The others are not told by events, but are Celery's own."""
    own = {"state", "worker", "client", "children", "root", "parent"}
    times = {"received", "sent", "started", "rejected", "succeeded", "failed", "retried", "revoked"}
    assert set(Task._fields) - own - times <= event_filter._FIELDS["task"].keys()  # noqa: SLF001 what is tested


def test_receiver_has_the_doors_that_ours_replaces() -> None:
    """Of Celery's receiver, and of kombu's consumer below it."""
    assert list(inspect.signature(EventReceiver._receive).parameters)[:3] == ["self", "body", "message"]  # noqa: SLF001 what is tested
    assert list(inspect.signature(EventReceiver.event_from_message).parameters)[:3] == ["self", "body", "localize"]
    assert list(inspect.signature(ConsumerMixin.on_decode_error).parameters) == ["self", "message", "exc"]
    assert "on_decode_error=self.on_decode_error" in source(ConsumerMixin.Consumer)
    text = source(EventReceiver.__init__)
    for name in ("clock", "adjust_clock", "forward_clock"):
        assert f"self.{name} = " in text
    assert "localize" in source(EventReceiver.event_from_message)


# --- The page ---------------------------------------------------------------------------------------


def test_navigation_has_the_place_for_our_tab() -> None:
    """After the broker's, which is the last on the left."""
    text = (FLOWER / "templates" / NAVIGATION).read_text()
    assert text.count(ANCHOR) == 1
    assert "active_tab == 'broker'" in text
    tabbed = add_tab(text)
    assert tabbed.replace(TAB, "") == text
    assert tabbed.index("</ul>") > tabbed.index(TAB) > tabbed.index(ANCHOR)


def test_navigation_without_the_place_stays_as_it_is_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """The page is still there by its address."""
    assert add_tab("<nav></nav>") == "<nav></nav>"
    assert "/dispatch" in caplog.text


@pytest.mark.parametrize("block", ["title", "navbar", "container", "extra_scripts"])
def test_base_template_has_the_blocks_that_the_page_fills(block: str) -> None:
    """Its head, its navigation, its scripts and its theme are Flower's."""
    assert f"{{% block {block} %}}" in (FLOWER / "templates" / "base.html").read_text()


def test_loader_finds_flowers_templates_and_ours() -> None:
    """Under the names by which they extend each other; and reads each once."""
    loader = TemplateLoader(flower.urls.settings["template_path"])
    assert loader.load("dispatch.html") is loader.load("dispatch.html")
    assert loader.load("workers.html")
    assert "_create_template" in source(tornado.template.BaseLoader.load)
    names = {path.name for path in (FLOWER / "templates").iterdir()}
    assert "dispatch.html" not in names
