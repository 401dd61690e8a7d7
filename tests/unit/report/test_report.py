"""The document of a report and its forms, from runs that are made up."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from proj.errors import ProjError
from proj.journal.attempt import Attempt
from proj.journal.records import Action, Gap, Run, Sample, Worker
from proj.metrics import Record
from proj.report.document import MeasuredRun, document, document_of_runs, workers_of
from proj.report.page import as_page
from proj.report.text import MAX_WIDTH, as_text
from tests.unit.report.kept_in_memory import BEGAN, MESSAGES, Kept, both, dispatched


def rows(document_table: dict[str, list[list[str]]]) -> dict[str, list[str]]:
    return {row[0]: list(row[1:]) for row in document_table["rows"]}


def test_document_has_the_figures_of_runs_side_by_side() -> None:
    """With round-robin one worker has ten seconds of work; fair dispatch shares it."""
    made = document(both(), title="run.sqlite")

    figures = rows(made["tables"]["figures"])
    assert made["tables"]["figures"]["head"] == ("", "round-robin", "fair")
    assert figures["makespan"] == ["10.0 s", "6.20 s"]
    assert figures["Jain's index, counts"][0] == "1.000"
    assert [run["figures"]["makespan_s"] for run in made["runs"]] == [10.0, 6.2]
    assert made["runs"][0]["figures"]["avoidable_wait_s"] > 15
    assert made["runs"][1]["figures"]["avoidable_wait_s"] == 0


def test_document_has_a_lane_for_each_slot_and_the_held_messages() -> None:
    """Times are seconds from the start of the run; heavy messages wait in the first worker while the second is idle."""
    run = document(both(), title="run.sqlite")["runs"][0]

    first, second = run["groups"]
    assert [bar[:3] for bar in first["lanes"][0][:2]] == [[0.0, 2.0, "running"], [2.0, 4.0, "running"]]
    assert first["held"] == {"times": [0.0, 2.0, 4.0, 6.0, 8.0], "values": [4, 3, 2, 1, 0]}
    assert max(second["held"]["values"]) == 4
    assert second["lanes"][0][-1][1] == 0.5


def test_lost_attempt_and_its_redelivery_are_bars_of_two_kinds() -> None:
    """The lost attempt lasts until the redelivery."""
    journal = dispatched("fair", (("a..", 2.0),))
    lost = replace(journal.kept[0], state="lost", finished=None, runtime_s=None)
    again = replace(journal.kept[0], number=1, redelivered=True, worker="fair-2@host")
    journal.kept = [lost, replace(again, received=BEGAN + 1, started=BEGAN + 1, finished=BEGAN + 3)]

    run = document(journal, title="j")["runs"][0]

    assert [group["lanes"][0] for group in run["groups"]] == [
        [[0.0, 1.0, "lost", "theirs.work", 1, 1, 0]],
        [[1.0, 3.0, "redelivered", "theirs.work", 1, 1, 0]],
    ]


def test_depths_are_those_that_the_broker_reported() -> None:
    """The document has ready and unacknowledged messages, and the table their peaks."""
    journal = dispatched("fair")
    journal.kept_samples = [
        Sample(time=BEGAN + second, queue="queue.fair", ready=10 - second, unacknowledged=2, consumers=2)
        for second in range(5)
    ]

    run = document(journal, title="j")["runs"][0]

    assert run["depths_source"] == "broker"
    assert run["depths"][0]["ready"] == {"times": [0.0, 1.0, 2.0, 3.0, 4.0], "values": [10, 9, 8, 7, 6]}
    assert run["depth"]["rows"] == (("queue.fair", "10", "0 s", "2"),)


def test_depths_are_counted_from_the_attempts_without_samples_of_the_broker() -> None:
    """A message waits in the broker from its publish to its receipt; the document names this source."""
    run = document(dispatched("fair"), title="j")["runs"][0]

    assert run["depths_source"] == "attempts"
    assert max(run["depths"][0]["ready"]["values"]) == 8


def test_document_of_a_hundred_thousand_attempts_is_small_and_counts_joined_bars() -> None:
    """It is less than a megabyte, and every attempt is still in a bar."""
    journal = dispatched("fair", tuple((f"message {number}", 0.01) for number in range(100_000)), nodes=4)

    made = document(journal, title="j")

    bars = [bar for group in made["runs"][0]["groups"] for lane in group["lanes"] for bar in lane]
    assert len(json.dumps(made)) < 1_000_000
    assert sum(bar[4] if len(bar) > 4 else 1 for bar in bars) == 100_000
    assert any("100,000 of 100,000 attempts are too short to be drawn alone" in note for note in made["notes"])


def test_document_names_tasks_by_their_task_names() -> None:
    """Arguments may be secret, and a report is passed on."""
    made = json.dumps(document(dispatched("round-robin", (("secret", 1.0),) * 3), title="j"))

    assert "secret" not in made
    assert "theirs.work" in made


def test_document_has_at_most_a_label_of_the_arguments_that_were_asked_for() -> None:
    """Arguments can be long."""
    journal = dispatched("round-robin", (("s" * 500, 1.0), ("s" * 500, 1.0), ("s" * 500, 1.0)))

    asked = json.dumps(document(journal, title="j", arguments=True))

    assert "sss" in asked
    assert "s" * 40 not in asked


def test_document_has_the_runs_with_the_given_names() -> None:
    """The error for a wrong name lists the runs of the journal."""
    assert [run["name"] for run in document(both(), title="j", names=["fair"])["runs"]] == ["fair"]

    with pytest.raises(ProjError, match=r"no run 'unfair' .* runs are: round-robin, fair\."):
        document(both(), title="j", names=["unfair"])


def test_run_of_the_lab_has_only_its_own_workers() -> None:
    """The lab names workers after their run; all runs of a pipeline have the same queues."""
    runs = [Run(name=name, dispatch="fair", began=BEGAN) for name in ("fair-1", "fair-2")]
    workers = [
        Worker(name=f"P{number}@{run.name}", slots=1, queues=("upper",), dispatch="fair")
        for run in runs
        for number in (1, 2)
    ]
    attempts = [
        Attempt(task_id="t", state="succeeded", queue="upper", worker="P1@fair-1", started=1.0, finished=2.0),
    ]

    assert [worker.name for worker in workers_of(runs[0], attempts, workers)] == ["P1@fair-1", "P2@fair-1"]
    of_theirs = [replace(attempts[0], worker="celery@host")]
    assert len(workers_of(runs[0], of_theirs, workers)) == len(workers)


def test_journal_without_attempts_is_refused() -> None:
    """There is nothing to draw."""
    with pytest.raises(ProjError, match=r"nothing to report in j\.sqlite"):
        document(Kept(), title="j.sqlite")


def test_attempts_of_no_run_are_reported_together() -> None:
    """A recording of a production system has no runs."""
    journal = dispatched("fair")
    journal.kept_runs, journal.kept = [], [replace(attempt, run=None) for attempt in journal.kept]

    (run,) = document(journal, title="j")["runs"]

    assert (run["name"], run["figures"]["tasks"]) == ("outside any run", 10)


def test_workers_in_adaptive_dispatch_have_what_they_held_and_gave_back() -> None:
    """Beside workers of another mode too; without any, the table has no such columns."""
    journal = both()
    first, *others = journal.kept_workers
    told = replace(first, dispatch="adaptive", window=1256, held=31, given_back=0)

    without = document(journal, title="run.sqlite")["runs"]
    journal.kept_workers = [told, *others]
    tables_of = [run["workers"] for run in document(journal, title="run.sqlite")["runs"]]

    assert [run["workers"]["head"][-1] for run in without] == ["idle while work waited"] * 2
    assert tables_of[0]["head"][-3:] == ("largest window", "most in advance", "given back")
    assert [row[-3:] for row in tables_of[0]["rows"]] == [("1,256", "31", "0"), ("", "", "")]
    assert tables_of[1] == without[1]["workers"]


def test_text_of_adaptive_workers_fits_a_terminal() -> None:
    """The table of workers is in two parts where it is too wide for one."""
    journal = dispatched("adaptive")
    journal.kept_workers = [replace(one, window=256, held=31, given_back=7) for one in journal.kept_workers]

    lines = as_text(document(journal, title="run.sqlite")).splitlines()

    assert max(map(len, lines)) <= MAX_WIDTH
    assert sum(line.startswith("Workers: adaptive") for line in lines) == 2
    rows_of_worker = [line.split()[1:] for line in lines if line.startswith("adaptive-1@host")]
    assert [row[-1] for row in rows_of_worker] == ["31", "7"]


def test_counts_of_the_whole_journal_are_called_so_beside_several_runs() -> None:
    """A worker counts for as long as it runs, and a recording may have several runs of it."""
    journal = dispatched("adaptive")
    again = [replace(one, run="again", task_id=f"{one.task_id}-again") for one in journal.kept]
    journal.kept += again
    journal.kept_workers = [replace(one, window=1, held=0, given_back=0) for one in journal.kept_workers]

    both_runs = document(journal, title="run.sqlite")
    one_run = document(journal, title="run.sqlite", names=["again"])

    of_whole = [[note for note in made["notes"] if "whole journal" in note] for made in (both_runs, one_run)]
    assert [len(notes) for notes in of_whole] == [2, 0]


def test_dead_letters_are_told_by_queue() -> None:
    """The sum of all workers, in a note and for programs; nothing where no worker counted any."""
    journal = both()
    first, second, *others = journal.kept_workers
    without = document(journal, title="run.sqlite")
    journal.kept_workers = [
        replace(first, letters=(("mail", 1200), ("media", 2))),
        replace(second, letters=(("media", 1),)),
        *others,
    ]

    made = document(journal, title="run.sqlite")

    assert ("letters" in without, list(made["letters"].items())) == (False, [("mail", 1200), ("media", 3)])
    (note,) = [note for note in made["notes"] if note not in without["notes"]]
    assert note.startswith("Workers counted 1,203 dead letters in the whole journal: 1,200 of mail, 3 of media. Those")


def test_mode_of_a_recorded_run_is_that_of_its_workers() -> None:
    """A recording knows what the workers told of their settings."""
    journal = dispatched("adaptive")
    journal.kept_runs = [replace(run, dispatch=None) for run in journal.kept_runs]
    first, second = journal.kept_workers

    def shown() -> list[str]:
        return rows(document(journal, title="run.sqlite")["tables"]["figures"])["dispatch"]

    assert shown() == ["adaptive"]
    journal.kept_workers = [first, replace(second, dispatch="fair")]
    assert shown() == ["adaptive, fair"]
    journal.kept_workers = [replace(first, dispatch=None)]
    assert shown() == ["not known"]


def test_attempts_that_have_not_ended_are_reported() -> None:
    """One runs, one is held, one is in the broker: a journal can be reported while it is recorded."""
    running, held, sent = dispatched("round-robin", MESSAGES[:3], nodes=1).kept
    journal = Kept(
        kept=[
            replace(running, state="started", finished=None, runtime_s=None),
            replace(held, state="received", started=None, finished=None, runtime_s=None),
            replace(sent, state="sent", worker=None, received=None, started=None, finished=None, sent=BEGAN + 5),
        ]
    )

    made = document(journal, title="j")

    (group,) = made["runs"][0]["groups"]
    assert group["lanes"] == [[[0.0, 5.0, "unfinished", "theirs.work", 1, 1, 0]]]
    assert group["held"] == {"times": [0.0, 5.0], "values": [1, 0]}
    assert "unfinished" in as_page(made)
    assert "makespan" in as_text(made)


def test_notes_tell_which_events_are_missing() -> None:
    """Missing events, wrong clocks and gaps have a note each."""
    journal = dispatched("fair")
    journal.kept_workers[0] = replace(journal.kept_workers[0], processed=9, started_seen=5, skew_s=-3.0)
    journal.kept_gaps = [Gap(began=BEGAN, ended=BEGAN + 2, events=None, reason="The recorder was away.")]

    missing, skew, gap = document(journal, title="j")["notes"]

    assert missing == "fair-1@host counted 4 task starts whose events did not reach the journal."
    assert "by about -3.00 s" in skew
    assert gap == "Events are missing over 2.00 s: The recorder was away."


def test_note_tells_how_well_the_clocks_agree() -> None:
    """Waits between two machines cannot be more exact than their clocks."""
    journal = dispatched("fair")
    journal.kept_workers = [replace(worker, skew_s=0.004) for worker in journal.kept_workers]

    assert document(journal, title="j")["notes"] == ["Workers' clocks agree with the recorder's within 4 ms."]


def test_notes_say_what_people_did() -> None:
    """The latest twenty, and how many there were before."""
    journal = dispatched("fair")
    journal.kept_actions = [
        Action(time=1795251491.5 + number, who="ann@h", verb="requeue", what="dead_letters: all", count=1200)
        for number in range(22)
    ]

    earlier, *latest = document(journal, title="j")["notes"][-21:]

    assert earlier == "2 earlier actions of people are in the journal."
    assert latest[0] == "2026-11-21 08:58:13Z ann@h: requeue dead_letters: all (1,200)"
    assert len(latest) == 20


def test_each_of_the_longest_avoidable_waits_has_the_id_of_its_task() -> None:
    """So that a page can lead to it; the table itself has the begin of the id."""
    made = document(dispatched("round-robin"), title="j")["tables"]["offenders"]

    assert made["tasks"]
    assert [task[:8] for task in made["tasks"]] == [row[2] for row in made["rows"]]


def test_bars_are_drawn_once_where_all_runs_are_drawn_together() -> None:
    """The page asks for the document every second, and draws either the lanes of each run or those of all."""
    journal = both()
    runs = [
        MeasuredRun(run=run, record=Record.of(journal.attempts(run.name), journal.workers()), samples=())
        for run in journal.runs()
    ]
    every = MeasuredRun(
        run=Run(name="all", dispatch=None, began=BEGAN),
        record=Record.of(journal.attempts(), journal.workers()),
        samples=(),
    )

    made = document_of_runs(runs, journal.workers(), (), title="j", arguments=False, together=every)

    assert [run["groups"] for run in made["runs"]] == [[], []]
    assert made["together"].keys() == {"name", "dispatch", "origin", "span_s", "queues", "groups"}
    lanes = [lane for group in made["together"]["groups"] for lane in group["lanes"]]
    assert sum(len(lane) for lane in lanes) == len(journal.attempts())
