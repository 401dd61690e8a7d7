"""A pipeline's figures, its timeline and its verdict, from runs that are made by hand."""

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
    """What becomes of messages that are all there at 0: each stage gives the next one to whoever is free first."""
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
        # One printer does half as many as arrive; two keep pace; of three one is too many, and two writers fed them.
        (1, 17.0, ("printer",), (1, 2)),
        (2, 10.0, ("to_upper", "printer"), (1, 2)),
        (3, 10.0, ("to_upper",), (2, 2)),
    ],
)
def test_bottleneck_of_the_tutorials_pipeline_moves_with_the_number_of_printers(
    printers: int, makespan_s: float, bottlenecks: tuple[str, ...], balanced: tuple[int, int]
) -> None:
    """A stage of one second feeds one of two: twice as many workers balance it, as the tutorial says."""
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
def test_ideal_of_a_pipeline_is_reached_by_one_that_never_waits_without_need(printers: int) -> None:
    """Filling the stages before the bottleneck and emptying those after it take their time; it is never more."""
    found = figures(to_upper=1, printer=printers)

    assert found.ideal_s == pytest.approx(found.makespan_s)


def test_capacities_that_differ_by_what_publishing_costs_are_alike() -> None:
    """A measured second is never exactly one: no third printer is asked for because of it."""
    nearly = {"to_upper": 1.0, "printer": 2.0 * (1 + TOLERANCE / 2)}
    workers = {"to_upper": 1, "printer": 2}

    found = metrics.pipeline_figures(pipeline(workers, service_s=nearly), slots=workers)

    assert found.is_balanced
    assert [stage.balanced_slots for stage in found.stages] == [1, 2]


def test_stage_that_gets_several_messages_for_each_needs_as_many_times_its_slots() -> None:
    """What counts is the work that each message of the whole pipeline costs a stage, not that of one of its own."""
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


def test_verdict_says_in_words_what_to_change() -> None:
    """Too few printers, as many as needed, and too many."""
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


def test_verdict_on_a_pipeline_that_did_nothing_invents_nothing() -> None:
    """No message came through: no stage is called slow or quick."""
    found = metrics.pipeline_figures({"to_upper": [], "printer": []}, slots={"to_upper": 1, "printer": 1})

    assert (found.bottlenecks, found.is_balanced, found.ideal_s) == ((), False, 0.0)
    assert verdict(found) == "Not every stage has done work."
    assert stages_table(found).rows[-1][2] == "0"


def test_timeline_shows_a_message_by_the_same_sign_in_every_stage() -> None:
    """One can follow it with a finger; P1 and P2 take turns."""
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


def test_timeline_marks_what_did_not_end_well_and_what_has_no_end() -> None:
    """A failure and a loss have signs of their own; what nobody heard the end of goes on to the edge."""
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


def test_signs_run_out_and_say_so() -> None:
    """Sixty-one messages have one each; the legend is cut, not wrapped."""
    many = [(str(number),) for number in range(len(SIGNS) + 1)]

    assert signs(many)[str(len(SIGNS))] == FURTHER
    assert legend(WORDS) == "1 goodbye  2 cruel  3 world  4 I  5 am  6 leaving  7 you  8 today"
    assert len(legend(["word"] * len(many))) == 100
    assert legend(["word"] * len(many)).endswith("…")
