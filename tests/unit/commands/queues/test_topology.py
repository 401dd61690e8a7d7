"""`celery -A anyapp queues topology`."""

from __future__ import annotations

from celery import Celery
from click.testing import CliRunner

from proj.commands.queues.command import queues


def test_check_without_a_broker_says_how_to_start_one() -> None:
    """The sentence and the exit code of every other command."""

    class Context:
        app = Celery("theirs", broker="amqp://me:secret@127.0.0.1:1//", set_as_current=False)

    ran = CliRunner().invoke(queues, ["topology", "--check"], obj=Context())

    assert ran.exit_code == 3
    assert ran.output.startswith("Error: No broker answers at amqp://me:**@127.0.0.1:1// ")
    assert ran.output.endswith(" A broker of your own starts with: celery -A proj lab broker\n")
