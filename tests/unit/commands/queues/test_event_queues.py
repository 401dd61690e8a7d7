"""What `queues` says of event queues without a recorder."""

from __future__ import annotations

from dataclasses import replace

from proj.broker.queue_depths import Depth
from proj.commands.queues.event_queues import note, noting

LEFT = Depth(
    name="celeryev.journal.run.1",
    type="classic",
    ready=9805,
    unacknowledged=0,
    consumers=0,
    expires=True,
    journal="/data/my run.sqlite",
    made=1000.0,
)


def test_event_queue_without_a_recorder_is_named_with_its_age_and_the_command_that_deletes_it() -> None:
    """The path can be pasted into a shell."""
    assert note(LEFT, now=3400.0) == (
        "No recorder takes events from the queue celeryev.journal.run.1, made 40 min ago, of the journal "
        "/data/my run.sqlite; the broker deletes it after a day without one. Delete it now with: "
        "celery -A yourapp journal record -o '/data/my run.sqlite' --forget"
    )


def test_only_queues_of_the_latest_look_without_a_recorder_are_named() -> None:
    """A recorder may come back while `queues --watch` runs."""
    left: list[Depth] = []
    recorded = replace(LEFT, name="recorded", consumers=1)
    other = replace(LEFT, name="other", journal=None, made=None)

    looks = [[(LEFT, None), (recorded, None), (other, None)], [(recorded, None)]]
    after = [list(left) for _look in noting(left, looks)]

    assert after == [[LEFT], []]
