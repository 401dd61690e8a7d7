"""The table of `queues topology`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proj.commands.queues.topology.show import show_parts
from proj.delivery.topology.entities import Part, Queue

if TYPE_CHECKING:
    import pytest


def test_only_names_that_are_numbered_in_a_row_are_joined(capsys: pytest.CaptureFixture[str]) -> None:
    """Else the table would claim queues that nobody names."""
    names = ("delayed_2", "delayed_1", "delayed_0", "shard_1", "shard_5", "mail")
    queues = (*(Queue(name=name) for name in names), Queue(name="mail_1", arguments={"x-queue-type": "quorum"}))

    show_parts([Part(name="tasks", without="no task is taken", required=True, queues=queues)], "/", as_json=False)

    printed = [
        line.split("queue ")[1].split("  ")[0].rstrip()
        for line in capsys.readouterr().out.splitlines()
        if "queue " in line
    ]
    assert printed == [
        "delayed_2 (classic) … delayed_0 (classic)",
        "shard_1 (classic)",
        "shard_5 (classic)",
        "mail (classic)",
        "mail_1 (quorum)",
    ]
