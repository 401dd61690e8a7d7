"""Every error that proj raises on purpose.

ProjError                 exit 1  the base of all of them
├── InvalidSetting        exit 2  a setting, variable or option has a value that is not allowed
├── UnknownSetting        exit 2  a variable or option has a name that we do not know
├── InvalidConfiguration  exit 2  a configuration file, or several settings together, cannot be used
├── OtherBroker           exit 2  the management API is that of another broker than the app's
├── UnknownQueue          exit 2  neither the broker nor the app has a queue of this name
├── InvalidMessage        exit 1  a message is not a text whose dots can be counted
├── NoBroker              exit 3  no broker answers, or it refuses the login
├── Unconfirmed           exit 3  RabbitMQ did not confirm a message before the deadline
├── PublishRefused        exit 1  RabbitMQ refused a message, and would refuse it again
│   ├── Unroutable        exit 1  no queue is bound for the message
│   ├── QueueMismatch     exit 1  a queue or exchange exists with other arguments
│   └── QueueFull         exit 1  the queue was full until the deadline; publish again later
├── NoManagement          exit 3  the management API does not answer
├── NoDeadLetters         exit 1  the dead-letter queue does not exist
├── NoJournal             exit 2  the journal file does not exist
├── UnreadableJournal     exit 2  the file is not a journal, is damaged, or a newer proj wrote it
├── MissingProgram        exit 1  a program that the lab starts is not installed
├── ProcessEnded          exit 1  a process that we started ended before it was ready
└── DeadlinePassed        exit 1  a condition did not become true in time

The base is `click.ClickException`, because every command of ours and of Celery runs under click: click prints the
error as one sentence and exits with the code of its class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from kombu.exceptions import OperationalError

from proj.printable import printable

if TYPE_CHECKING:
    from pathlib import Path

EXIT_OK = 0
#: Something was lost, is unhealthy, or did not work.
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NO_BROKER = 3


class ProjError(click.ClickException):
    """Proj refuses to do something, or cannot do it; the text is one sentence that says what to do."""

    exit_code = EXIT_FAILED

    def format_message(self) -> str:
        """The text as click prints it, without what others could have put into it to steer the terminal."""
        return printable(self.message, keep="\n")


class InvalidSetting(ProjError):
    """A setting, an environment variable or an option has a value that is not allowed. Set an allowed one."""

    exit_code = EXIT_USAGE

    def __init__(self, name: str, value: object, allowed: str) -> None:
        """Take the setting's name, its value, and what is allowed, such as "a number of seconds"."""
        super().__init__(f"{name} is {value!r}, but must be {allowed}.")
        self.name = name
        self.value = value
        self.allowed = allowed


class UnknownSetting(ProjError):
    """Nobody knows a setting or a variable of this name, so it would have no effect. Correct the name."""

    exit_code = EXIT_USAGE

    def __init__(self, name: str, nearest: str | None, whose: str = "a setting of Flower or of the dashboard") -> None:
        """Take the name, and the known name most like it. The value is never shown: it may be a password."""
        meant = f"; did you mean {nearest}?" if nearest else "; unset it, or correct it."
        super().__init__(f"{name} is not {whose}{meant}")
        self.name = name
        self.nearest = nearest


class InvalidConfiguration(ProjError):
    """A configuration file, or a combination of settings, cannot be used. Correct it as the error says."""

    exit_code = EXIT_USAGE


class OtherBroker(ProjError):
    """The management API is that of another broker than the one that the app's tasks are on. Give the right address."""

    exit_code = EXIT_USAGE

    def __init__(self, api: str, name: str, amqp: str, expected: str) -> None:
        """Take the API's address and its cluster's name, and the same of the AMQP connection, without passwords."""
        super().__init__(
            f"The management API at {api} is that of another broker ({name}) than the one with the tasks, "
            f"{amqp} ({expected}): give the address of its own API with --broker-api or FLOWER_BROKER_API; "
            "if it has none, enable its plug-in rabbitmq_management."
        )
        self.api = api
        self.name = name
        self.expected = expected


class UnknownQueue(ProjError):
    """Neither the broker nor the app's settings have a queue of this name. Correct it, or start its worker."""

    exit_code = EXIT_USAGE

    def __init__(self, name: str, nearest: str | None) -> None:
        """Take the name, and the known name most like it."""
        meant = f"Did you mean {nearest!r}? If not, a" if nearest else "A"
        super().__init__(f"There is no queue {name!r}. {meant} worker makes it: celery -A yourapp worker -Q {name}")
        self.name = name
        self.nearest = nearest


class InvalidMessage(ProjError):
    """A message is not a text whose dots can be counted. Send a text."""


class NoBroker(ProjError):
    """No broker answers AMQP at the address, or it refuses the login. Check CELERY_BROKER_URL, or start a broker."""

    exit_code = EXIT_NO_BROKER


