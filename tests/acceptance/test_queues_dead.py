"""`celery -A anyapp queues dead` and `queues policy`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from amqp.basic_message import Message
from kombu import Connection

from proj.broker.management_api import Management
from proj.delivery.dead_letters.headers import dead_letter_headers

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Celery

DEAD = ("-A", "theirs", "queues", "dead")
POLICY = ("-A", "theirs", "queues", "policy")


@pytest.fixture
def variables(variables: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """As a user of another app has them, whose tasks nobody can import."""
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
    """Id, task, arguments cut short, reason, when, how often, last worker, queue; looking takes nothing away."""
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
    assert depth(variables, "dead_letters") == 3


@pytest.mark.usefixtures("_three_letters")
def test_dead_shows_one_whole(celery: Celery, variables: dict[str, str]) -> None:
    """Headers, properties, and the body as it can be read."""
    shown = celery(*DEAD, "--show", "letter-1", **variables)

    assert shown.returncode == 0, shown.stderr
    assert "a long one" + "." * 90 in shown.stdout
    assert 'x-proj-queue: "work"' in shown.stdout
    assert "delivery_mode: 2" in shown.stdout
    assert "letter-0" not in shown.stdout


@pytest.mark.usefixtures("_three_letters")
def test_dead_requeues_the_chosen_and_says_what_it_did_not_find(celery: Celery, variables: dict[str, str]) -> None:
    """By id, by reason, to another queue; exit code 1 for a letter that is not there."""
    by_id = celery(*DEAD, "--requeue", "letter-1", "nobody", **variables)
    by_reason = celery(*DEAD, "--requeue", "--reason", "3 TIMES", "--to", "work", "--json", **variables)

    assert (by_id.returncode, by_id.stdout) == (1, " [x] Requeued letter-1 to work\n")
    assert "dead_letters has no letter nobody." in by_id.stderr
    assert json.loads(by_reason.stdout) == {"id": "letter-2", "done": "requeued", "queue": "work"}
    assert (depth(variables, "work"), depth(variables, "dead_letters")) == (2, 1)


@pytest.mark.usefixtures("_three_letters")
def test_dead_exports_purges_and_imports(celery: Celery, variables: dict[str, str], tmp_path: Path) -> None:
    """Nothing is removed unasked, a file is never written over, and what was exported comes back."""
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


def test_dead_refuses_what_is_not_clear(celery: Celery, variables: dict[str, str]) -> None:
    """Exit code 2, before anything is looked at."""
    refused = celery(*DEAD, "--requeue", **variables)

    assert refused.returncode == 2
    assert "Which letters?" in refused.stderr


@pytest.mark.usefixtures("_three_letters")
def test_dead_refuses_to_look_where_letters_would_be_dropped(
    celery: Celery, variables: dict[str, str], vhost: str
) -> None:
    """Every look is a delivery, and a limit of twenty is soon reached; the remedy that is named helps."""
    management = Management(variables["FLOWER_BROKER_API"])
    management.request("DELETE", f"policies/{vhost}/dead_letters")
    low = {"pattern": "^dead_letters$", "apply-to": "queues", "definition": {"delivery-limit": 20}}
    management.request("PUT", f"policies/{vhost}/proj.dead_letters.dead_letters", low)

    refused = celery(*DEAD, **variables)
    anyway = celery(*DEAD, "--anyway", "--json", **variables)
    celery(*POLICY, "--apply", **variables)
    shown = celery(*DEAD, "--json", **variables)

    assert (refused.returncode, refused.stdout) == (1, "")
    assert "dead_letters drops a letter after 20" in refused.stderr
    assert "; celery -A theirs queues policy --apply raises the limit" in refused.stderr
    assert (len(anyway.stdout.splitlines()), shown.returncode, len(shown.stdout.splitlines())) == (3, 0, 3)


def test_dead_says_that_there_is_no_such_queue(celery: Celery, variables: dict[str, str]) -> None:
    """And how one is made, by a command that can be typed as it is."""
    failed = celery(*DEAD, "--queue", "not-there", **variables)

    assert failed.returncode == 1
    assert "There is no queue 'not-there'" in failed.stderr
    assert failed.stderr.endswith("celery -A theirs queues policy --apply\n")


def test_policy_shows_what_is_missing_and_makes_it(celery: Celery, variables: dict[str, str], vhost: str) -> None:
    """Exchange, queue, binding, and a policy for exactly the app's queue; what is rejected then arrives."""
    management = Management(variables["FLOWER_BROKER_API"])
    bare(management, vhost)

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


def test_policy_is_refused_in_one_sentence_without_permission(
    celery: Celery, variables: dict[str, str], vhost: str
) -> None:
    """And says who may."""
    management = Management(variables["FLOWER_BROKER_API"])
    bare(management, vhost)
    management.request("PUT", "users/reader", {"password": "secret", "tags": "monitoring"})
    management.request("PUT", f"permissions/{vhost}/reader", {"configure": "", "write": "", "read": ".*"})
    address = variables["FLOWER_BROKER_API"].rpartition("@")[2]

    refused = celery(*POLICY, "--apply", "--broker-api", f"http://reader:secret@{address}", **variables)

    assert refused.returncode == 1
    assert "policymaker" in refused.stderr
    assert "Traceback" not in refused.stderr
    management.request("DELETE", "users/reader")


def bare(management: Management, vhost: str) -> Any:
    """Take the lab's own policies, exchange and queue from the virtual host."""
    for policy in management.request("GET", f"policies/{vhost}"):
        management.request("DELETE", f"policies/{vhost}/{policy['name']}")
    for kind in ("exchanges", "queues"):
        management.request("DELETE", f"{kind}/{vhost}/dead_letters")
