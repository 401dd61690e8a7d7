"""A queue that exists with other arguments: `send` and workers print one error and exit with code 1."""

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

#: An app that is not ours and has called `install`.
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


def run_worker(celery: Celery, app: str, **variables: str) -> tuple[int, str, list[str]]:
    """A worker's exit code, its whole output, and the lines of its log above INFO."""
    words = ("worker", "--concurrency", "1", "--loglevel", "INFO", "--without-mingle", "--without-gossip")
    ended = celery("-A", app, *words, **variables)
    said = ended.stdout + ended.stderr
    lines = [line for line in said.splitlines() if "/MainProcess]" in line and ": INFO/" not in line]
    return ended.returncode, said, lines


@pytest.mark.parametrize(("there", "asked"), [("classic", "quorum"), ("quorum", "classic")])
def test_send_says_which_argument_differs_and_what_to_do(
    celery: Celery, variables: dict[str, str], channel: BlockingChannel, there: str, asked: str
) -> None:
    """And when the user does it, the message is sent."""
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


def test_worker_ends_with_one_error_and_without_a_traceback(
    celery: Celery, variables: dict[str, str], channel: BlockingChannel
) -> None:
    """It does not connect again, because the mismatch would still be there."""
    channel.queue_declare("task_queue", durable=True)

    code, said, lines = run_worker(celery, "proj", **variables)

    assert code == 1
    assert len(lines) == 1, lines
    assert lines[0].endswith(sentence("classic", "quorum"))
    assert "Traceback" not in said


def test_error_names_an_exchange_of_another_type(
    celery: Celery, variables: dict[str, str], channel: BlockingChannel
) -> None:
    """With the type that it has and the type that we ask for."""
    channel.exchange_declare("tasks", "fanout", durable=True)

    refused = celery("-A", "proj", "send", "hello", **variables)

    assert refused.returncode == 1
    assert " exists with type=fanout, but is declared with type=topic. Declare it as it exists, " in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_worker_of_any_app_with_install_ends_with_the_same_error(
    celery: Celery, variables: dict[str, str], channel: BlockingChannel, tmp_path: Path
) -> None:
    """Also with Celery's default settings, where an error of the channel ends the worker."""
    (tmp_path / "theirs.py").write_text(THEIRS.format(adopt={}))
    channel.queue_declare("theirs", durable=True)

    code, said, lines = run_worker(celery, "theirs", PYTHONPATH=str(tmp_path), **variables)

    assert (code, len(lines)) == (1, 1), lines
    assert " exists with no x-max-length, but is declared with x-max-length=10. Declare it as it exists, " in lines[0]
    assert "Traceback" not in said


def test_worker_refuses_a_proj_adopt_with_a_task_that_is_not_registered(
    celery: Celery, variables: dict[str, str], tmp_path: Path
) -> None:
    """At its start, with one error, so that no message is dead-lettered for it."""
    (tmp_path / "theirs.py").write_text(THEIRS.format(adopt={"theirs": "theirs.missing"}))

    code, said, _lines = run_worker(celery, "theirs", PYTHONPATH=str(tmp_path), **variables)

    assert code == 2
    assert said.endswith(
        "Error: proj_adopt gives the plain messages of 'theirs' to 'theirs.missing', "
        "but no such task is registered here.\n"
    )
    assert "Traceback" not in said
