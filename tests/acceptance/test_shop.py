"""The wheel beside an app that is not ours: what is installed, and every command that works with any app."""

from __future__ import annotations

import json
import re
import shutil
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest

from proj.lab.processes.ports import free_port
from proj.lab.processes.waiting import wait_until
from tests.acceptance.installed import SOURCES
from tests.acceptance.project import TIMEOUT_S, Project, attempts, interrupt, kill_at_work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proj.lab.processes.guard import Guard
    from tests.acceptance.installed import Installed

ROOT = Path(__file__).parents[2]
ORDERS = 6
#: For each order: itself, an invoice, a mail, a thumbnail, a count. Besides: a refund and a newsletter.
TASKS = 5 * ORDERS + 2
QUEUES = ("orders", "mails", "images")


@pytest.fixture
def shop(tmp_path: Path, installed: Installed, guard: Guard, variables: dict[str, str]) -> Iterator[Project]:
    """A user's project with a `src` layout."""
    shutil.copytree(Path(__file__).parent / "shop" / "src", tmp_path / "src")
    variables = {**variables, "PYTHONPATH": str(tmp_path / "src"), "THUMBNAILS_END_WITH": str(tmp_path / "killed")}
    with closing(Project("shop", tmp_path, installed=installed, guard=guard, variables=variables)) as shop:
        yield shop


def marked() -> set[str]:
    """The commands with a * in the README's table, with those that their rows name below them."""
    found: set[str] = set()
    for row in re.findall(r"^\| `(\w+)` \* \| (.*) \|$", (ROOT / "README.md").read_text(), re.MULTILINE):
        command, text = row
        below = {f"{command} {name}" for name in re.findall(r"`(\w+)`", text)}
        found |= {command, *below}
    return found


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


def test_image_is_built_from_what_the_wheel_is_built_from() -> None:
    """Docker's build sees the same files, so the settings are in the image too."""
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}

    assert kept == {"proj", *SOURCES}


def test_installed_app_of_ours_has_its_settings_in_itself(shop: Project, installed: Installed) -> None:
    """Beside a user's own celeryconfig, which the user's app gets."""
    ours = installed.run("-m", "celery", "-A", "proj", "report", cwd=shop.folder / "src").stdout
    theirs = shop.celery("report")

    assert "task_default_queue: 'task_queue'" in ours
    assert "task_default_queue: 'orders'" in theirs
    assert "proj_dot_seconds" not in theirs


@pytest.mark.timeout(300)
def test_every_command_for_any_app_works_with_a_users_app_that_loses_a_worker_and_no_task(shop: Project) -> None:
    """Three queues, eight tasks and a clock; a worker is killed in the middle of a task, and nothing is lost."""
    journal = shop.folder / "run.sqlite"
    shop.celery("queues", "policy", "--apply")
    doomed, survivor = shop.start_worker("w1"), shop.start_worker("w2")
    recorder = shop.start_recorder(journal)
    clock = shop.start("clock", "beat")
    port = free_port()
    page = shop.start("page", "dashboard", f"--port={port}")
    page.wait_until_ready(lambda: answers(f"http://127.0.0.1:{port}/dispatch"), timeout_s=TIMEOUT_S)

    shop.python("-m", "shop.customers", str(ORDERS))
    interrupted = kill_at_work(doomed, "w1@user", "shop.tasks.thumbnail", journal)
    (shop.folder / "killed").touch()

    watch = shop.start("watch", "queues", "--watch")
    wait_until(lambda: all(name in watch.log_text() for name in QUEUES), what="the queues", timeout_s=TIMEOUT_S)
    assert interrupt(watch) == 0
    wait_until(lambda: len(finished(journal)) == TASKS, what="the end of all tasks", timeout_s=TIMEOUT_S)
    assert f"shop.tasks.thumbnail[{interrupted}] succeeded" in survivor.log_text()
    assert interrupt(clock) == 0
    assert "w2@user" in shop.celery("health")
    assert "orders" in shop.celery("queues")
    shop.celery("queues", "dead")
    assert "orders" in shop.celery("queues", "topology")
    assert "w2@user" in shop.celery("queues", "pause", "mails")
    assert "w2@user" in shop.celery("queues", "resume", "mails")
    shop.celery("queues", "halt", *[word for name in QUEUES for word in ("--queue", name)], "--drain")
    wait_until(lambda: not survivor.running, what="the end of the second worker", timeout_s=TIMEOUT_S)
    assert interrupt(recorder) == 0
    assert interrupt(page) == 0

    ledger = json.loads(shop.celery("journal", "audit", str(journal), "--json"))
    assert ledger["missing"] == 0
    assert ledger["counts"].keys() == {"finished"}
    assert ledger["counts"]["finished"] > TASKS
    assert "w2@user" in shop.celery("journal", "report", str(journal))
    assert "then delivered again to w2@user" in shop.celery("journal", "search", str(journal), interrupted)
    saved = str(shop.folder / "saved.sqlite")
    shop.celery("journal", "repair", str(journal), "-o", saved)
    shop.celery("journal", "compare", str(journal), saved)
    assert marked() <= shop.typed


def finished(journal: Path) -> set[str]:
    """The ids of the finished tasks that the clock did not send."""
    return {one.task_id for one in attempts(journal) if one.succeeded and one.name != "shop.tasks.tidy"}


def answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
