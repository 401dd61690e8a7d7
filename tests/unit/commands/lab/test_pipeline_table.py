"""What `celery -A proj lab pipeline` prints about a run."""

from __future__ import annotations

from dataclasses import replace

import click
import pytest

from proj.commands.lab import pipeline_table
from proj.journal.attempt import Attempt
from proj.lab.runs.pipeline import PipelineOutcome, PipelineSetup
from proj.lab.runs.pipeline_stages import Printed

SETUP = PipelineSetup(messages=("hello", "world"), workers={"to_upper": 1, "printer": 1})


def attempt(stage: str, word: str, started: float, finished: float) -> Attempt:
    return Attempt(
        task_id=f"{stage} {word}",
        state="succeeded",
        queue=stage,
        worker=f"{stage[0].upper()}1@run",
        sent=0.0,
        started=started,
        finished=finished,
    )


def outcome(lost: tuple[str, ...] = (), doubled: tuple[str, ...] = ()) -> PipelineOutcome:
    return PipelineOutcome(
        attempts={
            "to_upper": [attempt("to_upper", "hello", 0.0, 1.0), attempt("to_upper", "world", 1.0, 2.0)],
            "printer": [attempt("printer", "hello", 1.0, 3.0), attempt("printer", "world", 3.0, 5.0)],
        },
        workers=(),
        slots=SETUP.workers,
        ids=[(f"to_upper {word}", f"printer {word}") for word in SETUP.messages],
        printed=[
            Printed(time=str(number), line=f"P1: {word.upper()}", task_id=f"printer {word}")
            for number, word in enumerate(SETUP.messages)
        ],
        lost=lost,
        doubled=doubled,
    )


def test_pipeline_shows_timeline_figures_and_what_was_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this order."""
    monkeypatch.setattr(pipeline_table, "_run_aside", lambda *_: outcome())

    pipeline_table.show_pipeline(SETUP, output=None, as_json=False)

    shown = capsys.readouterr().out
    assert "  T1 " + 12 * "1" + 12 * "2" + 36 * "·" in shown
    assert "1 hello  2 world" in shown
    assert "2 messages in 5.00 s; the least that these workers could reach is 5.00 s." in shown
    assert "2 workers would keep up with to_upper." in shown
    assert shown.endswith("P1: HELLO\nP1: WORLD\n")


def test_pipeline_of_one_message_is_described_in_the_singular(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says 1 message."""
    one = replace(
        outcome(), attempts={stage: own[:1] for stage, own in outcome().attempts.items()}, ids=outcome().ids[:1]
    )
    monkeypatch.setattr(pipeline_table, "_run_aside", lambda *_: one)

    pipeline_table.show_pipeline(replace(SETUP, messages=("hello",)), output=None, as_json=False)

    assert "\n1 message in 3.00 s; " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"lost": ("world",)}, "Lost: world"), ({"doubled": ("hello",)}, "Printed more than once: hello")],
)
def test_pipeline_that_lost_or_repeated_a_message_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], wrong: dict[str, tuple[str, ...]], said: str
) -> None:
    """The exit code is 1, and the messages are named."""
    monkeypatch.setattr(pipeline_table, "_run_aside", lambda *_: outcome(**wrong))

    with pytest.raises(click.exceptions.Exit) as ended:
        pipeline_table.show_pipeline(SETUP, output=None, as_json=True)

    assert ended.value.exit_code == 1
    assert said in capsys.readouterr().err
