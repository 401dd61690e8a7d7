"""`celery -A proj send`."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pika
import pytest

from proj.lab.processes.environment import child_environment

if TYPE_CHECKING:
    from .conftest import Celery

NUMBERED = re.compile(r" \[x\] Sent '(\d+) \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6} - Basic - Hello World'")


def waiting(url: str, queue: str = "task_queue") -> int:
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        return int(connection.channel().queue_declare(queue, passive=True).method.message_count)


def bodies(variables: dict[str, str]) -> list[str]:
    """The texts of the messages in the work queue; they are taken from it."""
    found = []
    with pika.BlockingConnection(pika.URLParameters(variables["CELERY_BROKER_URL"])) as connection:
        channel = connection.channel()
        while (got := channel.basic_get("task_queue", auto_ack=True))[0] is not None:
            found.append(got[2].decode())
    return found


def test_send_prints_each_message_as_the_tutorials_do(celery: Celery, variables: dict[str, str]) -> None:
    """The messages are in the queue."""
    sent = celery("-A", "proj", "send", "First message.", "Second message..", **variables)

    assert (sent.returncode, sent.stderr) == (0, "")
    assert sent.stdout == " [x] Sent 'First message.'\n [x] Sent 'Second message..'\n"
    assert waiting(variables["CELERY_BROKER_URL"]) == 2


def test_send_reads_one_message_from_each_line_of_standard_input(celery: Celery, variables: dict[str, str]) -> None:
    """It skips empty lines."""
    sent = celery("-A", "proj", "send", stdin="one.\n\ntwo..", **variables)

    assert sent.stdout == " [x] Sent 'one.'\n [x] Sent 'two..'\n"


def test_send_count_sends_the_numbered_messages_of_the_oldest_tutorial(
    celery: Celery, variables: dict[str, str]
) -> None:
    """Fifteen, numbered from 0, each with the same time stamp."""
    sent = celery("-A", "proj", "send", "--count", "15", **variables)

    numbers = [NUMBERED.fullmatch(line) for line in sent.stdout.splitlines()]
    assert [number and number[1] for number in numbers] == [str(number) for number in range(15)]
    assert waiting(variables["CELERY_BROKER_URL"]) == 15


@pytest.mark.parametrize("options", [(), ("--plain",)])
def test_send_ends_without_a_message_when_its_output_is_closed(
    tmp_path: Path, variables: dict[str, str], options: tuple[str, ...]
) -> None:
    """As with `| head -1`: the exit code is 1, and messages that were begun are in the queue once."""
    # More than a pipe has room for, so that some of it is written after the reader has gone.
    count = 5000
    with subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "proj", "send", "--count", str(count), *options],
        env=child_environment(**variables),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as sending:
        assert sending.stdout
        assert sending.stderr
        first = sending.stdout.readline()
        sending.stdout.close()
        said = sending.stderr.read()
        returncode = sending.wait(timeout=60)

    numbers = [found[1] for found in re.finditer(r"(\d+) \d{4}-\d\d-\d\d", " ".join(bodies(variables)))]
    assert (returncode, said) == (1, b"")
    assert NUMBERED.fullmatch(first.decode().rstrip("\n"))
    assert sorted(map(int, numbers)) == list(range(len(numbers)))
    assert 0 < len(numbers) <= count


def test_send_says_that_its_output_cannot_be_written_and_sends_nothing_twice(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    """With a full disk: one sentence, and exit code 1."""
    with Path("/dev/full").open("w") as full:
        failed = subprocess.run(
            [sys.executable, "-m", "celery", "-A", "proj", "send", "one.", "two."],
            env=child_environment(**variables),
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )

    assert failed.returncode == 1
    assert re.fullmatch(r"Error: Standard output takes no more \(No space left on device\)\. .*\n", failed.stderr)
    assert waiting(variables["CELERY_BROKER_URL"]) == 2


@pytest.mark.parametrize("options", [(), ("--plain",)])
def test_send_refuses_a_queue_whose_name_is_nearly_that_of_another(
    celery: Celery, variables: dict[str, str], options: tuple[str, ...]
) -> None:
    """Exit code 2, and no queue of the misspelt name is made."""
    refused = celery("-A", "proj", "send", *options, "--queue", "tsak_queue", "hello.", **variables)

    assert (refused.returncode, refused.stdout) == (2, "")
    assert "There is no queue 'tsak_queue'. Did you mean 'task_queue'?" in refused.stderr
    assert "celery -A proj worker -Q tsak_queue" in refused.stderr
    with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="no queue 'tsak_queue'"):
        waiting(variables["CELERY_BROKER_URL"], "tsak_queue")


def test_send_takes_another_queue(celery: Celery, variables: dict[str, str]) -> None:
    """As for the round-robin workers of docker-compose.yml."""
    sent = celery("-A", "proj", "send", "--queue", "task_queue.round-robin", "hello.", **variables)

    assert sent.returncode == 0, sent.stderr
    assert waiting(variables["CELERY_BROKER_URL"], "task_queue.round-robin") == 1


def test_send_says_that_no_broker_answers_and_does_not_hang(celery: Celery) -> None:
    """One sentence with the address and what to do, and exit code 3."""
    begun = time.monotonic()

    failed = celery("-A", "proj", "send", "hello", CELERY_BROKER_URL="amqp://me:secret@127.0.0.1:1//")

    assert failed.returncode == 3
    assert re.fullmatch(r"Error: No broker answers at amqp://me:\*\*@127\.0\.0\.1:1// .*lab broker\n", failed.stderr)
    assert failed.stdout == ""
    # Not the ninety seconds for which a broker that goes away is waited for.
    assert time.monotonic() - begun < 45


def test_send_does_not_hang_on_a_server_that_never_answers(celery: Celery) -> None:
    """A port that accepts connections and never answers is not a broker."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        failed = celery("-A", "proj", "send", "hello", CELERY_BROKER_URL=f"amqp://127.0.0.1:{mute.getsockname()[1]}//")

    assert failed.returncode == 3
    assert failed.stderr.startswith("Error: No broker answers at ")


