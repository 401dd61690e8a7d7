"""The stages of a pipeline: the base class of their tasks, and what the lab knows about ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from celery import Celery
from celery.exceptions import Reject

from proj import settings
from proj.celery import app
from proj.delivery.stage import Stage, output_id
from proj.errors import InvalidMessage, InvalidSetting, QueueFull, Unconfirmed, Unroutable
from proj.lab.processes.process import Process
from proj.lab.runs.pipeline_stages import STAGES, Printed, chosen_workers, doubled, ids_by_stage, lost, printed
from proj.tasks import printer, to_upper

if TYPE_CHECKING:
    from pathlib import Path


class Following:
    """A signature that records its options, or raises instead of being published."""

    task = "following"

    def __init__(self, text: str, sent: list[tuple[str, dict[str, Any]]], outcome: Exception | None) -> None:
        self.text, self.sent, self.outcome = text, sent, outcome

    def apply_async(self, **options: Any) -> None:
        if self.outcome is not None:
            raise self.outcome
        self.sent.append((self.text, options))


def handing_on(outcome: Exception | None = None) -> tuple[Any, list[tuple[str, dict[str, Any]]]]:
    """A stage that hands each word on, with its outputs; or a stage whose publishes raise `outcome`."""
    theirs = Celery("theirs", set_as_current=False)
    sent: list[tuple[str, dict[str, Any]]] = []

    @theirs.task(base=Stage, bind=True, name="stage", shared=False)  # type: ignore[untyped-decorator] # Celery has no types
    def stage(self: Any, text: str) -> None:
        for word in text.split():
            self.hand_on(Following(word, sent, outcome))

    return stage, sent


def run(stage: Any, text: str, **request: Any) -> None:
    stage.push_request(**request)
    try:
        stage.run(text)
    finally:
        stage.pop_request()


def test_stage_that_runs_again_hands_on_the_same_ids() -> None:
    """Duplicates can be seen by it. Each output of an input has another id, and so has each input."""
    stage, sent = handing_on()

    for input_id in ("first", "first", "second"):
        run(stage, "one two", id=input_id, reply_to="caller", ignore_result=False)

    ids = [options["task_id"] for _, options in sent]
    assert ids[:2] == ids[2:4]
    assert len(set(ids)) == 4
    assert all(str(UUID(one)) == one for one in ids)
    assert ids[1] == output_id("first", "following", 1)
    assert [text for text, _ in sent[:2]] == ["one", "two"]
    assert {options["reply_to"] for _, options in sent} == {"caller"}


def test_outputs_of_different_stages_have_different_ids_for_the_same_input() -> None:
    """Two stages after the same stage must not hand on the same ids."""
    assert output_id("x", "proj.tasks.printer") != output_id("x", "proj.tasks.to_upper")
    assert output_id("x", "proj.tasks.printer") == output_id("x", "proj.tasks.printer", 0)


@pytest.mark.parametrize("passing", [Unconfirmed("not confirmed"), QueueFull("full")])
def test_stage_requeues_its_input_when_its_output_is_not_confirmed(passing: Exception) -> None:
    """It is not the fault of the input, which waits in its own queue."""
    stage, _ = handing_on(passing)

    with pytest.raises(Reject) as raised:
        run(stage, "one", id="x")

    assert raised.value.requeue
    assert raised.value.reason == str(passing)


def test_stage_fails_when_its_output_is_unroutable() -> None:
    """It raises the error and does not requeue its input, because another attempt would fail too."""
    stage, _ = handing_on(Unroutable("no queue"))

    with pytest.raises(Unroutable):
        run(stage, "one", id="x")


@pytest.mark.parametrize("handed", ["text", printer, {"task": "following"}, None])
def test_hand_on_refuses_what_is_no_signature(handed: object) -> None:
    """The error shows what it was given and an example; nothing counts as handed on."""
    theirs = Celery("theirs", set_as_current=False)

    @theirs.task(base=Stage, bind=True, name="wrong", shared=False)  # type: ignore[untyped-decorator] # Celery has no types
    def wrong(self: Any) -> None:
        self.hand_on(handed)

    with pytest.raises(TypeError, match=r"hand_on takes a signature, such as printer\.s\(text\), but was given .*\."):
        wrong()
    assert not vars(wrong.request).get("proj_handed_on")


def test_stage_acknowledges_late_in_every_dispatch_mode() -> None:
    """Early acknowledgement would lose the input of a killed stage; a failed input is rejected and dead-lettered."""
    for task in (to_upper, printer):
        assert (task.acks_late, task.reject_on_worker_lost) == (True, True)
        assert (task.acks_on_failure, task.acks_on_timeout) == (False, False)


@pytest.mark.parametrize("stage", [to_upper, printer])
def test_stage_refuses_a_message_that_is_no_text(stage: Any) -> None:
    """Before it works or hands anything on."""
    with pytest.raises(InvalidMessage, match="A message must be a text"):
        stage(7)


def test_every_stage_has_a_queue_that_default_workers_do_not_consume() -> None:
    """A worker without `-Q` consumes the work queue only."""
    default = {queue.name for queue in settings.task_queues}

    assert {stage.task: {"queue": stage.queue} for stage in STAGES} == settings.task_routes
    assert not default & {stage.queue for stage in STAGES}
    assert all(isinstance(app.tasks[stage.task], Stage) for stage in STAGES)
    assert len({stage.letter for stage in STAGES}) == len(STAGES)


def test_stages_have_one_worker_each_by_default() -> None:
    """In the order of the stages, in whatever order they are given."""
    assert chosen_workers([]) == {"to_upper": 1, "printer": 1}
    assert list(chosen_workers(["printer=999", "to_upper=3"]).items()) == [("to_upper", 3), ("printer", 999)]


def test_stage_that_is_given_twice_is_refused() -> None:
    """It is not clear which of the two numbers is meant."""
    with pytest.raises(InvalidSetting, match="--stage is 'printer=3', but must be given once for printer, which has 2"):
        chosen_workers(["printer=2", "printer=3"])


@pytest.mark.parametrize(
    "word", ["reader=1", "printer=0", "printer", "printer=two", "printer=-1", "=2", "printer=1000"]
)
def test_invalid_number_of_workers_is_refused(word: str) -> None:
    """The error names the stages and the largest number."""
    allowed = "NAME=WORKERS, such as printer=2, of to_upper, printer, with 1 to 999 workers"
    with pytest.raises(InvalidSetting, match=allowed):
        chosen_workers([word])


def test_ids_of_each_stage_are_in_the_order_of_the_messages() -> None:
    """The lab knows beforehand which id a message has at the printer."""
    ids = ids_by_stage(["a", "b"])

    assert ids == {"to_upper": ["a", "b"], "printer": [output_id("a", printer.name), output_id("b", printer.name)]}


@pytest.fixture
def logs(tmp_path: Path) -> list[Process]:
    """The logs of two printers that have ended."""
    line = "[2026-11-21 10:00:0{}: INFO/ForkPoolWorker-1] proj.tasks.{}[{}]: {}"
    texts = {
        "P1": [
            line.format("1,500", "printer", "a", "P1: GOODBYE"),
            "[2026-11-21 10:00:01,501: INFO/ForkPoolWorker-1] Task proj.tasks.printer[a] succeeded in 2.0s: 'GOODBYE'",
            line.format("3,500", "printer", "c", "P1: [b]: WORLD"),
        ],
        "P2": [
            line.format("2,500", "printer", "b", "P2: CRUEL"),
            line.format("2,600", "to_upper", "x", "P2: nothing"),
        ],
    }
    for node, lines in texts.items():
        (tmp_path / node).write_text("\n".join(lines) + "\n")
    made = []
    for node in texts:
        process = Process.__new__(Process)
        process.log = tmp_path / node
        made.append(process)
    return made


def test_printed_lines_are_those_of_the_last_stage_in_the_order_of_time(logs: list[Process]) -> None:
    """They are read from the workers' logs, because events can be lost."""
    assert [(each.line, each.task_id) for each in printed(logs)] == [
        ("P1: GOODBYE", "a"),
        ("P2: CRUEL", "b"),
        ("P1: [b]: WORLD", "c"),
    ]


def test_unprinted_message_is_lost_and_one_that_was_printed_twice_is_doubled(logs: list[Process]) -> None:
    """They are told apart by their ids, because two messages may have the same text."""
    lines = [*printed(logs), Printed(time="2026-11-21 10:00:09,000", line="P2: GOODBYE", task_id="a")]
    expected = {"a": "goodbye", "b": "cruel", "c": "world", "d": "goodbye"}

    assert lost(expected, lines) == ["goodbye"]
    assert doubled(expected, lines) == ["goodbye"]
    assert (lost(expected, []), doubled(expected, [])) == (["goodbye", "cruel", "world", "goodbye"], [])
