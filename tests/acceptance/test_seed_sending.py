"""The tutorials' statements about their sending programs, on `celery -A proj send`."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from proj.celery import app
from proj.commands.send import numbered
from proj.dots import duration_s
from proj.environment import broker_url
from proj.lab.processes.environment import child_environment

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Celery
    from .tutorial_shell import Shell


def waiting(shell: Shell, queue: str = "task_queue") -> list[str]:
    """The texts that wait for our workers; they are taken from the queue."""
    texts = []
    while (message := shell.channel.basic_get(queue, auto_ack=True))[0] is not None:
        texts.append(json.loads(message[2])[0][0])
    return texts


def test_hello_world_is_sent_when_no_words_are_given(variables: dict[str, str], shell: Callable[[], Shell]) -> None:
    """At a terminal, without standard input."""
    terminal, inner = pty.openpty()
    sent = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "proj", "send"],
        stdin=inner,
        env=child_environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    for end in (terminal, inner):
        os.close(end)

    assert (sent.returncode, sent.stdout) == (0, " [x] Sent 'Hello World!'\n"), sent.stderr
    assert waiting(shell()) == ["Hello World!"]


def test_each_argument_is_a_message_and_quotes_make_several_words_one(
    celery: Celery, variables: dict[str, str], shell: Callable[[], Shell]
) -> None:
    """The tutorials differ: `new_task.py` joins its words, `producer.py` publishes each. Ours does as the second."""
    celery("-A", "proj", "send", "Hello", "world", "First message.", **variables)

    assert waiting(shell()) == ["Hello", "world", "First message."]


def test_sender_does_not_wait_for_the_work(
    celery: Celery, variables: dict[str, str], shell: Callable[[], Shell]
) -> None:
    """An hour of work is reported as sent without a worker."""
    hour = "." * 3600

    sent = celery("-A", "proj", "send", hour, **variables)

    assert sent.returncode == 0
    assert waiting(shell()) == [hour]


def test_queue_of_any_name_is_made_by_sending_to_it(
    celery: Celery, variables: dict[str, str], shell: Callable[[], Shell]
) -> None:
    """RabbitMQ makes a queue that does not exist."""
    for name in ("made_up", "made_up_too"):
        celery("-A", "proj", "send", "--queue", name, "Hello", **variables)

    assert [waiting(shell(), name) for name in ("made_up", "made_up_too")] == [["Hello"], ["Hello"]]


def test_broker_is_the_one_on_localhost_unless_the_connection_settings_are_adjusted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On the standard port, with the login of a new RabbitMQ; CELERY_BROKER_URL changes it."""
    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)
    assert broker_url() == "amqp://guest:guest@localhost:5672//"

    monkeypatch.setenv("CELERY_BROKER_URL", "amqp://me:secret@elsewhere:5673//")
    assert broker_url() == "amqp://me:secret@elsewhere:5673//"


@pytest.mark.parametrize(
    ("message", "seconds"), [("hello...", 3), ("Hello...", 3), ("First message.", 1), ("Fifth message.....", 5)]
)
def test_every_dot_accounts_for_one_second(message: str, seconds: int) -> None:
    """By default; another test measures a worker."""
    assert duration_s(message, app.conf.proj_dot_seconds) == seconds


def test_each_numbered_message_takes_one_second() -> None:
    """The oldest tutorial's consumer sleeps for a second for each; here it is the dot of the time stamp."""
    assert [duration_s(message, app.conf.proj_dot_seconds) for message in numbered(15)] == [1] * 15
