"""A queue with a length limit: the policy that sets it, and the error for the sender."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from proj.broker.management_api import Management

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
#: Sends until the queue is full, and prints how many were sent and the error.
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
    """The `celery` command of an app that is not ours, whose queue has no policy."""
    (tmp_path / "theirs.py").write_text(APP)
    (tmp_path / "sender.py").write_text(SENDER)

    def run(*words: str, stdin: str = "", **more: str) -> Any:
        return celery("-A", "theirs", *words, stdin=stdin, **{**variables, "PYTHONPATH": str(tmp_path), **more})

    return run


def row(table: str, name: str) -> list[str]:
    return next(line.split() for line in table.splitlines() if line.split()[:1] == [name])


def blocks(shown: str) -> dict[str, dict[str, str]]:
    """The values that `queues policy` prints for each queue, by their headings."""
    found = {}
    for block in shown.strip().split("\n\n"):
        first, *lines = block.splitlines()
        found[first.split()[0]] = {line[2:20].strip(): line[22:] for line in lines}
    return found


def test_policy_limits_the_queues_of_an_app_and_its_sender_gets_an_error(
    theirs: Celery,
) -> None:
    """`queues` and `queues policy` show the limit; a sender to a full queue gets QueueFull; 0 removes the limit."""
    applied = theirs("queues", "policy", "--apply", "--max-length", "3")
    assert applied.returncode == 0, applied.stderr
    shown = blocks(applied.stdout)
    assert shown["theirs"] == {
        "dead letters go to": "dead_letters",
        "delivery limit": "-",
        "max length": "3",
        "policy": "proj.dead_letters.theirs",
        "missing": "nothing",
    }
    assert shown["dead_letters"]["max length"] == "-"

    sender = theirs("shell", "--python", stdin="exec(open('sender.py').read())")
    assert "a queue is probably full" in sender.stdout, sender.stderr

    assert row(theirs("queues").stdout, "theirs")[:5] == ["theirs", "classic", "3", "/", "3"]
    (looked,) = [each for each in json.loads(theirs("queues", "--json").stdout) if each["name"] == "theirs"]
    assert looked["ready"] == 3

    # Without the option the limit stays.
    assert blocks(theirs("queues", "policy", "--apply").stdout)["theirs"]["max length"] == "3"
    assert blocks(theirs("queues", "policy", "--apply", "--max-length", "0").stdout)["theirs"]["max length"] == "-"


@pytest.mark.parametrize("queue_type", ["quorum", "classic"])
def test_policy_limits_the_queues_of_a_broker_that_has_our_policies_from_the_start(
    celery: Celery, variables: dict[str, str], queue_type: str
) -> None:
    """By a policy that has the same keys and a higher priority, and that is removed with the limit."""
    variables["PROJ_QUEUE_TYPE"] = queue_type
    vhost = variables["CELERY_BROKER_URL"].rpartition("/")[2]
    management = Management(variables["FLOWER_BROKER_API"])

    def policies() -> dict[str, Any]:
        return {each["name"]: each for each in management.request("GET", f"policies/{vhost}")}

    def run(*words: str) -> tuple[int, str, dict[str, dict[str, str]]]:
        done = celery("-A", "proj", "queues", "policy", *words, **variables)
        return done.returncode, done.stderr, blocks(done.stdout)

    before = policies()
    asked = run("--max-length", "2")
    assert asked[:2] == (1, "--apply makes what is missing.\n")
    assert {name: block["missing"] for name, block in asked[2].items()} == {
        **dict.fromkeys(("task_queue", "my_queue", "upper"), "max-length: 2"),
        "dead_letters": "nothing",
    }
    assert policies() == before

    assert run("--apply", "--max-length", "3")[:2] == (0, "")
    applied = run("--apply", "--max-length", "2")
    assert applied[:2] == (0, "")
    assert applied[2]["task_queue"]["policy"] == "proj.dead_letters.task_queue"
    assert {name: block["max length"] for name, block in applied[2].items()} == {
        **dict.fromkeys(("task_queue", "my_queue", "upper"), "2"),
        "dead_letters": "-",
    }
    shipped = before["work" if queue_type == "quorum" else "work_classic"]
    ours = policies()["proj.dead_letters.task_queue"]
    assert ours["priority"] == shipped["priority"] + 1
    assert ours["definition"] == {**shipped["definition"], "max-length": 2}

    # A quorum queue takes messages that arrive together before it notices that it is full.
    celery("-A", "proj", "send", "--count", "3", "--timeout", "1", **variables)
    full = celery("-A", "proj", "send", "--timeout", "5", "one.", "two.", **variables)
    assert (full.returncode, full.stdout) == (1, "")

    assert run()[2]["task_queue"]["max length"] == "2"
    assert run("--apply")[2]["task_queue"]["max length"] == "2"
    removed = run("--apply", "--max-length", "0")
    assert removed[:2] == (0, "")
    assert removed[2]["task_queue"]["policy"] == shipped["name"]
    assert policies() == before


def test_policy_covers_the_queues_of_task_routes_of_proj_adopt_and_of_the_option(
    theirs: Celery, tmp_path: Path
) -> None:
    """Each queue is in the list, and gets a policy."""
    (tmp_path / "theirs.py").write_text(
        APP + 'app.conf.update(task_routes={"t.*": {"queue": "routed"}}, proj_adopt={"adopted": "t.one"})\n'
    )

    lacking = theirs("queues", "policy", "--queue", "named", "--queue", "other")
    applied = theirs("queues", "policy", "--apply", "--queue", "named", "--max-length", "5")

    assert (lacking.returncode, applied.returncode) == (1, 0), applied.stderr
    assert list(blocks(lacking.stdout)) == ["theirs", "routed", "adopted", "named", "other", "dead_letters"]
    shown = blocks(applied.stdout)
    for name in ("routed", "adopted", "named"):
        assert (shown[name]["max length"], shown[name]["dead letters go to"]) == ("5", "dead_letters")

    assert theirs("queues", "policy", "--queue", "").returncode == 2
    assert theirs("queues", "policy", "--queue", "x" * 256).returncode == 2


def test_limit_is_not_made_where_a_policy_of_someone_else_is_effective(
    theirs: Celery, variables: dict[str, str]
) -> None:
    """Ours would replace it. The command says what to add to it, with --apply and without."""
    vhost = variables["CELERY_BROKER_URL"].rpartition("/")[2]
    policy = {"pattern": "^theirs$", "apply-to": "queues", "definition": {"message-ttl": 60000}}
    management = Management(variables["FLOWER_BROKER_API"])
    management.request("PUT", f"policies/{vhost}/of-someone", policy)

    asked = theirs("queues", "policy", "--max-length", "3")
    refused = theirs("queues", "policy", "--apply", "--max-length", "3")

    assert (asked.returncode, refused.returncode) == (1, 1)
    assert f"Error: {asked.stderr}" == refused.stderr
    assert blocks(asked.stdout)["theirs"]["policy"] == "of-someone"
    assert "'max-length': 3" in refused.stderr
    assert "'of-someone', the policy of theirs" in refused.stderr
    (there,) = [each for each in management.request("GET", f"policies/{vhost}") if each["name"] == "of-someone"]
    assert there["definition"] == policy["definition"]


def test_policy_can_be_read_at_eighty_columns(celery: Celery, variables: dict[str, str]) -> None:
    """No line is longer, also with a long name and a long list of what is missing."""
    shown = celery("-A", "proj", "queues", "policy", "--queue", "another.queue.with-a-long_name", **variables)

    assert max(map(len, shown.stdout.splitlines())) <= 80
    assert "another.queue.with-a-long_name (quorum, not there yet)\n" in shown.stdout
    assert blocks(shown.stdout)["task_queue"] == {
        "dead letters go to": "dead_letters",
        "delivery limit": "20",
        "max length": "-",
        "policy": "work",
        "missing": "nothing",
    }


def test_send_to_a_full_queue_prints_one_error(celery: Celery, variables: dict[str, str]) -> None:
    """It says that it waits for room, then gives up with exit code 1. No message is in the queue."""
    vhost = variables["CELERY_BROKER_URL"].rpartition("/")[2]
    policy = {
        "pattern": "^task_queue$",
        "apply-to": "queues",
        "priority": 9,
        "definition": {"max-length": 2, "overflow": "reject-publish"},
    }
    Management(variables["FLOWER_BROKER_API"]).request("PUT", f"policies/{vhost}/short", policy)
    # A quorum queue takes messages that arrive together before it notices that it is full.
    assert celery("-A", "proj", "send", "--count", "3", **variables).returncode == 0
    full = celery("-A", "proj", "send", "--timeout", "5", "one.", "two.", **variables)

    assert (full.returncode, full.stdout) == (1, "")
    assert full.stderr.startswith("The queue is full; waiting for room.\nError: RabbitMQ rejected 2 tasks (")
    assert full.stderr.count("\n") == 2
    assert row(celery("-A", "proj", "queues", **variables).stdout, "task_queue")[2:5] == ["3", "/", "2"]
