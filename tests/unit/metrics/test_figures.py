"""All figures, on records that are small enough to be computed by hand."""

from __future__ import annotations

import pytest

from proj import metrics
from proj.journal.attempt import Attempt
from proj.journal.records import Worker

W1 = Worker(name="w1", slots=1, queues=("q",))
W2 = Worker(name="w2", slots=1, queues=("q",))


def ran(task_id: str, worker: str, received: float, started: float, finished: float, **more: object) -> Attempt:
    """An attempt from the queue q that succeeded; sent at 0 unless `more` says otherwise."""
    known = {"state": "succeeded", "queue": "q", "sent": 0.0, **more}
    return Attempt(task_id=task_id, worker=worker, received=received, started=started, finished=finished, **known)  # type: ignore[arg-type] # the fields of an attempt


def odd_heavy(*, fair: bool) -> list[Attempt]:
    """Ten heavy and ten light messages in turn: to the worker that is free first if `fair`, else to each in turn."""
    free = [0.0, 0.0]
    attempts = []
    for number in range(20):
        place = free.index(min(free)) if fair else number % 2
        work_s = (2.0, 0.1)[number % 2]
        received = free[place] if fair else 0.0
        attempts.append(ran(f"t{number}", f"w{place + 1}", received, free[place], free[place] + work_s))
        free[place] += work_s
    return attempts


def test_round_robin_on_odd_heavy_is_fair_by_counts_and_unfair_by_busy_time() -> None:
    """Ten tasks on each worker, but 20 s of work on one and 1 s on the other: 21² / (2 · (20² + 1²)) = 0.55."""
    found = metrics.figures(odd_heavy(fair=False), [W1, W2])

    assert [(one.tasks, pytest.approx(one.busy_s)) for one in found.workers] == [(10, 20.0), (10, 1.0)]
    assert found.jain_counts == 1.0
    assert found.jain_busy == pytest.approx(441 / 802)
    assert (found.makespan_s, found.ideal_s, found.ratio) == pytest.approx((20.0, 10.5, 20 / 10.5))


def test_round_robin_on_odd_heavy_could_have_avoided_most_waits() -> None:
    """Held: 0 + 2 + … + 18 and 0 + 0.1 + … + 0.9 s. From 1 s on the light worker is free while nine heavy ones wait."""
    found = metrics.figures(odd_heavy(fair=False), [W1, W2], longest=2)

    assert found.held_wait_total_s == pytest.approx(90 + 4.5)
    assert found.avoidable_wait_total_s == pytest.approx(sum(2 * heavy - 1 for heavy in range(1, 10)))
    assert [(one.attempt.task_id, pytest.approx(one.avoidable_wait_s)) for one in found.longest_avoidable_waits] == [
        ("t18", 17.0),
        ("t16", 15.0),
    ]
    # The last heavy message starts at 18; from then on none is held.
    assert [pytest.approx(one.idle_while_backlog_s) for one in found.workers] == [0.0, 17.0]
    assert [pytest.approx(one.utilisation) for one in found.workers] == [1.0, 0.05]


def test_fair_dispatch_on_odd_heavy_is_fair_by_busy_time_and_avoids_all_waits() -> None:
    """The next message goes to a free worker, so none is held and both are always busy."""
    found = metrics.figures(odd_heavy(fair=True), [W1, W2])

    assert found.jain_busy > 0.98
    assert found.avoidable_wait_total_s == found.held_wait_total_s == 0.0
    assert found.longest_avoidable_waits == ()
    assert found.ratio < 1.2


def test_jain_is_computed_over_slots() -> None:
    """Three slots that ran one task each have equal shares, although two of them belong to one worker."""
    attempts = [ran("t1", "w1", 0, 0, 4), ran("t2", "w1", 0, 0, 4), ran("t3", "w2", 0, 0, 4)]

    found = metrics.figures(attempts, [Worker(name="w1", slots=2, queues=("q",)), W2])

    assert (found.jain_busy, found.jain_counts) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("shares", "index"), [([], 1.0), ([0, 0], 1.0), ([3, 3, 3], 1.0), ([5, 0, 0, 0], 0.25), ([1, 2], 0.9)]
)
def test_jain_is_one_for_equal_shares_and_one_nth_for_a_single_share(shares: list[float], index: float) -> None:
    """(1 + 2)² / (2 · (1 + 4)) = 0.9."""
    assert metrics.jain(shares) == index


def test_percentiles_are_measured_values() -> None:
    """Of the values 1 to 200, 50 per cent do not exceed 100, and 99 per cent do not exceed 198."""
    found = metrics.distribution(range(200, 0, -1))

    assert found == metrics.Distribution(count=200, mean=100.5, p50=100, p95=190, p99=198, max=200)


