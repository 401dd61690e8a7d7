"""A queue with a length limit, from the policy that sets it to the sender who is told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from proj.management import Management

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Celery

APP = """
from celery import Celery
from proj.delivery.install import install

app = Celery("theirs")
app.conf.update(task_default_queue="theirs", proj_queue_full_timeout_s=0.5)
install(app)
"""
#: Sends until it is told that the queue is full, and prints what it knows then.
SENDER = """
import theirs
from proj.errors import QueueFull

sent = 0
try:
    for sent in range(50):
        theirs.app.send_task("t")
except QueueFull as error:
    print(sent, error.message)
"""


@pytest.fixture
def theirs(celery: Celery, variables: dict[str, str], tmp_path: Path) -> Celery:
    """Commands of an app that is not ours, whose queue has no policy."""
    (tmp_path / "theirs.py").write_text(APP)
    (tmp_path / "sender.py").write_text(SENDER)

    def run(*words: str, stdin: str = "", **more: str) -> Any:
        return celery("-A", "theirs", *words, stdin=stdin, **{**variables, "PYTHONPATH": str(tmp_path), **more})

    return run


def row(table: str, name: str) -> list[str]:
    return next(line.split() for line in table.splitlines() if line.split()[:1] == [name])


def test_policy_limits_the_queues_of_an_app_and_its_sender_is_told(
    theirs: Celery,
) -> None:
    """The limit is in both tables; the sender of one more gets an error to retry; 0 takes the limit away."""
    applied = theirs("queues", "policy", "--apply", "--max-length", "3")
    assert applied.returncode == 0, applied.stderr
    assert row(applied.stdout, "theirs")[-3:] == ["3", "proj.dead_letters.theirs", "nothing"]
    assert row(applied.stdout, "dead_letters")[4] == "-"

    sender = theirs("shell", "--python", stdin="exec(open('sender.py').read())")
    assert "The queue is full and did not take Task" in sender.stdout, sender.stderr

    assert row(theirs("queues").stdout, "theirs")[:5] == ["theirs", "classic", "3", "/", "3"]
    (looked,) = [each for each in json.loads(theirs("queues", "--json").stdout) if each["name"] == "theirs"]
    assert looked["ready"] == 3

    # Without the option the limit stays, also where something else is mended.
    assert row(theirs("queues", "policy", "--apply").stdout, "theirs")[-3] == "3"
    assert row(theirs("queues", "policy", "--apply", "--max-length", "0").stdout, "theirs")[-3] == "-"


def test_limit_is_asked_for_and_not_made_where_another_policy_holds(theirs: Celery, variables: dict[str, str]) -> None:
    """Ours would end theirs; it is said what to add."""
    vhost = variables["CELERY_BROKER_URL"].rpartition("/")[2]
    policy = {"pattern": "^theirs$", "apply-to": "queues", "definition": {"message-ttl": 60000}}
    management = Management(variables["FLOWER_BROKER_API"])
    management.request("PUT", f"policies/{vhost}/of-someone", policy)

    refused = theirs("queues", "policy", "--apply", "--max-length", "3")

    assert refused.returncode == 1
    assert "'max-length': 3" in refused.stderr
    assert "'of-someone', which holds for theirs" in refused.stderr
    (there,) = [each for each in management.request("GET", f"policies/{vhost}") if each["name"] == "of-someone"]
    assert there["definition"] == policy["definition"]


def test_send_to_a_full_queue_is_one_sentence(celery: Celery, variables: dict[str, str]) -> None:
    """It waits for room, says so, and gives up with exit code 1; nothing of it is there."""
    vhost = variables["CELERY_BROKER_URL"].rpartition("/")[2]
    policy = {
        "pattern": "^task_queue$",
        "apply-to": "queues",
        "priority": 9,
        "definition": {"max-length": 2, "overflow": "reject-publish"},
    }
    Management(variables["FLOWER_BROKER_API"]).request("PUT", f"policies/{vhost}/short", policy)
    # A quorum queue notices that it is full when it is, and has taken what came at once by then.
    assert celery("-A", "proj", "send", "--count", "3", **variables).returncode == 0
    full = celery("-A", "proj", "send", "--timeout", "1", "one.", "two.", **variables)

    assert (full.returncode, full.stdout) == (1, "")
    assert full.stderr.startswith("The queue is full; waiting for room.\nError: The queue is full and did not take 2 ")
    assert full.stderr.count("\n") == 2
    assert row(celery("-A", "proj", "queues", **variables).stdout, "task_queue")[2:5] == ["3", "/", "2"]
