"""Replies to the command `proj_halt`."""

from __future__ import annotations

import pytest

from proj.delivery.shutdown.halt_command import HaltReply, read_halt


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (
            {"ok": "halting", "running": 1, "held": 2, "leaving": "proj.leaving.1"},
            HaltReply(running=1, held=2, leaving="proj.leaving.1"),
        ),
        # The worker cannot keep a connection open until its end.
        ({"ok": "halting", "running": 1, "held": 2, "leaving": None}, HaltReply(running=1, held=2, leaving=None)),
        ({"ok": "halting", "running": "one", "leaving": 7}, HaltReply(running=None, held=None, leaving=None)),
        ({"error": "No such control command"}, None),
    ],
)
def test_reply_is_read_as_far_as_it_is_one(reply: dict[str, object], expected: HaltReply | None) -> None:
    """A worker that does not know the command replies with an error."""
    assert read_halt(reply) == expected
