"""An app that is not ours and declares nothing, with users who may do no more than their roles say."""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import amqp
import pytest
from amqp.exceptions import AccessRefused
from celery import Celery
from click.testing import CliRunner

from proj.broker.connection import connected, count_queue, default_channel
from proj.commands.queues.command import queues as queues_command
from proj.dashboard.web.event_receiver import EventReceiver
from proj.delivery.topology.app_topology import topology
from proj.delivery.topology.entities import definitions
from proj.delivery.topology.roles import permissions, roles, user_name
from proj.errors import InvalidSetting, ProcessEnded, PublishRefused, Unroutable
from proj.journal.recording.recorder import Recorder
from proj.lab.processes.environment import child_environment
from proj.lab.processes.process import Process
from proj.lab.processes.waiting import wait_until
from tests.integration import undeclared_app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard

TIMEOUT_S = 60
PASSWORD = "secret"
#: A user of the test, with no permission to configure anything.
BARE = "bare"


class Platform(NamedTuple):
    """A virtual host that was made from the definitions file alone, with a user for each role."""

    broker: Broker
    vhost: str
    #: The apps of the running test.
    made: list[Celery]

    def url(self, user: str) -> str:
        return f"amqp://{self.vhost}-{user}:{PASSWORD}@127.0.0.1:{self.broker.port}/{self.vhost}"

    def api(self, user: str) -> str:
        return f"http://{self.vhost}-{user}:{PASSWORD}@127.0.0.1:{self.broker.management_port}/api/"

    def app(self, user: str) -> Celery:
        """The app, which connects as this user."""
        made = Celery("undeclared", broker=self.url(user), set_as_current=False)
        made.conf.update({name: undeclared_app.app.conf[name] for name in undeclared_app.app.conf.changes})
        made.conf.broker_url = self.url(user)
        undeclared_app.install(made)
        self.made.append(made)
        return made

    def request(self, method: str, path: str, body: Any = None) -> Any:
        return self.broker.management.request(method, path, body)

    def ready(self, queue: str) -> int:
        with connected(Celery(broker=self.broker.url(self.vhost), set_as_current=False).connection()) as connection:
            return int(count_queue(default_channel(connection), queue).message_count)

    def command(self, *words: str) -> tuple[int, str]:
        """The exit code and the output of `celery -A undeclared queues …` as the operator."""

        class Context:
            app = self.app("operator")

        ran = CliRunner().invoke(queues_command, [*words], obj=Context(), catch_exceptions=False)
        return ran.exit_code, ran.output


@pytest.fixture(scope="module")
def platform(broker: Broker) -> Iterator[Platform]:
    """What a platform team does: it imports the files that `queues topology` prints."""
    vhost = "undeclared"
    request = broker.management.request
    app = undeclared_app.app
    # First: RabbitMQ 3.10 has answered with an error while the virtual host of the file was starting.
    request("PUT", f"vhosts/{vhost}", {})
    request("POST", "definitions", definitions(topology(app), vhost))
    made = permissions(roles(app), vhost, vhost)["permissions"]
    bare = next(each for each in made if each["user"] == f"{vhost}-worker")
    made.append({**bare, "user": f"{vhost}-{BARE}", "configure": "^$"})
    tags = {user_name(each, vhost): each.tags for each in roles(app)}
    for each in made:
        request("PUT", f"users/{each['user']}", {"password": PASSWORD, "tags": tags.get(each["user"], "")})
    request("POST", "definitions", {"permissions": made})
    request("PUT", f"permissions/{vhost}/proj", {"configure": ".*", "write": ".*", "read": ".*"})
    yield Platform(broker, vhost, [])
    for each in made:
        request("DELETE", f"users/{each['user']}")
    broker.remove_vhost(vhost)


@pytest.fixture(autouse=True)
def _without_connections(platform: Platform) -> Iterator[None]:
    """Close what the apps of a test have left open, such as the pool from which `app.control` publishes."""
    yield
    while platform.made:
        platform.made.pop().close()


