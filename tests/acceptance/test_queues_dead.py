"""`celery -A anyapp queues dead` and `queues policy`."""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from amqp.basic_message import Message
from kombu import Connection

from proj.broker.management_api import Management
from proj.delivery.dead_letters.headers import dead_letter_headers
from proj.lab.processes.environment import child_environment
from proj.lab.processes.process import Process
from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from proj.lab.processes.guard import Guard

    from .conftest import Celery

DEAD = ("-A", "theirs", "queues", "dead")
POLICY = ("-A", "theirs", "queues", "policy")


@pytest.fixture
def variables(variables: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The environment of a user whose app is not ours and has tasks that cannot be imported."""
    (tmp_path / "theirs.py").write_text("from celery import Celery\napp = Celery('theirs', include=['not_there'])\n")
    return variables


@pytest.fixture
def _three_letters(variables: dict[str, str]) -> None:
    with Connection(variables["CELERY_BROKER_URL"]) as connection:
        channel = connection.default_channel
        channel.queue_declare("work", durable=True, auto_delete=False)
        for number, task in enumerate(("t.one", "t.two", "t.two")):
            headers = dead_letter_headers(
                {"id": f"letter-{number}", "task": task, "argsrepr": f"({number}, 'a long one{'.' * 90}')"},
                reason=f"It killed its pool process {number + 1} times, last by signal 9 (SIGKILL).",
                queue="work",
                worker="w@x",
                time=1795251491.5,
                attempts=number + 1,
            )
            message = Message(json.dumps([[number], {}, {}]).encode(), application_headers=headers, delivery_mode=2)
            message.properties["content_type"] = "application/json"
            channel.basic_publish_confirm(message, exchange="", routing_key="dead_letters")


def depth(variables: dict[str, str], name: str) -> int:
    with Connection(variables["CELERY_BROKER_URL"]) as connection:
        count: int = connection.default_channel.queue_declare(name, passive=True).message_count
        return count


@pytest.mark.usefixtures("_three_letters")
def test_dead_lists_letters_for_people_and_for_programs(celery: Celery, variables: dict[str, str]) -> None:
    """With id, task, cut arguments, reason, queue, worker, time and attempts. Looking removes no letter."""
    table = celery(*DEAD, **variables)
    lines = celery(*DEAD, "--json", "--task", "t.two", **variables)

    assert (table.returncode, table.stderr) == (0, "")
    assert "letter-0" in table.stdout
    assert "t.one (0, 'a long one" in table.stdout
    assert "." * 50 not in table.stdout
    assert "It killed its pool process 3 times, last by signal 9 (SIGKILL)." in table.stdout
    assert "work, w@x, 2026-11-21 08:58:11Z, tried 2 times" in table.stdout
    assert [json.loads(line)["id"] for line in lines.stdout.splitlines()] == ["letter-1", "letter-2"]
    assert json.loads(lines.stdout.splitlines()[0])["time"] == 1795251491.5
    # RabbitMQ 4.3 may count the letters that were looked at a moment later.
    wait_until(lambda: depth(variables, "dead_letters") == 3, what="all letters to be back", timeout_s=60)


@pytest.mark.usefixtures("_three_letters")
def test_dead_shows_one_letter_with_all_its_details(celery: Celery, variables: dict[str, str]) -> None:
    """Its headers, its properties, and its body in a readable form."""
    shown = celery(*DEAD, "--show", "letter-1", **variables)

    assert shown.returncode == 0, shown.stderr
    assert "a long one" + "." * 90 in shown.stdout
    assert 'x-proj-queue: "work"' in shown.stdout
    assert "delivery_mode: 2" in shown.stdout
    assert "letter-0" not in shown.stdout


@pytest.mark.usefixtures("_three_letters")
def test_dead_requeues_the_chosen_letters_and_says_which_it_did_not_find(
    celery: Celery, variables: dict[str, str]
) -> None:
    """Chosen by id or by reason, also to another queue. Exit code 1 when a letter does not exist."""
    by_id = celery(*DEAD, "--requeue", "letter-1", "nobody", **variables)
    by_reason = celery(*DEAD, "--requeue", "--reason", "3 TIMES", "--to", "work", "--json", **variables)

    assert (by_id.returncode, by_id.stdout) == (1, " [x] Requeued letter-1 to work\n")
    assert "dead_letters has no letter nobody." in by_id.stderr
    assert json.loads(by_reason.stdout) == {"id": "letter-2", "done": "requeued", "queue": "work"}
    assert (depth(variables, "work"), depth(variables, "dead_letters")) == (2, 1)


@pytest.mark.usefixtures("_three_letters")
def test_dead_exports_purges_and_imports(celery: Celery, variables: dict[str, str], tmp_path: Path) -> None:
    """It asks before it removes letters, overwrites no file, and imports what it exported."""
    unasked = celery(*DEAD, "--purge", "--all", **variables, stdin="n\n")
    exported = celery(*DEAD, "--export", "letters", "--purge", "--all", "--yes", **variables)
    again = celery(*DEAD, "--export", "letters", "--all", **variables)

    assert (unasked.returncode, exported.returncode) == (1, 0), exported.stderr
    assert "Remove 3 of the 3 letters in dead_letters for ever?" in unasked.stderr
    assert (again.returncode, depth(variables, "dead_letters")) == (2, 0)
    assert len((tmp_path / "letters").read_text().splitlines()) == 3

    imported = celery(*DEAD, "--import", "letters", **variables)
    requeued = celery(*DEAD, "--requeue", "--all", **variables)

    assert (imported.returncode, requeued.returncode) == (0, 0), imported.stderr + requeued.stderr
    assert (depth(variables, "work"), depth(variables, "dead_letters")) == (3, 0)


def test_dead_says_that_there_are_no_letters_and_exports_no_empty_file(
    celery: Celery, variables: dict[str, str], tmp_path: Path
) -> None:
    """An empty table, or an empty file, leaves it open whether the command has looked."""
    celery(*POLICY, "--apply", **variables)

    shown = celery(*DEAD, **variables)
    chosen = celery(*DEAD, "--task", "t.one", **variables)
    exported = celery(*DEAD, "--export", "letters", "--all", **variables)

    assert (shown.returncode, shown.stdout, shown.stderr) == (0, "", "dead_letters has no letters.\n")
    assert (chosen.returncode, chosen.stderr) == (0, "dead_letters has no such letters.\n")
    assert (exported.returncode, exported.stdout) == (0, "")
    assert exported.stderr == "dead_letters has no letters to export, so nothing was written.\n"
    assert not (tmp_path / "letters").exists()


def test_dead_refuses_an_action_without_chosen_letters(celery: Celery, variables: dict[str, str]) -> None:
    """Exit code 2, before any letter is read."""
    refused = celery(*DEAD, "--requeue", **variables)

    assert refused.returncode == 2
    assert "Which letters?" in refused.stderr


@pytest.mark.usefixtures("_three_letters")
def test_dead_refuses_to_look_where_the_broker_would_drop_letters(
    celery: Celery, variables: dict[str, str], vhost: str
) -> None:
    """The limit is 20. The command that the error names raises it."""
    management = Management(variables["FLOWER_BROKER_API"])
    management.request("DELETE", f"policies/{vhost}/dead_letters")
    low = {"pattern": "^dead_letters$", "apply-to": "queues", "definition": {"delivery-limit": 20}}
    management.request("PUT", f"policies/{vhost}/proj.dead_letters.dead_letters", low)

    refused = celery(*DEAD, **variables)
    celery(*POLICY, "--apply", **variables)
    shown = celery(*DEAD, "--json", **variables)

    assert (refused.returncode, refused.stdout) == (1, "")
    assert "dead_letters drops a letter after 20" in refused.stderr
    assert "; celery -A theirs queues policy --apply raises the limit" in refused.stderr
    assert (shown.returncode, len(shown.stdout.splitlines())) == (0, 3)


def test_dead_says_that_the_queue_does_not_exist(celery: Celery, variables: dict[str, str]) -> None:
    """The error ends with the command that makes it, with the app that the user typed."""
    failed = celery(*DEAD, "--queue", "not-there", **variables)

    assert failed.returncode == 1
    assert "There is no queue 'not-there'" in failed.stderr
    assert failed.stderr.endswith("celery -A theirs queues policy --apply\n")


def test_policy_shows_what_is_missing_and_makes_it(celery: Celery, variables: dict[str, str], vhost: str) -> None:
    """Exchange, queue, binding, and policies for the queues of the app only. Then rejected messages are kept."""
    management = Management(variables["FLOWER_BROKER_API"])
    remove_everything(management, vhost)

    before = celery(*POLICY, **variables)
    applied = celery(*POLICY, "--apply", "--json", **variables)

    assert before.returncode == 1
    assert "dead-letter-exchange: dead_letters" in before.stdout
    assert "--apply" in before.stderr
    assert applied.returncode == 0, applied.stderr
    assert json.loads(applied.stdout)["dead_letters_bound"] is True
    policies = {each["name"]: each["pattern"] for each in management.request("GET", f"policies/{vhost}")}
    assert policies == {
        "proj.dead_letters.celery": r"^celery(\.suspects)?$",
        "proj.dead_letters.dead_letters": r"^dead_letters(\.suspects)?$",
    }
    with Connection(variables["CELERY_BROKER_URL"]) as connection:
        channel = connection.default_channel
        channel.queue_declare("celery", durable=True, auto_delete=False)
        channel.basic_publish_confirm(Message(b"x"), exchange="", routing_key="celery")
        channel.basic_reject(channel.basic_get("celery").delivery_tag, requeue=False)
    assert "A worker rejected it" in celery(*DEAD, **variables).stdout


def test_policy_says_which_permission_is_missing(celery: Celery, variables: dict[str, str], vhost: str) -> None:
    """In one error, without a traceback."""
    management = Management(variables["FLOWER_BROKER_API"])
    remove_everything(management, vhost)
    management.request("PUT", "users/reader", {"password": "secret", "tags": "monitoring"})
    management.request("PUT", f"permissions/{vhost}/reader", {"configure": "", "write": "", "read": ".*"})
    address = variables["FLOWER_BROKER_API"].rpartition("@")[2]

    refused = celery(*POLICY, "--apply", "--broker-api", f"http://reader:secret@{address}", **variables)

    assert refused.returncode == 1
    assert "policymaker" in refused.stderr
    assert "Traceback" not in refused.stderr
    management.request("DELETE", "users/reader")


def remove_everything(management: Management, vhost: str) -> Any:
    """Remove the policies, the exchange and the queue that a private broker has from the start."""
    for policy in management.request("GET", f"policies/{vhost}"):
        management.request("DELETE", f"policies/{vhost}/{policy['name']}")
    for kind in ("exchanges", "queues"):
        management.request("DELETE", f"{kind}/{vhost}/dead_letters")


def test_requeue_of_many_that_is_killed_and_done_again_loses_none_and_names_doubles(
    celery: Celery, variables: dict[str, str], guard: Guard, tmp_path: Path
) -> None:
    """Every letter that is in its queue twice was named by the second requeue."""
    count = 500
    with Connection(variables["CELERY_BROKER_URL"]) as connection:
        channel = connection.default_channel
        channel.confirm_select()
        channel.queue_declare("work", durable=True, auto_delete=False)
        for number in range(count):
            headers = dead_letter_headers(
                {"id": f"letter-{number}", "task": "t.t"},
                reason="No.",
                queue="work",
                worker="w@x",
                time=1.5,
                attempts=1,
            )
            channel.basic_publish(
                Message(b"[[], {}, {}]", application_headers=headers, delivery_mode=2), routing_key="dead_letters"
            )
        wait_until(lambda: depth(variables, "dead_letters") == count, what="the letters", timeout_s=60)
        first = Process(
            "requeue",
            [sys.executable, "-u", "-m", "celery", *DEAD, "--requeue", "--all"],
            guard=guard,
            environment=child_environment(**variables, PYTHONPATH=str(tmp_path)),
            log=tmp_path / "first.log",
        )
        with first:
            wait_until(lambda: first.log_text().count("Requeued") > count / 5, what="some letters", timeout_s=60)
            first.kill()
        wait_until(
            lambda: depth(variables, "dead_letters") + depth(variables, "work") >= count,
            what="the letters to return",
            timeout_s=30,
        )

        again = celery(*DEAD, "--requeue", "--all", "--json", **variables)

        requeued = [message.headers["id"] for message in iter(lambda: channel.basic_get("work", no_ack=True), None)]
    assert again.returncode == 0, again.stderr
    rows = [json.loads(line) for line in again.stdout.splitlines()]
    doubles = {name for name, times in Counter(requeued).items() if times > 1}
    assert 0 < len(rows) < count
    assert set(requeued) == {f"letter-{number}" for number in range(count)}
    assert doubles <= {row["id"] for row in rows if row.get("twice")}
    assert len(requeued) == count + len(doubles)
    assert depth(variables, "dead_letters") == 0