def test_broker_wait_ends_at_the_receipt_and_held_wait_at_the_start() -> None:
    """Sent at 0, received at 3, started at 7, finished at 9; the run time is that of the pool's clock."""
    found = metrics.figures([ran("t", "w1", 3, 7, 9, runtime_s=1.9)], [W1])

    assert (found.broker_wait.max, found.held_wait.max, found.run_time.max) == (3, 4, 1.9)
    assert (found.makespan_s, found.throughput_per_s) == (9, 1 / 9)


def test_wait_until_the_eta_is_neither_held_nor_avoidable() -> None:
    """With a worker from 1 to 12 and an ETA of 10: two seconds are held, and avoidable because w2 is free."""
    attempts = [
        ran("busy", "w1", 0, 0, 12),
        ran("due", "w1", 1, 12, 13, eta=10.0),
        ran("before", "w2", 0, 0, 1),
    ]

    found = metrics.figures(attempts, [W1, W2])

    assert (found.eta_wait.count, found.eta_wait.max) == (1, 10)
    assert found.held_wait_total_s == 2
    assert metrics.avoidable_waits(attempts, [W1, W2]) == [0, 2, 0]
    assert [one.idle_while_backlog_s for one in found.workers] == [0, 2]


def test_broker_wait_of_a_delayed_message_begins_at_its_eta() -> None:
    """Sent at 0, due at 10, received at 13."""
    found = metrics.figures([ran("t", "w1", 13, 13, 14, eta=10.0)], [W1])

    assert (found.broker_wait.max, found.held_wait.max, found.eta_wait.max) == (3, 0, 10)


def test_free_worker_of_another_queue_does_not_make_a_wait_avoidable() -> None:
    """It could not have taken the message."""
    attempts = [
        ran("t1", "w1", 0, 0, 5),
        ran("t2", "w1", 0, 5, 6),
        ran("t3", "w2", 0, 0, 1, queue="other"),
    ]

    found = metrics.figures(attempts, [W1, Worker(name="w2", slots=1, queues=("other",))])

    assert found.avoidable_wait_total_s == 0
    assert [one.idle_while_backlog_s for one in found.workers] == [0, 0]


def test_workers_without_a_record_are_inferred_from_their_attempts() -> None:
    """Without records and without `task-sent` events, as Celery does by default: w1 ran two at once, w2 one."""
    attempts = [
        ran("t1", "w1", 0, 0, 5, queue=None),
        ran("t2", "w1", 0, 1, 5, queue=None),
        ran("t3", "w1", 0, 5, 6, queue=None),
        ran("t4", "w2", 0, 0, 2, queue=None),
    ]

    assert [one.slots for one in metrics.figures(attempts, []).workers] == [2, 1]
    # t2: w2 was busy until 2. t3 waited from 0 to 5, and w2 was free from 2 on.
    assert metrics.avoidable_waits(attempts, []) == [0, 0, 3, 0]


def test_attempt_of_an_unknown_queue_needs_a_worker_of_all_queues_of_its_own() -> None:
    """w1 serves two queues. w2 serves one of them and perhaps could not take the message; w3 serves both."""
    attempts = [
        ran("t1", "w1", 0, 0, 9, queue=None),
        ran("t2", "w1", 0, 9, 10, queue=None),
        ran("t3", "w2", 0, 0, 1),
    ]
    both = Worker(name="w1", slots=1, queues=("q", "r"))
    third = Worker(name="w3", slots=1, queues=("r", "q", "s"))

    assert metrics.avoidable_waits(attempts, [both, W2]) == [0, 0, 0]
    assert metrics.avoidable_waits([*attempts, ran("t4", "w3", 4, 4, 5, queue="s")], [both, W2, third])[1] == 4


def test_worker_is_not_free_before_its_first_event() -> None:
    """w2 came at 6 and ended its first task at 7: only the wait after 7 was avoidable."""
    attempts = [ran("t1", "w1", 0, 0, 9), ran("t2", "w1", 0, 9, 10), ran("t3", "w2", 6, 6, 7)]

    assert metrics.avoidable_waits(attempts, [W1, W2]) == [0, 2, 0]