def test_send_says_that_the_broker_refuses_the_login(celery: Celery, variables: dict[str, str]) -> None:
    """The error differs from that of a missing broker."""
    url = re.sub(r":[^:@]+@", ":wrong@", variables["CELERY_BROKER_URL"])

    failed = celery("-A", "proj", "send", "hello", CELERY_BROKER_URL=url)

    assert failed.returncode == 3
    assert "refuses the login" in failed.stderr
    assert "wrong" not in failed.stderr

    elsewhere = celery("-A", "proj", "send", "hello", CELERY_BROKER_URL=variables["CELERY_BROKER_URL"] + "-elsewhere")
    assert elsewhere.returncode == 3
    assert "refuses the login" in elsewhere.stderr
    assert "virtual host" in elsewhere.stderr


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("-A", "proj", "send", "hello", "--count", "3"), "MESSAGES or --count"),
        (("-A", "proj", "send", "--count", "0"), "--count"),
        (("-A", "proj", "send", "--exchange", "topic", "hello"), "needs a --key"),
        (("send", "hello"), "celery -A proj send"),
    ],
)
def test_send_refuses_wrong_use(celery: Celery, words: tuple[str, ...], complaint: str) -> None:
    """The exit code is 2, and the error says what to do."""
    refused = celery(*words)

    assert refused.returncode == 2
    assert complaint in refused.stderr


def test_send_refuses_bytes_that_are_not_utf_8(celery: Celery, variables: dict[str, str]) -> None:
    """Before it is sent, because no client could read it."""
    refused = celery("-A", "proj", "send", "fine.", "\udcff.", **variables)

    assert refused.returncode == 1
    assert refused.stdout == " [x] Sent 'fine.'\n"
    assert "is not UTF-8 text" in refused.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--exchange", "broadcast"), "no worker is bound to the exchange 'broadcast'"),
        (
            ("--exchange", "direct", "--key", "image.heavy", "--plain"),
            "exchange 'direct' with the routing key 'image.heavy'",
        ),
        (("--exchange", "topic", "--key", "image.heavy"), "PROJ_BIND='image.heavy' celery -A proj worker"),
    ],
)
def test_send_says_that_no_queue_is_bound_to_the_exchange(
    celery: Celery, variables: dict[str, str], words: tuple[str, ...], sentence: str
) -> None:
    """One sentence for all messages, with the exchange, the key and what to do; none is reported as sent."""
    failed = celery("-A", "proj", "send", *words, "one.", "two.", **variables)

    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith("Error: 2 messages were not sent: no ")
    assert sentence in failed.stderr
    assert failed.stderr.count("\n") == 1


def test_send_by_exchange_needs_no_work_queue(celery: Celery, variables: dict[str, str]) -> None:
    """The message is in the queue of the worker's pattern, and no other queue is made."""
    url = variables["CELERY_BROKER_URL"]
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.exchange_declare("topic", "topic", durable=True)
        channel.queue_declare("mine")
        channel.queue_bind("mine", "topic", "*.heavy")

        sent = celery("-A", "proj", "send", "--exchange", "topic", "--key", "image.heavy", "photo.", **variables)

        assert (sent.returncode, sent.stdout, sent.stderr) == (0, " [x] Sent 'photo.'\n", "")
        assert waiting(url, "mine") == 1
        with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="NOT_FOUND"):
            channel.queue_declare("task_queue", passive=True)


@pytest.mark.parametrize(("queue_type", "arguments"), [("quorum", {"x-queue-type": "quorum"}), ("classic", None)])
def test_send_plain_publishes_what_the_tutorials_worker_reads(
    celery: Celery, variables: dict[str, str], queue_type: str, arguments: dict[str, str] | None
) -> None:
    """A plain text, persistent, with an id, in a queue that it declares as `new_task.py` does."""
    sent = celery("-A", "proj", "send", "--plain", "hello..", "grüße.", PROJ_QUEUE_TYPE=queue_type, **variables)

    assert (sent.returncode, sent.stderr) == (0, "")
    assert sent.stdout == " [x] Sent 'hello..'\n [x] Sent 'grüße.'\n"
    with pika.BlockingConnection(pika.URLParameters(variables["CELERY_BROKER_URL"])) as connection:
        channel = connection.channel()
        channel.queue_declare("task_queue", durable=True, arguments=arguments)
        got = [channel.basic_get("task_queue", auto_ack=True) for _ in range(2)]
    assert [body.decode() for _, _, body in got] == ["hello..", "grüße."]
    for _, properties, _ in got:
        assert (properties.delivery_mode, properties.content_type) == (2, "text/plain")
        assert properties.content_encoding == "utf-8"
        # The broker's own count, and nothing of Celery's.
        assert properties.headers.keys() <= {"x-delivery-count"}
    assert len({properties.message_id for _, properties, _ in got} - {None}) == 2


def test_worker_refuses_a_pattern_that_cannot_match(celery: Celery, variables: dict[str, str]) -> None:
    """One sentence, and exit code 2. It would wait for ever."""
    refused = celery("-A", "proj", "worker", PROJ_BIND="image..heavy", **variables)

    assert refused.returncode == 2
    assert "PROJ_BIND is 'image..heavy', but must be patterns such as *.heavy,image.#" in refused.stderr
