"""A queue that exists with other arguments: one sentence and exit code 1, whoever meets it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pika
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pika.adapters.blocking_connection import BlockingChannel

    from .conftest import Celery

#: An app that is not ours and has the pieces.
THEIRS = """
from celery import Celery
from kombu import Queue
from proj.delivery.install import install

app = Celery("theirs")
app.conf.task_default_queue = "theirs"
app.conf.task_queues = [Queue("theirs", queue_arguments={{"x-max-length": 10}})]
app.conf.proj_adopt = {adopt}
install(app)
"""


@pytest.fixture
def channel(variables: dict[str, str]) -> Iterator[BlockingChannel]:
    with pika.BlockingConnection(pika.URLParameters(variables["CELERY_BROKER_URL"])) as connection:
        yield connection.channel()


def sentence(there: str, asked: str) -> str:
    return (
        f"exists with x-queue-type={there}, but is declared with x-queue-type={asked}. Declare it as it exists "
        f"(proj: PROJ_QUEUE_TYPE={there}; other apps: task_default_queue_type = {there!r}), "
        "use another name, or delete the existing queue."
    )


def of_worker(celery: Celery, app: str, **variables: str) -> tuple[int, str, list[str]]:
    """How a worker ended: its code, all that it said, and the lines of its log that are not information."""
    words = ("worker", "--concurrency", "1", "--loglevel", "INFO", "--without-mingle", "--without-gossip")
    ended = celery("-A", app, *words, **variables)
    said = ended.stdout + ended.stderr
    lines = [line for line in said.splitlines() if "/MainProcess]" in line and ": INFO/" not in line]
    return ended.returncode, said, lines


@pytest.mark.parametrize(("there", "asked"), [("classic", "quorum"), ("quorum", "classic")])
def test_send_says_which_argument_differs_and_what_to_do(
    celery: Celery, variables: dict[str, str], channel: BlockingChannel, there: str, asked: str
) -> None:
    """And sends when that is done."""
    arguments: dict[str, Any] | None = {"x-queue-type": "quorum"} if there == "quorum" else None
    channel.queue_declare("task_queue", durable=True, arguments=arguments)

    refused = celery("-A", "proj", "send", "hello", PROJ_QUEUE_TYPE=asked, **variables)
    sent = celery("-A", "proj", "send", "hello", PROJ_QUEUE_TYPE=there, **variables)

    assert (refused.returncode, refused.stdout) == (1, "")
    assert re.match(
        r"Error: RabbitMQ did not accept task \S+: the queue 'task_queue' in the virtual host ", refused.stderr
    )
    assert refused.stderr.endswith(f" {sentence(there, asked)}\n")
    assert refused.stderr.count("\n") == 1
    assert sent.returncode == 0, sent.stderr


def test_worker_ends_with_the_sentence_and_without_a_stack_trace(
    celery: Celery, variables: dict[str, str], channel: BlockingChannel
) -> None:
    """A supervisor that reads its log knows what to do; connecting again would not mend it."""
    channel.queue_declare("task_queue", durable=True)

    code, said, lines = of_worker(celery, "proj", **variables)

    assert code == 1
    assert len(lines) == 1, lines
    assert lines[0].endswith(sentence("classic", "quorum"))
    assert "Traceback" not in said


def test_exchange_of_another_type_is_told_likewise(
    celery: Celery, variables: dict[str, str], channel: BlockingChannel
) -> None:
    """It names the exchange, its type and ours."""
    channel.exchange_declare("tasks", "fanout", durable=True)

    refused = celery("-A", "proj", "send", "hello", **variables)

    assert refused.returncode == 1
    assert " exists with type=fanout, but is declared with type=topic. Declare it as it exists, " in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_worker_of_any_app_with_our_pieces_says_the_same(
    celery: Celery, variables: dict[str, str], channel: BlockingChannel, tmp_path: Path
) -> None:
    """Also where an error of the channel would be its end, which is Celery's default."""
    (tmp_path / "theirs.py").write_text(THEIRS.format(adopt={}))
    channel.queue_declare("theirs", durable=True)

    code, said, lines = of_worker(celery, "theirs", PYTHONPATH=str(tmp_path), **variables)

    assert (code, len(lines)) == (1, 1), lines
    assert " exists with no x-max-length, but is declared with x-max-length=10. Declare it as it exists, " in lines[0]
    assert "Traceback" not in said


def test_worker_refuses_to_adopt_for_a_task_that_it_does_not_have(
    celery: Celery, variables: dict[str, str], tmp_path: Path
) -> None:
    """At its start, in one sentence, and not with a dead letter for each message."""
    (tmp_path / "theirs.py").write_text(THEIRS.format(adopt={"theirs": "theirs.missing"}))

    code, said, _lines = of_worker(celery, "theirs", PYTHONPATH=str(tmp_path), **variables)

    assert code == 2
    assert said.endswith(
        "Error: proj_adopt gives the plain messages of 'theirs' to 'theirs.missing', "
        "but no such task is registered here.\n"
    )
    assert "Traceback" not in said