def test_worker_that_died_is_not_free_until_its_next_event() -> None:
    """w2, with two slots, sent its last event before the loss at 1, and its next one at 7."""
    lost = ran("t3", "w2", 0, 1, 0, state="lost")
    attempts = [
        ran("t1", "w1", 0, 0, 9),
        ran("t2", "w1", 0, 9, 10),
        Attempt(**{**vars(lost), "finished": None}),
        ran("t3", "w3", 4, 4, 10, number=1, redelivered=True),
        ran("t4", "w2", 7, 7, 8),
    ]
    workers = [W1, Worker(name="w2", slots=2, queues=("q",)), Worker(name="w3", slots=1, queues=("q",))]

    found = metrics.figures(attempts, workers)

    # Free: w2 from 0 to 1, no worker until 7, then w2 to the end (one of its slots runs t4).
    assert metrics.avoidable_waits(attempts, workers)[1] == 1 + (9 - 7)
    assert found.redelivered == 1
    # It ran from 1 until it was delivered again at 4, and t4.
    assert [one.busy_s for one in found.workers] == [10, 3 + 1, 6]
    # It was there from 0 to 1, at t3 until 4, and from 7 to 10.
    assert found.workers[1].utilisation == 4 / (2 * 7)


def test_returned_attempt_was_held_until_it_was_delivered_again() -> None:
    """w1 held it from 1 to 6 and returned it. The second delivery did not wait in the broker in that time."""
    attempts = [
        Attempt(task_id="t", state="returned", queue="q", worker="w1", sent=0.0, received=1.0),
        ran("t", "w2", 6, 6, 8, number=1, redelivered=True),
    ]

    found = metrics.figures(attempts, [W1, W2])

    assert (found.tasks, found.attempts, found.succeeded, found.redelivered) == (1, 2, 1, 1)
    assert found.held_wait_total_s == 5
    assert (found.broker_wait.count, found.broker_wait.max, found.broker_wait.mean) == (2, 1, 0.5)


def test_lost_work_counts_as_busy_and_not_in_the_ideal() -> None:
    """A worker ran it from 1 until the redelivery at 6. It was busy, but none of that work was needed."""
    attempts = [ran("t", "w1", 0, 1, 6, state="lost"), ran("t", "w2", 6, 6, 8, number=1, redelivered=True)]

    found = metrics.figures(attempts, [W1, W2])

    assert [one.busy_s for one in found.workers] == [5, 2]
    assert (found.run_time.count, found.ideal_s, found.makespan_s) == (1, 2, 8)


def test_worker_that_replaces_a_dead_one_adds_no_slot_to_the_ideal() -> None:
    """Two workers were present at any time, so 8 s of needed work share two slots and not three."""
    attempts = [
        Attempt(task_id="a", state="lost", queue="q", worker="w1", sent=0.0, received=0.0, started=0.0),
        ran("b", "w2", 0.0, 0.0, 4.0),
        ran("a", "w2", 4.0, 4.0, 6.0, number=1, redelivered=True),
        ran("c", "w3", 4.5, 4.5, 6.5),
    ]

    found = metrics.figures(attempts, [W1, W2, Worker(name="w3", slots=1, queues=("q",))])

    assert len(found.workers) == 3
    assert found.ideal_s == 8.0 / 2


def test_retry_waits_from_its_own_publish() -> None:
    """The first try asked for a retry at 2, which was published at 2 and received at 5."""
    attempts = [ran("t", "w1", 0, 0, 2, state="retried"), ran("t", "w1", 5, 5, 6, number=1, retries=1, sent=2.0)]

    found = metrics.figures(attempts, [W1])

    assert (found.tasks, found.succeeded, found.broker_wait.max) == (1, 1, 3)
    assert found.ideal_s == 3


def test_attempts_that_have_not_ended_count_up_to_the_end_of_the_record() -> None:
    """The record ends at 9: one attempt runs, one is held by its worker, one is in the broker; w2 is idle."""
    running = Attempt(task_id="t1", state="started", queue="q", worker="w1", sent=0.0, received=0.0, started=1.0)
    held = Attempt(task_id="t2", state="received", queue="q", worker="w1", sent=0.0, received=2.0)
    waiting = Attempt(task_id="t3", state="sent", queue="q", sent=5.0)
    attempts = [running, held, waiting, ran("t4", "w2", 0, 0, 4), ran("t5", "w2", 8, 8, 9)]

    found = metrics.figures(attempts, [W1, W2])

    # w2 was free from 4 to 8.
    assert metrics.avoidable_waits(attempts, [W1, W2]) == [0, 4, 0, 0, 0]
    assert found.held_wait.max == 7
    assert found.broker_wait.max == 8
    assert [one.busy_s for one in found.workers] == [8, 5]
    assert found.run_time.count == 2


def test_run_time_of_a_failure_is_from_its_start_to_its_end() -> None:
    """Celery reports the run time only of a success."""
    found = metrics.figures([ran("t", "w1", 0, 1, 4, state="failed")], [W1])

    assert (found.failed, found.succeeded, found.run_time.max, found.ideal_s) == (1, 0, 3, 3)


