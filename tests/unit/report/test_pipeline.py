"""Figures, timeline and verdict of a pipeline, from runs that are made up."""

from __future__ import annotations

import pytest

from proj import metrics
from proj.journal.attempt import Attempt
from proj.metrics.stages import TOLERANCE
from proj.report.pipeline import FURTHER, SIGNS, legend, signs, stages_table, timeline, verdict

#: Seconds of work of each stage for a message, as in the tutorial.
SERVICE_S = {"to_upper": 1.0, "printer": 2.0}
WORDS = ["goodbye", "cruel", "world", "I", "am", "leaving", "you", "today"]


def pipeline(
    workers: dict[str, int], *, service_s: dict[str, float] | None = None, messages: int = len(WORDS)
) -> dict[str, list[Attempt]]:
    """The attempts of messages that are published at 0: each stage gives the next one to its first free worker."""
    ready = [0.0] * messages
    attempts: dict[str, list[Attempt]] = {}
    for stage, work_s in (service_s or SERVICE_S).items():
        free = [0.0] * workers[stage]
        attempts[stage] = []
        for number, sent in enumerate(ready):
            place = free.index(min(free))
            began = max(free[place], sent)
            free[place] = ready[number] = began + work_s
            attempts[stage].append(
                Attempt(
                    task_id=f"{stage} {number}",
                    state="succeeded",
                    queue=stage,
                    worker=f"{stage[0].upper()}{place + 1}@run",
                    sent=sent,
                    received=began,
                    started=began,
                    finished=ready[number],
                    runtime_s=work_s,
                )
            )
        ready.sort()
    return attempts


def figures(**workers: int) -> metrics.PipelineFigures:
    return metrics.pipeline_figures(pipeline(workers), slots=workers)


@pytest.mark.parametrize(
    ("printers", "makespan_s", "bottlenecks", "balanced"),
    [
        # One printer does half of what arrives; two keep pace; three are one too many, unless to_upper has two.
        (1, 17.0, ("printer",), (1, 2)),
        (2, 10.0, ("to_upper", "printer"), (1, 2)),
        (3, 10.0, ("to_upper",), (2, 2)),
    ],
)
def test_bottleneck_depends_on_the_number_of_printers(
    printers: int, makespan_s: float, bottlenecks: tuple[str, ...], balanced: tuple[int, int]
) -> None:
    """A stage of one second feeds a stage of two: twice as many workers balance it, as in the tutorial."""
    found = figures(to_upper=1, printer=printers)

    assert found.makespan_s == pytest.approx(makespan_s)
    assert found.bottlenecks == bottlenecks
    assert tuple(stage.balanced_slots for stage in found.stages) == balanced
    assert found.is_balanced == (printers == 2)
    assert found.throughput_per_s == pytest.approx(8 / makespan_s)
    assert [stage.capacity_per_s for stage in found.stages] == pytest.approx([1.0, printers / 2])
    assert [stage.utilisation for stage in found.stages] == pytest.approx(
        [8 / makespan_s, 16 / (printers * makespan_s)]
    )


@pytest.mark.parametrize("printers", [1, 2, 3])
def test_ideal_is_the_makespan_of_a_pipeline_without_avoidable_waits(printers: int) -> None:
    """It contains the time to fill the stages before the bottleneck and to empty those after it."""
    found = figures(to_upper=1, printer=printers)

    assert found.ideal_s == pytest.approx(found.makespan_s)


def test_capacities_within_the_tolerance_count_as_equal() -> None:
    """A measured second is never exactly one; this does not ask for a third printer."""
    nearly = {"to_upper": 1.0, "printer": 2.0 * (1 + TOLERANCE / 2)}
    workers = {"to_upper": 1, "printer": 2}

    found = metrics.pipeline_figures(pipeline(workers, service_s=nearly), slots=workers)

    assert found.is_balanced
    assert [stage.balanced_slots for stage in found.stages] == [1, 2]


