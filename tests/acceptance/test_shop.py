"""The wheel beside an app that is not ours: what is installed, and every command that works with any app."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest

from proj.journal.reader import open_journal
from proj.lab.processes.ports import free_port
from proj.lab.processes.waiting import wait_until
from tests.acceptance.installed import Installed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from subprocess import CompletedProcess

    from proj.lab.processes.guard import Guard
    from proj.lab.processes.process import Process

ROOT = Path(__file__).parents[2]
#: Seconds; the machine may be busy.
TIMEOUT_S = 60
ORDERS = 6
#: For each order: itself, an invoice, a mail, a thumbnail, a count. Besides: a refund and a newsletter.
TASKS = 5 * ORDERS + 2
QUEUES = ("orders", "mails", "images")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("installed"))


class Shop:
    """A user's project, and what the user types in its folder."""

    def __init__(self, folder: Path, installed: Installed, guard: Guard, variables: dict[str, str]) -> None:
        self.folder = folder
        self._installed = installed
        self._guard = guard
        self._variables = variables
        #: The commands that were run, such as "queues dead".
        self.typed: set[str] = set()
        self.running = ExitStack()
        shutil.copytree(Path(__file__).parent / "shop" / "src", folder / "src")
        installed.add_path("shop", folder / "src")

    def python(self, *words: str) -> str:
        """What Python prints there."""
        done = self._installed.run(*words, cwd=self.folder, **self._variables)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def celery(self, *words: str) -> CompletedProcess[str]:
        """The end of `celery -A shop …`."""
        self._note(words)
        return self._installed.run("-m", "celery", "-A", "shop", *words, cwd=self.folder, **self._variables)

    def start(self, name: str, *words: str, **variables: str) -> Process:
        """A process `celery -A shop …`, which ends with the test."""
        self._note(words)
        process = self._installed.process(
            name,
            *("-m", "celery", "-A", "shop", *words),
            cwd=self.folder,
            guard=self._guard,
            **self._variables,
            **variables,
        )
        self.running.callback(process.kill)
        process.start()
        return process

    def start_worker(self, node: str) -> Process:
        """A worker of one slot, which is ready."""
        worker = self.start(
            node, "worker", "--hostname", f"{node}@shop", "--concurrency", "1", "--task-events", "--loglevel", "INFO"
        )
        worker.wait_until_ready(lambda: " ready." in worker.log_text(), timeout_s=TIMEOUT_S)
        return worker

    def _note(self, words: tuple[str, ...]) -> None:
        self.typed.add(words[0])
        self.typed.add(" ".join(words[:2]))


@pytest.fixture
def shop(tmp_path: Path, installed: Installed, guard: Guard, variables: dict[str, str]) -> Iterator[Shop]:
    shop = Shop(tmp_path, installed, guard, variables)
    with shop.running:
        yield shop


def marked() -> set[str]:
    """The commands with a * in the README's table, with those that their rows name below them."""
    found: set[str] = set()
    for row in re.findall(r"^\| `(\w+)` \* \| (.*) \|$", (ROOT / "README.md").read_text(), re.MULTILINE):
        command, text = row
        below = {f"{command} {name}" for name in re.findall(r"`(\w+)`", text)}
        found |= {command, *below}
    return found


def interrupt(process: Process) -> int | None:
    """The exit code after Ctrl-C."""
    os.kill(process.pid, signal.SIGINT)
    wait_until(lambda: not process.running, what=f"the end of {process.name}", timeout_s=TIMEOUT_S)
    return process.returncode


def test_wheel_has_the_package_and_no_other_module(installed: Installed) -> None:
    """Nothing of ours can be mistaken for a module of the user's; type checkers find our types."""
    names = installed.names()

    top = {name.partition("/")[0] for name in names}
    assert [name for name in top if not name.endswith(".dist-info")] == ["proj"]
    assert "proj/py.typed" in names
    assert installed.run("-c", "import celeryconfig").stderr.endswith("No module named 'celeryconfig'\n")


