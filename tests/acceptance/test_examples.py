"""The programs in `examples/`, run as in the tutorials, and the unacknowledged messages that each leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from kombu import Connection

from proj.lab.processes.environment import child_environment
from proj.lab.processes.process import Process
from proj.lab.processes.waiting import wait_until
from tests.acceptance.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard

TIMEOUT_S = 60
NOWHERE = "amqp://guest:guest@127.0.0.1:1//"
#: Seconds of a dot: short, but long compared with the time that a message takes.
DOT_S = 0.1


class Programs:
    """Starts programs in `examples/`, and asks the broker what they left in the queues."""

    def __init__(self, broker: Broker, vhost: str, guard: Guard, folder: Path) -> None:
        self._broker = broker
        self._vhost = vhost
        self._guard = guard
        self._folder = folder
        self._environment = child_environment(CELERY_BROKER_URL=broker.url(vhost), PROJ_DOT_SECONDS=str(DOT_S))
        self.started: list[Process] = []

    def end(
        self, name: str, *words: str, folder: str = "examples", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a program until it ends by itself."""
        return subprocess.run(
            [sys.executable, str(ROOT / folder / name), *words],
            env={**self._environment, **variables},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    def run(self, name: str, *words: str) -> str:
        """The output of a program that ends by itself."""
        done = self.end(name, *words)
        assert (done.returncode, done.stderr) == (0, "") or name.startswith("workflow"), done.stderr
        return done.stdout

    def start(self, name: str) -> Process:
        """Start a program that runs until it is stopped."""
        log = self._folder / f"{len(self.started)}-{name}.log"
        program = Process(
            name,
            [sys.executable, str(ROOT / "examples" / name)],
            guard=self._guard,
            environment=self._environment,
            log=log,
        )
        self.started.append(program)
        program.start()
        return program

    def wait_for_unacknowledged(self, count: int) -> None:
        """Return when the management API, which is some seconds late, reports so many unacknowledged messages."""

        def counts() -> bool:
            row = self._broker.management.request("GET", f"queues/{self._vhost}/my_queue")
            return (row.get("messages_ready"), row.get("messages_unacknowledged")) == (0, count)

        wait_until(counts, what=f"{count} unacknowledged and none ready", timeout_s=TIMEOUT_S)

    def left(self, queue: str = "my_queue") -> int:
        """How many messages the queue has when its last consumer has ended, so that none is unacknowledged."""
        with Connection(self._broker.url(self._vhost)) as connection, connection.channel() as channel:
            wait_until(
                lambda: channel.queue_declare(queue, passive=True).consumer_count == 0,
                what=f"the consumers of {queue} to go",
                timeout_s=TIMEOUT_S,
            )
            return int(channel.queue_declare(queue, passive=True).message_count)


@pytest.fixture
def programs(broker: Broker, vhost: str, guard: Guard, tmp_path: Path) -> Iterator[Programs]:
    """The programs, on a virtual host of their own."""
    programs = Programs(broker, vhost, guard, tmp_path)
    yield programs
    for program in programs.started:
        program.kill()


def wait_for_line(program: Process, line: str) -> None:
    wait_until(lambda: line in program.log_text().splitlines(), what=f"{line!r} of {program.name}", timeout_s=TIMEOUT_S)


def wait_for_end(program: Process) -> None:
    wait_until(lambda: not program.running, what=f"the end of {program.name}", timeout_s=TIMEOUT_S)


def test_consumer_that_forgets_to_acknowledge_leaves_two_messages_and_prints_them_again(programs: Programs) -> None:
    """consumer1.py: two are unacknowledged while it runs and ready after a kill; its next start prints them again."""
    programs.run("producer.py", "Hello", "world")

    for killed in range(2):
        consumer = programs.start("consumer1.py")
        wait_for_line(consumer, "world")
        assert consumer.log_text().splitlines() == ["Starting the consumer.", "Hello", "world"]
        if not killed:
            programs.wait_for_unacknowledged(2)
        consumer.kill()
        assert programs.left() == 2


def test_consumer_that_forgets_to_acknowledge_ends_at_ctrl_c_and_leaves_two_messages(programs: Programs) -> None:
    """consumer1.py: without a traceback; the messages are ready again as after a kill."""
    programs.run("producer.py", "Hello", "world")
    consumer = programs.start("consumer1.py")
    wait_for_line(consumer, "world")

    os.kill(consumer.pid, signal.SIGINT)
    wait_for_end(consumer)

    assert consumer.log_text().splitlines() == ["Starting the consumer.", "Hello", "world"]
    assert consumer.returncode == 0
    assert programs.left() == 2


def test_consumer_that_acknowledges_leaves_none_and_ends_by_ctrl_c(programs: Programs) -> None:
    """consumer2.py: acknowledged messages are gone, and Ctrl-C ends it without a traceback."""
    programs.run("producer.py", "Hello", "world")
    consumer = programs.start("consumer2.py")
    wait_for_line(consumer, "world")

    os.kill(consumer.pid, signal.SIGINT)
    wait_for_end(consumer)

    assert consumer.log_text().splitlines() == ["Starting the consumer.", "Hello", "world", "The consumer has ended."]
    assert consumer.returncode == 0
    assert programs.left() == 0


def test_consumer_with_a_poison_pill_ends_by_itself_and_leaves_none(programs: Programs) -> None:
    """consumer3.py: it prints the messages before the pill, and not the pill."""
    programs.run("producer.py", "Hello", "world", "HALT")

    printed = programs.run("consumer3.py")

    assert printed.splitlines() == [
        "Starting the consumer.",
        "Hello",
        "world",
        "Halting the consumer.",
        "The consumer has ended.",
    ]
    assert programs.left() == 0


def test_consumer_with_a_poison_pill_ends_at_ctrl_c(programs: Programs) -> None:
    """consumer3.py: without a traceback, when no pill comes."""
    programs.run("producer.py", "Hello")
    consumer = programs.start("consumer3.py")
    wait_for_line(consumer, "Hello")

    os.kill(consumer.pid, signal.SIGINT)
    wait_for_end(consumer)

    assert consumer.log_text().splitlines() == ["Starting the consumer.", "Hello", "The consumer has ended."]
    assert (consumer.returncode, programs.left()) == (0, 0)


def test_producer_without_words_prints_its_usage(programs: Programs) -> None:
    """It ends with exit code 2, also without a broker."""
    done = programs.end("producer.py", CELERY_BROKER_URL=NOWHERE)

    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: producer.py" in done.stderr


@pytest.mark.parametrize(
    ("program", "variables", "told"),
    [
        (
            "producer.py x",
            {"PROJ_QUEUE_TYPE": "classic"},
            "proj.errors.QueueMismatch: RabbitMQ did not accept message 'x'",
        ),
        ("producer.py x", {"CELERY_BROKER_URL": NOWHERE}, "proj.errors.NoBroker: No broker answers"),
        ("producer.py x", {"CELERY_BROKER_URL": "redis://h"}, "proj.errors.InvalidSetting: CELERY_BROKER_URL"),
        (
            "consumer1.py",
            {"PROJ_QUEUE_TYPE": "classic"},
            "proj.errors.QueueMismatch: RabbitMQ did not accept a consumer of queue",
        ),
        (
            "consumer2.py",
            {"PROJ_QUEUE_TYPE": "classic"},
            "proj.errors.QueueMismatch: RabbitMQ did not accept a consumer of queue",
        ),
        (
            "consumer3.py",
            {"PROJ_QUEUE_TYPE": "classic"},
            "proj.errors.QueueMismatch: RabbitMQ did not accept a consumer of queue",
        ),
        (
            "workflow.py",
            {"PROJ_QUEUE_TYPE": "classic"},
            "proj.errors.QueueMismatch: RabbitMQ did not accept a consumer of queue",
        ),
    ],
)
def test_program_that_fails_shows_one_short_traceback_and_one_sentence(
    programs: Programs, program: str, variables: dict[str, str], told: str
) -> None:
    """For a queue with other arguments, no broker, and a wrong URL; without tracebacks of the libraries."""
    programs.run("producer.py", "Hello")

    done = programs.end(*program.split(), **variables)

    lines = done.stderr.splitlines()
    assert done.returncode == 1
    assert lines[-1].startswith(told)
    assert done.stderr.count("Traceback") == 1
    assert "site-packages" not in done.stderr
    # From Python 3.13 on, a traceback has up to three lines for each of these.
    assert sum(line.startswith('  File "') for line in lines) <= 8


@pytest.mark.parametrize(
    ("program", "words", "code"),
    [
        ("messaging.py", ("--help",), 0),
        ("messaging.py", ("many",), 2),
        ("messaging.py", ("--runs", "many"), 2),
        ("dispatch.py", ("--help",), 0),
        ("dispatch.py", ("--rounds", "many"), 2),
        ("cluster.py", ("--help",), 0),
        ("cluster.py", ("4999",), 2),
    ],
)
def test_measurement_says_how_it_is_used(programs: Programs, program: str, words: tuple[str, ...], code: int) -> None:
    """bench/messaging.py, dispatch.py and cluster.py: a reader of the figures can find out how to repeat them."""
    done = programs.end(program, *words, folder="bench")

    assert done.returncode == code
    assert f"usage: {program}" in (done.stdout + done.stderr).replace("Usage", "usage")
    assert "Traceback" not in done.stderr


def test_measurement_of_dispatch_lists_a_row_for_each_way_to_consume(programs: Programs) -> None:
    """bench/dispatch.py: a reader can choose two rows by their names."""
    listed = programs.end("dispatch.py", "--zero-dots", "--list", folder="bench").stdout.splitlines()

    assert {"pika-1", "dramatiq", "celery-default", "proj-fair-events-quorum", "proj-shipped"} <= set(listed)
    assert len(listed) == len(set(listed))


def test_workflow_prints_in_capital_letters_and_one_pill_ends_both_stages(programs: Programs) -> None:
    """workflow.py: DATA -> Q1 -> P1 -> Q2 -> P2."""
    programs.run("producer.py", "hello", "world", "HALT")

    assert programs.run("workflow.py").splitlines() == ["HELLO", "WORLD"]
    assert (programs.left(), programs.left("upper")) == (0, 0)


def test_scaled_workflow_shares_the_slow_stage_and_one_pill_ends_all_three(programs: Programs) -> None:
    """workflow2.py: P1 and P2 print four messages each, and both end."""
    words = ["goodbye", "cruel", "world", "I", "am", "leaving", "you", "today"]
    programs.run("producer.py", *words, "HALT")

    lines = programs.run("workflow2.py").splitlines()

    assert [line for line in lines if line.startswith("T1")] == [f"T1: {word}" for word in words]
    printed = [line.split(": ") for line in lines if line.startswith("P")]
    assert sorted(text for _, text in printed) == sorted(word.upper() for word in words)
    assert [[who for who, _ in printed].count(name) for name in ("P1", "P2")] == [4, 4]
    assert (programs.left(), programs.left("upper")) == (0, 0)


def test_scaled_workflow_finishes_its_current_messages_at_sigterm(programs: Programs) -> None:
    """workflow2.py: no message is lost or half done; the others stay in their queues."""
    workflow = programs.start("workflow2.py")
    wait_for_line(workflow, "P2 starts.")
    programs.run("producer.py", "one", "two", "three", "four")
    wait_for_line(workflow, "T1: two")

    workflow.terminate()
    wait_for_end(workflow)

    assert workflow.returncode == 0
    assert {"T1 halted.", "P1 halted.", "P2 halted."} <= set(workflow.log_text().splitlines())
    begun = sum(line.startswith("T1: ") for line in workflow.log_text().splitlines())
    printed = sum(line.startswith(("P1: ", "P2: ")) for line in workflow.log_text().splitlines())
    assert (programs.left(), programs.left("upper")) == (4 - begun, begun - printed)