class Unconfirmed(ProjError, OperationalError):
    """RabbitMQ did not confirm a message before the deadline, so it may or may not have it.

    Publish it again under the same task id, unless the task must not run twice. The class is also kombu's
    `OperationalError`, which is what Celery raises when a broker fails.
    """

    exit_code = EXIT_NO_BROKER

    def __init__(self, message: str, task_ids: tuple[str, ...] = ()) -> None:
        """Take the sentence, and the ids of the tasks that were not confirmed."""
        super().__init__(message)
        self.task_ids = task_ids


class PublishRefused(ProjError):
    """RabbitMQ refused a message, and would refuse it again. Remove the reason that the error names."""

    def __init__(self, message: str, task_ids: tuple[str, ...] = ()) -> None:
        """Take the sentence, and the ids of the refused tasks where there may be several."""
        super().__init__(message)
        self.task_ids = task_ids


class Unroutable(PublishRefused):
    """No queue takes the message: the exchange does not exist, or no queue is bound to it by the routing key.

    Start a worker that declares the queue, or correct the exchange or the routing key.
    """


class QueueMismatch(PublishRefused):
    """A queue or an exchange exists with other arguments than the declared ones (`proj.delivery.broker_errors`).

    Declare it as it exists, or delete it so that it is made anew.
    """

    def __init__(
        self, message: str, *, kind: str, name: str, argument: str, there: str | None, asked: str | None
    ) -> None:
        """Take the sentence and its parts.

        Args:
            message: the sentence.
            kind: "queue" or "exchange".
            name: its name.
            argument: the argument that differs.
            there: the value that exists; None where RabbitMQ's own text was cut short.
            asked: the value that was declared; None likewise.
        """
        super().__init__(message)
        self.kind = kind
        self.name = name
        self.argument = argument
        self.there = there
        self.asked = asked


class QueueFull(PublishRefused, OperationalError):
    """The queue was full until the deadline. RabbitMQ does not have the message: publish it again later.

    It is the one refusal that is worth a retry, as with `autoretry_for=(QueueFull,)`, and a retry makes no duplicate.
    After `Unconfirmed` RabbitMQ may have the message; after this error it does not. The class is also kombu's
    `OperationalError`, as every error that may go away by itself.
    """


class NoManagement(ProjError):
    """RabbitMQ's management API does not answer, or refuses the request. Check --broker-api and its user."""

    exit_code = EXIT_NO_BROKER


class NoDeadLetters(ProjError):
    """The dead-letter queue does not exist. `queues policy --apply` makes it."""

    def __init__(self, queue: str) -> None:
        """Take the name of the queue."""
        super().__init__(
            f"There is no queue {queue!r}. Make the dead-letter queue and its policies with: "
            "celery -A yourapp queues policy --apply"
        )
        self.queue = queue


class DeadLettersNotRead(ProjError):
    """Dead letters are not read: the broker would soon drop them for it, or another reader has them."""


class NoJournal(ProjError):
    """The journal file does not exist. `journal record` makes one."""

    exit_code = EXIT_USAGE

    def __init__(self, path: Path) -> None:
        """Take the path of the file."""
        super().__init__(f"There is no journal at {path}. Make one with: celery -A yourapp journal record -o {path}")
        self.path = path


class UnreadableJournal(ProjError):
    """The file is not a journal, is damaged, or was written by a newer proj.

    Name another file, repair it with `journal repair`, or update proj.
    """

    # 1 is an answer of `journal audit`: a task is missing.
    exit_code = EXIT_USAGE

    def __init__(self, path: Path, reason: str) -> None:
        """Take the path of the file, and the reason as a clause."""
        super().__init__(f"{path} cannot be used as a journal: {reason}.")
        self.path = path
        self.reason = reason


class MissingProgram(ProjError):
    """A program that the lab starts is not installed. The error says how to install it."""


class ProcessEnded(ProjError):
    """A process that we started ended before it was ready. Its last lines of output, `log_tail`, say why."""

    def __init__(self, name: str, returncode: int | None, log_tail: str) -> None:
        """Take the name of the process, its exit status as `subprocess` gives it, and the end of its log."""
        super().__init__(f"{name} ended with status {returncode} before it was ready:\n{log_tail}")
        self.returncode = returncode
        self.log_tail = log_tail


class DeadlinePassed(ProjError):
    """A condition did not become true in time. Look at the logs of what it depends on."""

    def __init__(self, what: str, timeout_s: float) -> None:
        """Take what was awaited, such as "all workers to consume", and for how many seconds."""
        super().__init__(f"Timed out after {timeout_s:g} s while waiting for {what}.")
        self.what = what
        self.timeout_s = timeout_s
