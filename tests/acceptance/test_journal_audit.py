"""`celery -A anyapp journal audit`."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest
from amqp.basic_message import Message

from proj.celery import app
from proj.journal.attempt import Attempt
from proj.journal.writer import JournalWriter
from proj.queues import WORK_QUEUE
from proj.tasks import work

if TYPE_CHECKING:
    from pathlib import Path

    from proj.lab.broker import Broker

    from .conftest import Celery

TASKS = ("one", "two", "three")


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A journal of three sent tasks, without any later event."""
    path = tmp_path / "run.sqlite"
    with JournalWriter(path) as writer:
        writer.put_attempts(
            Attempt(task_id=task_id, state="sent", queue=WORK_QUEUE, sent=time.time()) for task_id in TASKS
        )
        writer.commit()
    return path


@pytest.fixture
def _three_wait(broker: Broker, vhost: str) -> None:
    with app.connection_for_write(broker.url(vhost)) as connection, app.amqp.Producer(connection) as producer:
        for task_id in TASKS:
            work.apply_async(("hello.",), task_id=task_id, producer=producer, ignore_result=True)


def audit(celery: Celery, journal: Path, variables: dict[str, str]) -> tuple[int, dict[str, object]]:
    done = celery("-A", "proj", "journal", "audit", str(journal), "--json", "--settle", "0.2", **variables)
    return done.returncode, json.loads(done.stdout)


@pytest.mark.usefixtures("_three_wait")
def test_task_that_waits_in_the_broker_is_not_missing(celery: Celery, journal: Path, variables: dict[str, str]) -> None:
    """No worker runs, and the queue holds a message for each task."""
    status, ledger = audit(celery, journal, variables)

    assert (status, ledger["counts"], ledger["missing"]) == (0, {"waiting in the broker": 3}, 0)


@pytest.mark.usefixtures("_three_wait")
def test_task_that_was_purged_is_missing(
    celery: Celery, journal: Path, broker: Broker, vhost: str, variables: dict[str, str]
) -> None:
    """The ledger names the ids of the purged messages, and the exit code is 1."""
    broker.management.request("DELETE", f"queues/{vhost}/{WORK_QUEUE}/contents")

    status, ledger = audit(celery, journal, variables)

    assert (status, ledger["counts"], ledger["missing"]) == (1, {"missing": 3}, 3)
    assert sorted(ledger["suspects"]) == sorted(TASKS)


def test_audit_says_what_is_not_known_of_a_worker_that_may_have_been_killed(
    celery: Celery, journal: Path, variables: dict[str, str]
) -> None:
    """It may have ended a task that counts as missing, and not have sent the event of that."""
    with JournalWriter(journal) as writer:
        writer.put_attempts([Attempt(task_id="one", state="started", queue=WORK_QUEUE, sent=1.0, worker="killed@x")])
        writer.commit()

    done = celery("-A", "proj", "journal", "audit", str(journal), "--settle", "0.2", **variables)

    assert done.returncode == 1
    assert "No answer from killed@x." in done.stderr


def test_missing_task_is_listed_with_its_name_its_time_and_its_last_worker(
    celery: Celery, tmp_path: Path, variables: dict[str, str]
) -> None:
    """So that a person knows where to look; the JSON has the same."""
    path = tmp_path / "run.sqlite"
    with JournalWriter(path) as writer:
        writer.put_attempts(
            [
                Attempt(task_id="lost", state="lost", name="shop.pay", worker="w1@shop", queue="shop", started=1.0),
                Attempt(task_id="lost", number=1, state="started", name="shop.pay", worker="w2@shop", started=86400.0),
            ]
        )
        writer.commit()
    command = ("-A", "proj", "journal", "audit", str(path), "--settle", "0.2")

    shown = celery(*command, **variables)
    told = celery(*command, "--json", **variables)

    (row,) = [line.split() for line in shown.stdout.splitlines() if "shop.pay" in line]
    assert row == ["lost", "shop.pay", "started", "1970-01-02", "00:00:00Z", "w2@shop"]
    assert json.loads(told.stdout)["suspect_tasks"] == [
        {"id": "lost", "name": "shop.pay", "time": 86400.0, "queue": None, "worker": "w2@shop"}
    ]


@pytest.mark.usefixtures("_three_wait")
def test_dead_letter_is_found_by_its_id_and_stays_in_its_queue(
    celery: Celery, journal: Path, broker: Broker, vhost: str, variables: dict[str, str]
) -> None:
    """A second audit finds it again."""
    with app.connection_for_write(broker.url(vhost)) as connection:
        channel = connection.default_channel
        channel.basic_reject(channel.basic_get(WORK_QUEUE).delivery_tag, requeue=False)

    first, second = (audit(celery, journal, variables) for _ in range(2))

    assert first == second
    status, ledger = second
    assert (status, ledger["counts"]) == (0, {"dead-lettered": 1, "waiting in the broker": 2})
    assert ledger["fates"]["one"] == "dead-lettered"