@contextmanager
def working(platform: Platform, user: str, guard: Guard, folder: Path, *options: str) -> Iterator[Process]:
    """A worker, with everything that Celery starts by default."""
    worker = Process(
        f"worker {user}",
        [
            *(sys.executable, "-m", "celery", "-A", "undeclared_app", "worker", "--hostname", f"{user}@host"),
            *("--loglevel", "INFO", "--concurrency", "1", "-Q", "orders,mails", *options),
        ],
        guard=guard,
        environment=child_environment(
            CELERY_BROKER_URL=platform.url(user), NOTES=str(folder / "notes"), PYTHONPATH=str(Path(__file__).parent)
        ),
        log=folder / f"{user}.log",
    )
    with worker:
        worker.wait_until_ready(lambda: " ready." in worker.log_text(), timeout_s=TIMEOUT_S)
        yield worker


def test_broker_has_what_the_file_says_and_the_check_says_what_it_lacks(platform: Platform) -> None:
    """Exit code 0, and 1 with a line for each queue that is missing or has another argument."""
    code, _ = platform.command("topology", "--check", "--broker-api", platform.broker.management_url)
    assert code == 0

    there = f"queues/{platform.vhost}/mails"
    platform.request("DELETE", there)
    platform.request("DELETE", f"exchanges/{platform.vhost}/celeryev")
    platform.request("PUT", there, {"durable": True, "arguments": {"x-max-length": 7}})
    code, printed = platform.command("topology", "--check", "--broker-api", platform.broker.management_url)
    platform.request("DELETE", there)
    platform.request("POST", "definitions", definitions(topology(undeclared_app.app), platform.vhost))

    assert code == 1
    assert "~ queue mails  (tasks)\n    x-max-length: 7 instead of none" in printed
    assert "+ exchange celeryev  (events)" in printed
    assert "+ binding mails to mails (queue) with 'mails'  (tasks)" in printed


@pytest.mark.parametrize("user", ["worker", BARE])
def test_task_is_run_or_kept_and_nothing_is_declared(
    platform: Platform, user: str, guard: Guard, tmp_path: Path
) -> None:
    """At once and after a delay; an operator halts the worker. One whose user may make no queue at all says so."""
    notes = tmp_path / "notes"
    notes.touch()
    before = platform.request("GET", f"exchanges/{platform.vhost}?columns=name")
    publisher, letters = platform.app("publisher"), platform.ready("dead_letters")
    with working(platform, user, guard, tmp_path) as worker:
        publisher.send_task("undeclared.note", (1,))
        publisher.send_task("undeclared.note", (2,), countdown=1)
        publisher.send_task("undeclared.mail", queue="mails")
        wait_until(lambda: notes.read_text().split() == ["1", "2"], what="both tasks", timeout_s=TIMEOUT_S)
        wait_until(lambda: platform.ready("dead_letters") == letters + 1, what="the dead letter", timeout_s=TIMEOUT_S)
        if user == BARE:
            # It is not heard by a command.
            worker.terminate()
        else:
            api = ("--broker-api", platform.api("operator"))
            assert platform.command("halt", "--worker", f"{user}@host", *api)[0] == 0
        wait_until(lambda: not worker.running, what="the end of the worker", timeout_s=TIMEOUT_S)
        log = worker.log_text()
    publisher.close()

    assert worker.returncode == 0
    assert platform.request("GET", f"exchanges/{platform.vhost}?columns=name") == before
    refused = {"Control", "Mingle", "Gossip"} if user == BARE else set()
    assert {step for step in ("Control", "Mingle", "Gossip", "Events") if f"without {step}" in log} == refused
    # That of the task which fails.
    assert log.count("Traceback") == 1


def test_what_is_missing_is_named_with_the_command_that_prints_it(
    platform: Platform, guard: Guard, tmp_path: Path
) -> None:
    """The worker ends with one sentence, `delay` raises one."""
    publisher = platform.app("publisher")
    platform.request("DELETE", f"queues/{platform.vhost}/orders.suspects")
    platform.request("DELETE", f"queues/{platform.vhost}/orders")
    with pytest.raises(Unroutable, match="queues topology prints what must exist"):
        publisher.send_task("undeclared.note", (1,))
    publisher.close()
    # A prefork pool that never ran a task takes half a minute to end.
    with pytest.raises(ProcessEnded) as ended, working(platform, "worker", guard, tmp_path, "--pool", "solo"):
        pass
    platform.request("POST", "definitions", definitions(topology(undeclared_app.app), platform.vhost))

    assert "there is no queue orders and no queue orders.suspects in the virtual host undeclared" in str(ended.value)
    assert "queues topology prints what must exist" in str(ended.value)