def test_stage_that_gets_several_messages_for_each_needs_more_slots() -> None:
    """The demand of a stage is its work for one message that enters the pipeline."""
    attempts = pipeline({"to_upper": 1, "printer": 1}, service_s={"to_upper": 1.0, "printer": 0.5})
    again = [
        Attempt(task_id=f"{one.task_id} more", state="succeeded", worker=one.worker, runtime_s=one.runtime_s)
        for one in attempts["printer"]
        for _ in range(2)
    ]
    attempts["printer"] += again

    found = metrics.pipeline_figures(attempts, slots={"to_upper": 1, "printer": 1})

    assert found.bottlenecks == ("printer",)
    assert (found.stages[1].service_s, found.stages[1].demand_s) == pytest.approx((0.5, 1.5))
    assert found.stages[1].balanced_slots == 2


def test_verdict_tells_the_bottleneck_and_the_workers_that_balance_it() -> None:
    """There are too few printers, enough, and too many."""
    few, enough, many = (verdict(figures(to_upper=1, printer=printers)) for printers in (1, 2, 3))

    assert few == (
        "The bottleneck is printer: with 1 worker it can do 0.50/s, to_upper 1.00/s; "
        "2 workers would keep up with to_upper."
    )
    assert enough == "The stages keep pace: to_upper can do 1.00/s, printer can do 1.00/s."
    assert many == (
        "The bottleneck is to_upper: with 1 worker it can do 1.00/s, printer 1.50/s; "
        "2 workers would keep up with printer. Otherwise 2 of the 3 workers of printer are enough."
    )


def test_verdict_on_a_pipeline_without_work_names_no_bottleneck() -> None:
    """No message came through."""
    found = metrics.pipeline_figures({"to_upper": [], "printer": []}, slots={"to_upper": 1, "printer": 1})

    assert (found.bottlenecks, found.is_balanced, found.ideal_s) == ((), False, 0.0)
    assert verdict(found) == "Not every stage has done work."
    assert stages_table(found).rows[-1][2] == "0"


def test_timeline_has_the_same_sign_for_a_message_in_every_stage() -> None:
    """P1 and P2 alternate."""
    workers = {"to_upper": 1, "printer": 2}
    attempts = pipeline(workers)
    marks = signs(
        [(one.task_id, other.task_id) for one, other in zip(attempts["to_upper"], attempts["printer"], strict=True)]
    )

    lines = timeline({stage: metrics.lanes(own, ()) for stage, own in attempts.items()}, marks)

    assert lines == [
        "to_upper",
        "  T1 " + "".join(6 * str(number) for number in range(1, 9)) + 12 * "·",
        "printer",
        "  P1 " + 6 * "·" + "".join(12 * str(number) for number in (1, 3, 5, 7)) + 6 * "·",
        "  P2 " + 12 * "·" + "".join(12 * str(number) for number in (2, 4, 6, 8)),
        "     0" + "10.0 s".rjust(59),
    ]


def test_timeline_marks_failures_losses_and_missing_ends() -> None:
    """A failure and a loss have signs of their own; an attempt without an end lasts to the right edge."""
    lost = Attempt(task_id="a", state="lost", worker="P1@run", queue="q", started=0.0, finished=2.0)
    failed = Attempt(task_id="b", state="failed", worker="P2@run", queue="q", started=0.0, finished=6.0)
    open_ended = Attempt(task_id="c", state="started", worker="P3@run", queue="q", started=3.0)
    never = Attempt(task_id="d", state="sent", queue="q", sent=0.0)

    stage = timeline({"printer": metrics.lanes([lost, failed, open_ended, never], ())}, {"c": "3"})

    assert [line[5:] for line in stage[1:4]] == [
        20 * "\N{MULTIPLICATION SIGN}" + 40 * "·",
        60 * "!",
        30 * "·" + 30 * "3",
    ]


def test_messages_beyond_the_signs_share_one_sign() -> None:
    """Sixty-one messages have one each; a long legend is cut."""
    many = [(str(number),) for number in range(len(SIGNS) + 1)]

    assert signs(many)[str(len(SIGNS))] == FURTHER
    assert legend(WORDS) == "1 goodbye  2 cruel  3 world  4 I  5 am  6 leaving  7 you  8 today"
    assert len(legend(["word"] * len(many))) == 100
    assert legend(["word"] * len(many)).endswith("…")
