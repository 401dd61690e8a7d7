"""Every error that proj raises on purpose.

ProjError                 exit 1  (a click error, see below)
├── InvalidSetting        exit 2  an environment variable or option has a value we refuse
├── UnknownSetting        exit 2  a variable or option is none that we know, so what it says would be lost
├── InvalidConfiguration  exit 2  what was set cannot be used, for a reason of its own
├── InvalidMessage        exit 1  a message that cannot be weighed
├── NoBroker              exit 3  nothing answers AMQP at the address
├── Unconfirmed           exit 3  the deadline passed before the broker had confirmed a message
├── PublishRefused        exit 1  the broker will not have a message, now or later
│   ├── Unroutable        exit 1  no queue takes it
│   ├── QueueMismatch     exit 1  a queue or an exchange exists with other arguments
│   └── QueueFull         exit 1  not now: its queue is full; the broker does not have it, and may later
├── NoManagement          exit 3  the broker's management API does not answer
├── NoDeadLetters         exit 1  there is no dead-letter queue of the name
├── DeadLettersNotRead    exit 1  reading dead letters would drop them, or another reader has them
├── NoJournal             exit 1  there is no journal file at the path
├── UnreadableJournal     exit 1  a file is not a journal, or one of a newer version
├── MissingProgram        exit 1  a program of the system is not installed
├── ProcessEnded          exit 1  a process of ours ended before it was ready
└── DeadlinePassed        exit 1  a condition did not come true in time

The base is click's, because every command of ours and of Celery runs under click: an error that
reaches it becomes one sentence and the exit code of its class, wherever it was raised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from kombu.exceptions import OperationalError

if TYPE_CHECKING:
    from pathlib import Path

EXIT_OK = 0
#: The answer is no: something was lost, unhealthy or did not work.
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NO_BROKER = 3


class ProjError(click.ClickException):
    """Something that proj refuses or cannot do; its text is one sentence with the remedy."""

    exit_code = EXIT_FAILED


class InvalidSetting(ProjError):
    """A setting has a value that is not allowed."""

    exit_code = EXIT_USAGE

    def __init__(self, name: str, value: object, allowed: str) -> None:
        """Name the variable, the value it has and what it may be."""
        super().__init__(f"{name} is {value!r}, but must be {allowed}.")
        self.name = name
        self.value = value
        self.allowed = allowed


class UnknownSetting(ProjError):
    """A setting is none, so that what it says would be lost without a word."""

    exit_code = EXIT_USAGE

    def __init__(self, name: str, nearest: str | None) -> None:
        """Name it, and the setting that may be meant; never its value, which may be a password."""
        meant = f"; did you mean {nearest}?" if nearest else "; unset it, or correct it."
        super().__init__(f"{name} is not a setting of Flower or of the dashboard{meant}")
        self.name = name
        self.nearest = nearest


class InvalidConfiguration(ProjError):
    """A configuration file, or what is set in it, cannot be used."""

    exit_code = EXIT_USAGE


class InvalidMessage(ProjError):
    """A message that is not a text whose dots can be counted."""


class NoBroker(ProjError):
    """No broker answers AMQP at the address."""

    exit_code = EXIT_NO_BROKER


class Unconfirmed(ProjError, OperationalError):
    """The broker may or may not have what was published.

    It is kombu's `OperationalError` too, which is what Celery raises when a broker fails.
    """

    exit_code = EXIT_NO_BROKER

    def __init__(self, message: str, task_ids: tuple[str, ...] = ()) -> None:
        """Say what happened, and name the tasks of which nobody knows."""
        super().__init__(message)
        self.task_ids = task_ids


class PublishRefused(ProjError):
    """The broker will not have what was published, and another attempt would fail alike."""

    def __init__(self, message: str, task_ids: tuple[str, ...] = ()) -> None:
        """Say why, and name the tasks, where they are several."""
        super().__init__(message)
        self.task_ids = task_ids


class Unroutable(PublishRefused):
    """No queue takes what was published: the exchange does not exist, or nothing is bound by that routing key."""


class QueueMismatch(PublishRefused):
    """A queue or an exchange exists with other arguments than it is declared with (`proj.delivery.mismatch`)."""

    def __init__(
        self, message: str, *, kind: str, name: str, argument: str, there: str | None, asked: str | None
    ) -> None:
        """Say it; `there` and `asked` are None where the broker's words were cut."""
        super().__init__(message)
        self.kind = kind
        self.name = name
        self.argument = argument
        self.there = there
        self.asked = asked


class QueueFull(PublishRefused, OperationalError):
    """A queue had no room for what was published; it is not in the queue, and another attempt later may succeed.

    So it is the one refusal to retry, as with `autoretry_for=(QueueFull,)`. `Unconfirmed` stands for what the broker
    may have; this for what it has not, and publishing it again makes no second one of it. It is kombu's
    `OperationalError` too, as everything is that passes.
    """


class NoManagement(ProjError):
    """The management API of the broker does not answer, or refuses."""

    exit_code = EXIT_NO_BROKER


class NoDeadLetters(ProjError):
    """There is no dead-letter queue of the name."""

    def __init__(self, queue: str) -> None:
        """Name the queue, and say how one is made."""
        super().__init__(
            f"There is no queue {queue!r}. A dead-letter queue and what leads there are made with: "
            "celery -A yourapp queues policy --apply"
        )
        self.queue = queue


class DeadLettersNotRead(ProjError):
    """Dead letters are not read: the broker would soon drop them for it, or another reader has them."""


class NoJournal(ProjError):
    """There is no journal file at the path."""

    def __init__(self, path: Path) -> None:
        """Say where it was looked for."""
        super().__init__(f"There is no journal at {path}. One is made with: celery -A proj journal record -o {path}")
        self.path = path


class UnreadableJournal(ProjError):
    """A file is not a journal, cannot be read, or was written by a newer proj."""

    def __init__(self, path: Path, reason: str) -> None:
        """Say which file, and why."""
        super().__init__(f"{path} cannot be used as a journal: {reason}.")
        self.path = path
        self.reason = reason


class MissingProgram(ProjError):
    """A program that the lab starts is not installed."""


class ProcessEnded(ProjError):
    """A process ended before it was ready; `log_tail` has its last words."""

    def __init__(self, name: str, returncode: int | None, log_tail: str) -> None:
        """Say which process ended, how, and show the end of its log."""
        super().__init__(f"{name} ended with status {returncode} before it was ready:\n{log_tail}")
        self.returncode = returncode
        self.log_tail = log_tail


class DeadlinePassed(ProjError):
    """A condition that was awaited did not come true in time."""

    def __init__(self, what: str, timeout_s: float) -> None:
        """Say what was awaited and for how long."""
        super().__init__(f"Waited {timeout_s:g} s in vain for {what}.")
        self.what = what
        self.timeout_s = timeout_s