def test_publisher_may_do_nothing_else_and_is_told_which_right_it_lacks(platform: Platform) -> None:
    """Read what waits, or make a queue. The sentence names the right, the queue and the command."""
    publisher = platform.app("publisher")
    publisher.conf.result_backend = "rpc://"
    with pytest.raises(
        PublishRefused, match=r"may not make or delete the queue .* \(the permission 'configure' on '"
    ) as told:
        publisher.send_task("undeclared.note", (1,))
    publisher.close()
    with connected(platform.app("publisher").connection()) as connection, pytest.raises(AccessRefused):
        default_channel(connection).basic_get("orders")

    assert "--roles" in str(told.value)


def test_operator_reads_and_requeues_letters_pauses_a_queue_and_makes_policies(platform: Platform) -> None:
    """With the rights of its role, by the commands of any app. It may not take a task."""
    letters, api = platform.ready("dead_letters") + 1, ("--broker-api", platform.api("operator"))
    with connected(Celery(broker=platform.broker.url(platform.vhost), set_as_current=False).connection()) as ours:
        default_channel(ours).basic_publish(amqp.Message(b"no task"), exchange="", routing_key="dead_letters")
    # Nothing has confirmed it.
    wait_until(lambda: platform.ready("dead_letters") == letters, what="the dead letter", timeout_s=TIMEOUT_S)

    assert platform.command("dead", "--json", *api)[0] == 0
    assert "Requeued" in platform.command("dead", "--requeue", "--all", "--to", "mails", *api)[1]
    assert (platform.ready("dead_letters"), platform.ready("mails")) == (0, letters)
    assert platform.command("pause", "mails", "--timeout", "1", *api)[0] == 0
    assert platform.command("resume", "mails", "--timeout", "1", *api)[0] == 0
    assert platform.command("policy", "--apply", *api)[0] == 0
    with connected(platform.app("operator").connection()) as connection, pytest.raises(AccessRefused):
        default_channel(connection).basic_get("mails")
    platform.request("DELETE", f"queues/{platform.vhost}/mails/contents")


@pytest.mark.parametrize("declares", [False, True])
def test_monitor_records_events_and_may_take_no_task(platform: Platform, tmp_path: Path, *, declares: bool) -> None:
    """It goes on although it may not tell workers to send their events, and may not declare their exchange."""
    sender, app = platform.app("worker"), platform.app("monitor")
    app.conf.proj_declare = declares
    with Recorder(app, tmp_path / "run.sqlite", broker_api=platform.api("monitor")) as recorder:
        with sender.events.default_dispatcher(hostname="w@host") as dispatcher:
            dispatcher.send("worker-online")
        wait_until(lambda: recorder.written > 0, what="an event", timeout_s=TIMEOUT_S)
    sender.close()
    with connected(platform.app("monitor").connection()) as connection, pytest.raises(AccessRefused):
        default_channel(connection).basic_get("orders")


def test_monitor_is_told_when_there_is_no_exchange_of_events(platform: Platform, tmp_path: Path) -> None:
    """It may not declare the exchange, so that it would wait for ever."""
    app = platform.app("monitor")
    app.conf.proj_declare = True
    exchange = f"exchanges/{platform.vhost}/{app.conf.event_exchange}"
    found = platform.request("GET", exchange)
    platform.request("DELETE", exchange)
    try:
        with (
            pytest.raises(InvalidSetting, match="celeryev', but must be one that exists"),
            Recorder(app, tmp_path / "run.sqlite", broker_api=platform.api("monitor")),
        ):
            pass
    finally:
        platform.request("PUT", exchange, {"type": found["type"], "durable": found["durable"]})


def test_page_of_a_monitor_hears_events_of_an_app_that_declares(platform: Platform) -> None:
    """Its user may neither declare the exchange of events nor ask workers for a heartbeat."""
    sender, app = platform.app("worker"), platform.app("monitor")
    app.conf.proj_declare = True
    heard: list[object] = []
    with app.connection_for_read() as connection, sender.events.default_dispatcher(hostname="w@host") as dispatcher:
        receiver = EventReceiver(connection, app=app, handlers={"*": heard.append})
        thread = threading.Thread(target=receiver.capture, kwargs={"limit": 1, "timeout": TIMEOUT_S, "wakeup": True})
        thread.start()
        wait_until(lambda: dispatcher.send("worker-online") or heard, what="an event", timeout_s=TIMEOUT_S)
        thread.join(TIMEOUT_S)
    sender.close()

    assert not thread.is_alive()
