"""`celery -A anyapp dashboard`, and stock `celery flower` with our flowerconfig.py."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from celery import Celery
from celery.events.event import get_exchange
from kombu import Connection

from proj.errors import DeadlinePassed, ProcessEnded
from proj.lab.processes.environment import child_environment
from proj.lab.processes.ports import free_port
from proj.lab.processes.process import Process
from proj.lab.processes.waiting import wait_until
from proj.lab.processes.worker import Worker
from proj.queues import TASKS, WORK_QUEUE
from tests.acceptance.chromium import browser
from tests.processes.worker import wait_until_ready

if TYPE_CHECKING:
    from collections.abc import Callable

    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard

    from .conftest import Celery as Command

ROOT = Path(__file__).parents[2]


class Dashboard(Process):
    """A dashboard for an app of someone else, started in a folder of its own."""

    def __init__(self, folder: Path, *words: str, guard: Guard, **variables: str) -> None:
        (folder / "theirs.py").write_text("from celery import Celery\napp = Celery('theirs')\n")
        self.port = free_port()
        command = (sys.executable, "-m", "celery", "-A", "theirs", "--workdir", str(folder), *words)
        super().__init__(
            "dashboard",
            ["env", "-C", str(folder), *command, f"--port={self.port}"],
            guard=guard,
            environment=child_environment(**variables),
            log=folder / "log",
        )

    def start(self) -> None:
        super().start()
        self.wait_until_ready(lambda: self.ask("/healthcheck") == "OK", timeout_s=60)

    def ask(self, path: str) -> str:
        """The text at an address; the status if that is not 200, and an empty text while no answer comes."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60) as answer:
                text: str = answer.read().decode()
                return text
        except urllib.error.HTTPError as error:
            with error:
                return str(error.code)
        except OSError:
            return ""

    def workers(self) -> dict[str, bool]:
        answer = json.loads(self.ask("/workers?json=1"))
        return {worker["hostname"]: worker["status"] for worker in answer["data"]}

    def refused(self) -> int:
        """How many events the page says were refused."""
        count: int = json.loads(self.ask("/dispatch/data"))["events"]["refused"]
        return count

    def addresses(self) -> set[str]:
        return {
            connection.laddr.ip
            for connection in psutil.Process(self.pid).net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        }


def heartbeat(**fields: Any) -> dict[str, Any]:
    return {
        "type": "worker-heartbeat",
        "hostname": "good@host",
        "pid": 1,
        "clock": 1,
        "utcoffset": 0,
        "freq": 60.0,
        "timestamp": time.time(),
        "active": 0,
        "processed": 0,
        "loadavg": [0.1, 0.1, 0.1],
        **fields,
    }


def publish(variables: dict[str, str], *bodies: Any) -> None:
    with Connection(variables["CELERY_BROKER_URL"]) as connection:
        producer = connection.Producer(exchange=get_exchange(connection), serializer="json")
        for body in bodies:
            producer.publish(body, routing_key="worker.heartbeat", delivery_mode=1)


def way_of_our_command(_folder: Path) -> tuple[str, ...]:
    return ("dashboard",)


def way_of_flower(folder: Path) -> tuple[str, ...]:
    shutil.copy(ROOT / "flowerconfig.py", folder)
    return ("flower", "--address=127.0.0.1")


@pytest.mark.parametrize("way", [way_of_our_command, way_of_flower])
def test_page_is_in_flower_and_hears_the_workers_of_any_app(
    guard: Guard, variables: dict[str, str], tmp_path: Path, way: Callable[[Path], tuple[str, ...]]
) -> None:
    """With our command and with stock Flower. Forged events neither end it nor break the list of workers."""
    with Dashboard(tmp_path, *way(tmp_path), guard=guard, **variables) as dashboard:

        def hears() -> bool:
            publish(variables, heartbeat())
            return bool(dashboard.workers())

        wait_until(hears, what="the heartbeat", timeout_s=60)
        # Only now: before the dashboard has bound its queue, the broker drops what is published.
        publish(variables, {}, 5, [None], heartbeat(hostname="forged@host", active="x"), heartbeat())
        wait_until(lambda: dashboard.refused() >= 4, what="the refusal of the forged events", timeout_s=60)

        assert dashboard.workers() == {"good@host": True}
        assert "good@host" in dashboard.ask("/workers")
        assert 'href="/dispatch"' in dashboard.ask("/tasks")
        assert "<title>Dispatch · Flower</title>" in dashboard.ask("/dispatch")
        assert dashboard.addresses() == {"127.0.0.1"}
        assert "Failed to capture events" not in dashboard.log_text()
        dashboard.terminate()
        wait_until(lambda: not dashboard.running, what="its end", timeout_s=60)
        assert dashboard.returncode == 0
        assert "Traceback" not in dashboard.log_text()