def test_wheel_has_every_file_of_the_package(installed: Installed) -> None:
    """Pages, scripts and definitions too, because the commands read them."""
    package = ROOT / "proj"
    here = {str(path.relative_to(ROOT)) for path in package.rglob("*") if path.is_file() and path.suffix != ".pyc"}

    assert here == {name for name in installed.names() if name.startswith("proj/")}


def test_installed_app_of_ours_has_its_settings_in_itself(shop: Shop, installed: Installed) -> None:
    """Beside a user's own celeryconfig, which the user's app gets."""
    ours = installed.run("-m", "celery", "-A", "proj", "report", cwd=shop.folder / "src").stdout
    theirs = shop.celery("report").stdout

    assert "task_default_queue: 'task_queue'" in ours
    assert "task_default_queue: 'orders'" in theirs
    assert "proj_dot_seconds" not in theirs


@pytest.mark.timeout(300)
def test_every_command_for_any_app_works_with_a_users_app_that_loses_a_worker_and_no_task(shop: Shop) -> None:
    """Three queues, eight tasks and a clock; a worker is killed in the middle of a task, and nothing is lost."""
    journal = shop.folder / "run.sqlite"
    assert shop.celery("queues", "policy", "--apply").returncode == 0
    doomed, survivor = shop.start_worker("w1"), shop.start_worker("w2")
    recorder = shop.start("recorder", "journal", "record", "-o", str(journal), "--run", "today")
    recorder.wait_until_ready(journal.exists, timeout_s=TIMEOUT_S)
    clock = shop.start("clock", "beat")
    port = free_port()
    page = shop.start("page", "dashboard", f"--port={port}")
    page.wait_until_ready(lambda: answers(f"http://127.0.0.1:{port}/dispatch"), timeout_s=TIMEOUT_S)

    shop.python("-m", "shop.customers", str(ORDERS))
    wait_until(lambda: "begins" in doomed.log_text(), what="a thumbnail at the first worker", timeout_s=TIMEOUT_S)
    doomed.kill()
    (interrupted,) = thumbnails("begins", doomed) - thumbnails("ends", doomed)

    watch = shop.start("watch", "queues", "--watch")
    wait_until(lambda: all(name in watch.log_text() for name in QUEUES), what="the queues", timeout_s=TIMEOUT_S)
    assert interrupt(watch) == 0
    wait_until(lambda: len(finished(journal)) == TASKS, what="the end of all tasks", timeout_s=TIMEOUT_S)
    assert interrupted in thumbnails("ends", survivor)
    assert interrupt(clock) == 0
    assert "w2@shop" in printed(shop.celery("health"))
    assert "orders" in printed(shop.celery("queues"))
    printed(shop.celery("queues", "dead"))
    printed(shop.celery("queues", "halt", *[word for name in QUEUES for word in ("--queue", name)], "--drain"))
    wait_until(lambda: not survivor.running, what="the end of the second worker", timeout_s=TIMEOUT_S)
    assert interrupt(recorder) == 0
    assert interrupt(page) == 0

    ledger = json.loads(printed(shop.celery("journal", "audit", str(journal), "--json")))
    assert ledger["missing"] == 0
    assert ledger["counts"].keys() == {"finished"}
    assert ledger["counts"]["finished"] > TASKS
    assert "w2@shop" in printed(shop.celery("journal", "report", str(journal)))
    printed(shop.celery("journal", "compare", str(journal)))
    assert marked() <= shop.typed


def printed(done: CompletedProcess[str]) -> str:
    """What a command printed that ended well."""
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def thumbnails(does: str, worker: Process) -> set[str]:
    """The numbers of the thumbnails that the worker began, or ended."""
    return set(re.findall(rf"{does} (\d+)", worker.log_text()))


def finished(journal: Path) -> set[str]:
    """The ids of the finished tasks that the clock did not send."""
    with open_journal(journal) as opened:
        return {one.task_id for one in opened.attempts() if one.state == "succeeded" and one.name != "shop.tasks.tidy"}


def answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