def test_times_in_reverse_order_give_no_wait() -> None:
    """By skew it was received before it was sent, and started before it was received."""
    found = metrics.figures([ran("t", "w1", 4, 3, 6, sent=5.0)], [W1])

    assert (found.broker_wait.max, found.held_wait.max, found.makespan_s) == (0, 0, 1)


def test_worker_without_attempts_counts_if_it_serves_the_queue() -> None:
    """All work on one of two workers has an index of 1/2; a worker of another run's queue does not count."""
    other = Worker(name="w3", slots=8, queues=("another run's",))

    found = metrics.figures([ran("t", "w1", 0, 0, 4)], [W1, W2, other])

    assert [(one.name, one.tasks, one.utilisation) for one in found.workers] == [("w1", 1, 1), ("w2", 0, 0)]
    assert (found.jain_busy, found.jain_counts) == (0.5, 0.5)
    assert found.ideal_s == 4


def test_makespan_begins_with_the_first_receipt_if_no_publish_is_known() -> None:
    """Celery sends `task-sent` events only with a setting."""
    found = metrics.figures([ran("t", "w1", 2, 3, 6, sent=None)], [W1])

    assert (found.makespan_s, found.broker_wait.count, found.held_wait.max) == (4, 0, 1)


def test_figures_of_no_attempts_are_zero_and_jain_is_one() -> None:
    """A journal may be empty."""
    found = metrics.figures([], [W1])

    assert (found.tasks, found.makespan_s, found.ratio, found.throughput_per_s, found.workers) == (0, 0, 0, 0, ())
    assert found.held_wait == metrics.Distribution(count=0, mean=0, p50=0, p95=0, p99=0, max=0)
    assert (found.jain_busy, found.longest_avoidable_waits) == (1, ())
    assert metrics.lanes([], [W1]) == []


def test_attempt_is_in_the_lane_of_the_first_free_slot() -> None:
    """t3 follows t2, which ended first; an attempt that never started is in the lane that was free when it ended."""
    two = Worker(name="w1", slots=2, queues=("q",))
    t1, t2, t3 = ran("t1", "w1", 0, 0, 9), ran("t2", "w1", 0, 1, 4), ran("t3", "w1", 0, 4, 6)
    revoked = Attempt(task_id="t4", state="revoked", queue="q", worker="w1", sent=0.0, received=2.0, finished=8.0)

    assert metrics.lanes([t3, revoked, t1, t2], [two, W2]) == [
        metrics.Lane(worker="w1", slot=0, attempts=(t1,)),
        metrics.Lane(worker="w1", slot=1, attempts=(t2, t3, revoked)),
        metrics.Lane(worker="w2", slot=0, attempts=()),
    ]


def test_slot_is_free_at_the_moment_its_task_ends() -> None:
    """A task that starts when another one ends is in the same lane."""
    t1, t2 = ran("t1", "w1", 0, 0, 4), ran("t2", "w1", 4, 4, 5)

    found = metrics.lanes([t1, t2], [Worker(name="w1", slots=2, queues=("q",))])

    assert [lane.attempts for lane in found] == [(t1, t2), ()]


@pytest.mark.timeout(20)
def test_figures_of_many_attempts_do_not_take_quadratic_time() -> None:
    """20,000 held attempts take less than a second; comparing each pair of them would take minutes."""
    attempts = [ran(str(number), f"w{number % 2 + 1}", 0, number, number + 1) for number in range(20_000)]

    assert metrics.figures(attempts, [W1, W2]).attempts == 20_000


def test_attempts_of_a_live_run_count_up_to_now() -> None:
    """Makespan, ideal and held wait of a run that goes on are those so far."""
    running = Attempt(task_id="r", state="started", queue="q", worker="w1", sent=0.0, received=0.0, started=0.0)
    held = Attempt(task_id="h", state="received", queue="q", worker="w1", sent=0.0, received=0.0)

    recorded = metrics.figures([running, held], [W1, W2])
    live = metrics.figures([running, held], [W1, W2], until=10.0)

    assert (recorded.makespan_s, recorded.ideal_s, recorded.avoidable_wait_total_s) == (0.0, 0.0, 0.0)
    # w2 has no attempts, so it is not known since when it is present.
    assert (live.makespan_s, live.ideal_s, live.held_wait_total_s, live.avoidable_wait_total_s) == (
        10.0,
        10.0,
        10.0,
        0.0,
    )
    assert [one.busy_s for one in live.workers] == [10.0, 0.0]