def test_worker_page_has_all_replies_of_a_real_worker(
    guard: Guard, broker: Broker, vhost: str, variables: dict[str, str], tmp_path: Path
) -> None:
    """The reply filter passes all eight replies of a real worker."""
    worker = Worker(
        f"w@{vhost}",
        guard=guard,
        broker_url=broker.url(vhost),
        queue=WORK_QUEUE,
        dispatch="round-robin",
        slots=1,
        dot_seconds=60.0,
    )
    with worker, Dashboard(tmp_path, "dashboard", guard=guard, **variables) as dashboard:
        wait_until_ready(worker)
        with Celery("client", broker=broker.url(vhost), set_as_current=False) as app:
            for task_id, more in (("active", {}), ("reserved", {}), ("scheduled", {"countdown": 600})):
                where = {"exchange": TASKS.name, "routing_key": WORK_QUEUE, **more}
                app.send_task("proj.tasks.work", ("a.",), task_id=f"is-{task_id}", **where)
            app.control.revoke("is-revoked")

        signs = (
            *("is-active", "is-reserved", "is-scheduled", "is-revoked"),
            *("Max concurrency", "task_queue", "proj.tasks.work", "task_acks_late"),
        )
        missing = list(signs)

        def all_shown() -> bool:
            page = dashboard.ask(f"/worker/{worker.node}")
            missing[:] = [sign for sign in signs if sign not in page]
            return not missing

        with contextlib.suppress(DeadlinePassed):
            wait_until(all_shown, what="all on the page", timeout_s=60)
        assert missing == []
        assert "task_queue" in dashboard.ask("/broker")
        worker.kill()


def test_flowers_own_pages_work_under_our_policy(guard: Guard, variables: dict[str, str], tmp_path: Path) -> None:
    """Our headers forbid nothing that they need: no complaint of the browser, full tables, and a theme that changes."""
    task = heartbeat(type="task-received", uuid="good-task", name="app.good", args="()", kwargs="{}", retries=0)
    with Dashboard(tmp_path, "dashboard", guard=guard, **variables) as dashboard, browser(tmp_path) as tab:

        def hears() -> bool:
            publish(variables, heartbeat(), task)
            return dashboard.ask("/task/good-task") != "404"

        wait_until(hears, what="the task", timeout_s=60)
        tab.look()
        address = f"http://127.0.0.1:{dashboard.port}"
        for page, sign in (
            *(("/workers", "good@host"), ("/tasks", "app.good"), ("/task/good-task", "app.good")),
            *(("/broker", "Broker"), ("/worker/unknown", "Unknown worker"), ("/dispatch", "Dispatch")),
        ):
            tab.visit(address + page)
            text = f"document.body.innerText.includes({json.dumps(sign)})"
            wait_until(lambda text=text: tab.value(text), what=f"{sign} on {page}", timeout_s=60)
        tab.click("#theme-toggle")
        tab.click("[data-bs-theme-value=dark]")
        wait_until(lambda: tab.value("document.documentElement.dataset.bsTheme === 'dark'"), what="dark", timeout_s=60)

        # The browser itself complains about the page that is not there.
        assert [text for text in tab.complaints if "404" not in text] == []
        assert [asked for asked in tab.requests if not asked.startswith((address, "data:"))] == []


@pytest.mark.parametrize(("more", "status"), [({}, 403), ({"FLOWER_READ_ONLY": "no"}, 404)])
def test_dashboard_changes_nothing_unless_asked(
    guard: Guard, variables: dict[str, str], tmp_path: Path, more: dict[str, str], status: int
) -> None:
    """With the password, workers can be stopped only if the environment sets FLOWER_READ_ONLY to no."""
    secret = {"FLOWER_BASIC_AUTH": "user:secret"}
    with Dashboard(tmp_path, "dashboard", guard=guard, **variables, **secret, **more) as dashboard:
        address = f"http://127.0.0.1:{dashboard.port}"
        # A script says itself where it comes from, as browsers do.
        headers = {"Authorization": f"Basic {b64encode(b'user:secret').decode()}", "Origin": address}
        request = urllib.request.Request(f"{address}/api/worker/shutdown/unknown", method="POST", headers=headers)
        with pytest.raises(urllib.error.HTTPError) as refusal, urllib.request.urlopen(request, timeout=60):
            pass

    with refusal.value:
        assert refusal.value.code == status


def test_dashboard_ends_in_order_by_ctrl_c(guard: Guard, variables: dict[str, str], tmp_path: Path) -> None:
    """It exits with 0, waits for no idle thread, and has closed its journal, which can be copied alone then."""
    journal = tmp_path / "a.journal"
    with Dashboard(tmp_path, "dashboard", f"--journal={journal}", guard=guard, **variables) as dashboard:
        psutil.Process(dashboard.pid).send_signal(signal.SIGINT)
        wait_until(lambda: not dashboard.running, what="its end", timeout_s=60)

        assert dashboard.returncode == 0
        assert "Traceback" not in dashboard.log_text()
        assert "The dashboard ends while its thread" not in dashboard.log_text()
    assert [path.name for path in tmp_path.glob("a.journal*")] == ["a.journal"]


