"""Recording session: the gaps that a recorder writes when it begins."""

from __future__ import annotations

import pytest

from proj.journal.recording.event_queue import KEPT_S, MOST_MESSAGES, QueueState
from proj.journal.recording.session import missed

NOW = 1_000_000.0
EXISTED = QueueState(existed=True, messages=5)
OVERFLOWED = QueueState(existed=True, messages=MOST_MESSAGES)


@pytest.mark.parametrize(
    ("state", "recorded_until", "down_since", "began", "ended"),
    [
        (QueueState(existed=False), NOW - 60, None, NOW - 60, NOW),
        (EXISTED, NOW - 60, NOW - 30, NOW - 60, NOW),
        (OVERFLOWED, NOW - 60, None, NOW - 60, NOW),
        (EXISTED, NOW - KEPT_S - 60, None, NOW - KEPT_S - 60, NOW - KEPT_S),
    ],
    ids=["queue is gone", "broker was away", "queue overflowed", "events expired"],
)
def test_gap_is_the_time_in_which_events_were_lost(
    state: QueueState, recorded_until: float, down_since: float | None, began: float, ended: float
) -> None:
    """It begins when the last events were recorded, and ends when the queue keeps events again."""
    gap = missed(state, known=True, recorded_until=recorded_until, now=NOW, down_since=down_since)

    assert gap is not None
    assert (gap.began, gap.ended, gap.events) == (began, ended, None)


@pytest.mark.parametrize("known", [True, False])
def test_queue_that_kept_all_events_leaves_no_gap(known: bool) -> None:  # noqa: FBT001 a parameter of the test
    """The recorder was away for a minute, and the queue kept everything."""
    assert missed(EXISTED, known=known, recorded_until=NOW - 60, now=NOW, down_since=None) is None


def test_new_journal_has_no_gap() -> None:
    """It was not recorded before, so nothing can be missing."""
    assert missed(QueueState(existed=False), known=False, recorded_until=0.0, now=NOW, down_since=None) is None