@pytest.mark.usefixtures("_three_wait")
def test_dead_letter_of_a_plain_message_is_found_by_the_messages_id(
    celery: Celery, journal: Path, broker: Broker, vhost: str, variables: dict[str, str]
) -> None:
    """Because it has no headers of Celery."""
    with app.connection_for_write(broker.url(vhost)) as connection, connection.Producer() as producer:
        connection.default_channel.basic_get(WORK_QUEUE, no_ack=True)
        producer.publish("hello.", routing_key="dead_letters", message_id="one")

    status, ledger = audit(celery, journal, variables)

    assert (status, ledger["counts"]) == (0, {"dead-lettered": 1, "waiting in the broker": 2})


def test_offline_audit_calls_no_task_missing(celery: Celery, journal: Path) -> None:
    """Without a broker an unfinished task is open, and the exit code is 0."""
    done = celery("-A", "proj", "journal", "audit", str(journal), "--offline")

    assert done.returncode == 0, done.stderr
    assert ["open", "3"] in [line.split() for line in done.stdout.splitlines()]


def test_audit_says_that_no_broker_answers(celery: Celery, journal: Path) -> None:
    """Exit code 3, and no ledger that calls every task missing."""
    failed = celery("-A", "proj", "journal", "audit", str(journal), CELERY_BROKER_URL="amqp://127.0.0.1:1//")

    assert (failed.returncode, failed.stdout) == (3, "")
    assert "No broker answers" in failed.stderr
    assert "--offline" in failed.stderr


def test_audit_says_that_the_journal_does_not_exist(celery: Celery, tmp_path: Path) -> None:
    """The error says how to make one."""
    failed = celery("-A", "proj", "journal", "audit", str(tmp_path / "none.sqlite"), "--offline")

    assert failed.returncode == 2
    assert "There is no journal at" in failed.stderr


@pytest.mark.usefixtures("_three_wait")
def test_audits_of_a_dead_letter_queue_with_a_low_delivery_limit_leave_its_letters(
    celery: Celery, journal: Path, broker: Broker, vhost: str, variables: dict[str, str]
) -> None:
    """Each look would be a delivery, so the audit does not look; it says so and counts what the broker tells."""
    limit = {"pattern": "^dead_letters$", "apply-to": "queues", "priority": 9, "definition": {"delivery-limit": 1}}
    broker.management.request("PUT", f"policies/{vhost}/low", limit)
    with app.connection_for_write(broker.url(vhost)) as connection:
        channel = connection.default_channel
        channel.basic_reject(channel.basic_get(WORK_QUEUE).delivery_tag, requeue=False)
    command = ("-A", "proj", "journal", "audit", str(journal), "--json", "--settle", "0.2")

    audits = [celery(*command, **variables) for _ in range(3)]

    assert [json.loads(each.stdout)["counts"] for each in audits] == [{"waiting in the broker": 3}] * 3
    assert all("The dead letters were not read" in each.stderr for each in audits)
    assert all("celery -A proj queues policy --apply" in each.stderr for each in audits)
    with app.connection_for_read(broker.url(vhost)) as connection:
        assert connection.default_channel.queue_declare("dead_letters", passive=True).message_count == 1


def test_audit_reads_the_dead_letter_queue_that_the_apps_settings_name(
    celery: Celery, journal: Path, tmp_path: Path, broker: Broker, vhost: str, variables: dict[str, str]
) -> None:
    """As `queues dead` does. --dead-letters names another queue."""
    (tmp_path / "theirs.py").write_text(
        "from celery import Celery\napp = Celery('theirs')\napp.conf.proj_dead_letter_queue = 'theirs_dead'\n"
    )
    with app.connection_for_write(broker.url(vhost)) as connection, connection.Producer() as producer:
        for queue, task_ids in (("theirs_dead", TASKS), ("other_dead", TASKS[:1])):
            connection.default_channel.queue_declare(queue, durable=True, auto_delete=False)
            for task_id in task_ids:
                producer.publish("hello.", routing_key=queue, headers={"id": task_id})
    command = ("-A", "theirs", "journal", "audit", str(journal), "--json", "--settle", "0")

    ours = celery(*command, **variables)
    other = celery(*command, "--dead-letters", "other_dead", **variables)

    assert ours.returncode == 0, ours.stderr
    assert json.loads(ours.stdout)["counts"] == {"dead-lettered": 3}
    assert json.loads(other.stdout)["counts"] == {"dead-lettered": 1, "missing": 2}


def test_letter_with_unreadable_properties_does_not_end_the_audit(
    celery: Celery,
    journal: Path,
    broker: Broker,
    vhost: str,
    variables: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Any client may send one; the letters around it are found."""
    with app.connection_for_write(broker.url(vhost)) as connection, connection.Producer() as producer:
        producer.publish("hello.", routing_key="dead_letters", headers={"id": "one"})
        with monkeypatch.context() as patch:
            # A content type that is no text.
            patch.setattr(Message, "_serialize_properties", lambda _: b"\x80\x00\x02\xff\xfe")
            connection.default_channel.basic_publish(Message(b"broken"), exchange="", routing_key="dead_letters")
        producer.publish("hello.", routing_key="dead_letters", headers={"id": "two"})
        producer.publish("hello.", routing_key="dead_letters", headers={"id": "three"})

    status, ledger = audit(celery, journal, variables)

    assert (status, ledger["counts"]) == (0, {"dead-lettered": 3})