#: Python imports `sitecustomize` when it starts; this one presses Ctrl-C while a `ThreadPoolExecutor` starts a thread.
CTRL_C = """
import os, signal, threading

start = threading.Thread.start

def interrupted_start(thread):
    start(thread)
    if thread.name.startswith("ThreadPoolExecutor"):
        os.kill(os.getpid(), signal.SIGINT)

threading.Thread.start = interrupted_start
"""


def test_dashboard_ends_by_ctrl_c_while_it_starts_a_thread(
    guard: Guard, variables: dict[str, str], tmp_path: Path
) -> None:
    """No thread is left that its end would wait for."""
    (tmp_path / "sitecustomize.py").write_text(CTRL_C)
    dashboard = Dashboard(tmp_path, "dashboard", guard=guard, PYTHONPATH=str(tmp_path), **variables)
    with contextlib.suppress(ProcessEnded), dashboard:
        wait_until(lambda: not dashboard.running, what="its end", timeout_s=60)

    assert dashboard.returncode == 0
    assert "Traceback" not in dashboard.log_text()


#: Python imports `sitecustomize` when it starts; this one makes a Flower that lacks a name, as a later version may.
UNKNOWN_FLOWER = "import flower.app\ndel flower.app.rewrite_handler\n"
NO_FLOWER = "import sys\nsys.modules['flower'] = None\n"


@pytest.mark.parametrize("way", [way_of_our_command, way_of_flower])
def test_unknown_flower_starts_without_the_page_and_with_a_warning(
    guard: Guard, variables: dict[str, str], tmp_path: Path, way: Callable[[Path], tuple[str, ...]]
) -> None:
    """Flower's own pages still work."""
    (tmp_path / "sitecustomize.py").write_text(UNKNOWN_FLOWER)
    words = way(tmp_path)
    with Dashboard(tmp_path, *words, guard=guard, PYTHONPATH=str(tmp_path), **variables) as dashboard:
        assert "This Flower has no Dispatch page" in dashboard.log_text()
        assert dashboard.ask("/dispatch") == "404"
        assert "<title>Workers" in dashboard.ask("/workers")
        assert dashboard.addresses() == {"127.0.0.1"}


def test_dashboard_without_flower_says_how_to_get_it(celery: Command, tmp_path: Path) -> None:
    """Every other command still works."""
    (tmp_path / "sitecustomize.py").write_text(NO_FLOWER)

    ended = celery("dashboard", PYTHONPATH=str(tmp_path))
    helped = celery("dashboard", "--help", PYTHONPATH=str(tmp_path))

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "Error: Flower is not installed; get it with: pip install 'flower>=2.1,<2.3'\n"
    assert (helped.returncode, "pip install" in helped.stdout) == (0, True)
    assert celery("-A", "proj", "send", "--help", PYTHONPATH=str(tmp_path)).returncode == 0


@pytest.mark.parametrize(
    ("words", "variables", "code", "said"),
    [
        (["--basic-auht=u:p"], {}, 2, "'--basic-auth'"),
        (["--open_journal=no-such-file"], {}, 2, "no-such-file"),
        (["--address=192.0.2.1"], {}, 1, "192.0.2.1"),
        ([], {"FLOWER_BASIC_AUHT": "u:p"}, 2, "FLOWER_BASIC_AUTH"),
        ([], {"FLOWER_UNAUTHENTICATED_API": "true"}, 2, "web page"),
    ],
)
def test_wrong_use_ends_in_one_sentence(
    celery: Command, words: list[str], variables: dict[str, str], code: int, said: str
) -> None:
    """Nothing is ignored, and nothing ends in a traceback."""
    ended = celery("dashboard", *words, **variables)

    assert (ended.returncode, ended.stdout) == (code, "")
    (sentence,) = [line for line in ended.stderr.splitlines() if line.startswith("Error: ")]
    assert said in sentence
    assert "Traceback" not in ended.stderr


def test_port_in_use_ends_in_one_sentence(celery: Command) -> None:
    """The sentence says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = celery("dashboard", f"--port={taken.getsockname()[1]}")

    assert ended.returncode == 1
    assert ended.stderr.startswith("Error: 127.0.0.1:")
    assert "--port=N" in ended.stderr


@pytest.mark.parametrize("text", ["1/0\n", "port = [\n"])
def test_configuration_file_that_cannot_be_used_ends_in_one_sentence(
    celery: Command, tmp_path: Path, text: str
) -> None:
    """Whether running or parsing it fails."""
    (tmp_path / "flowerconfig.py").write_text(text)

    ended = celery("dashboard")

    assert ended.returncode == 2
    assert ended.stderr.startswith("Error: ")
    assert "flowerconfig.py" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_misplaced_option_of_celery_is_warned_about_as_in_flower(guard: Guard, tmp_path: Path) -> None:
    """It belongs before the name of the command. Flower starts without it."""
    with Dashboard(tmp_path, "dashboard", "-b", "amqp://elsewhere//", guard=guard) as dashboard:
        assert "incorrectly specified" in dashboard.log_text()
        assert "['-b']" in dashboard.log_text()
