"""What is said of work in the background, and how it ends."""

from __future__ import annotations

import threading

from proj.dashboard.web.actions.halt_actions import question
from proj.dashboard.web.actions.halt_progress import HaltProgress
from proj.dashboard.web.actions.job import DONE, FAILED, STOPPED, Job
from proj.dashboard.web.actions.letter_progress import LetterProgress
from proj.errors import ProjError


def progress(**now: object) -> LetterProgress:
    made = LetterProgress(verb="requeue", queue="dead_letters", who="ann", total=10)
    for name, value in now.items():
        setattr(made, name, value)
    return made


def test_outcome_names_what_was_done_and_what_stays() -> None:
    """Also after a cancellation, and when the broker is gone."""
    assert progress(done=3).said() == "3 of 10 letters were requeued so far."
    assert progress(done=10, state=DONE, seconds=1.24).said() == "10 of 10 letters were requeued in 1.2 s."
    assert progress(done=9, state=DONE).said().endswith(" 1 was not in dead_letters any more.")
    assert progress(done=3, state=STOPPED, stopped_by="ann").said() == (
        "ann cancelled it: 3 of 10 letters were requeued, and 7 stay in dead_letters."
    )
    assert progress(done=3, state=FAILED, trouble="No broker answers.").said() == (
        "It ended after 3 of 10 letters: No broker answers. The others stay in dead_letters. The next requeue names "
        "each letter that this one may have requeued."
    )


def test_outcome_names_doubles_and_what_could_not_be_requeued() -> None:
    """The ids of the doubles, and the first reason."""
    made = progress(done=8, state=DONE)
    made.double("a")
    for _ in range(2):
        made.fail("There is no queue gone.")

    assert "2 could not be requeued, and stay: There is no queue gone." in made.said()
    assert "1 may be in its queue twice, because an earlier requeue was killed while it was at work on it: a." in (
        made.said()
    )


def test_requeue_that_cannot_note_doubts_says_so_while_it_may_be_killed() -> None:
    """As the command does; it does not promise that the next requeue names doubles."""
    warning = "If this is killed, nobody can tell which letters were requeued before."

    assert progress(done=3, warning=warning).said() == f"3 of 10 letters were requeued so far. {warning}"
    assert (
        progress(state=FAILED, trouble="No broker answers.", warning=warning)
        .said()
        .endswith(f"stay in dead_letters. {warning}")
    )
    assert warning not in progress(done=10, state=DONE, warning=warning).said()


def test_job_that_fails_says_why_and_one_that_is_cancelled_ends() -> None:
    """It is never at work for ever."""
    entered = threading.Event()

    def work(job: Job[LetterProgress]) -> None:
        entered.set()
        while not job.is_cancelled:
            pass

    def fail(_job: Job[LetterProgress]) -> None:
        raise ProjError("It cannot be read.")

    cancelled, failed = Job(progress(), work), Job(progress(), fail)
    cancelled.start()
    failed.start()
    assert entered.wait(60)
    cancelled.cancel("bob")

    assert cancelled.wait(60)
    assert failed.wait(60)
    assert (cancelled.progress.state, cancelled.progress.stopped_by) == (STOPPED, "bob")
    assert (failed.progress.state, failed.progress.trouble) == (FAILED, "It cannot be read.")


def test_halt_says_who_has_stopped_and_what_a_drain_waits_for() -> None:
    """Also when it was cancelled before any worker was told."""

    def halt(**now: object) -> str:
        made = HaltProgress(verb="drain", who="ann", key="k", name="mail", workers=["w1@x", "w2@x"])
        for name, value in now.items():
            setattr(made, name, value)
        return made.said()

    assert halt(left="3 ready") == "mail is to be empty before its 2 workers halt: 3 ready."
    assert halt(state=STOPPED, stopped_by="ann") == "ann cancelled it: no worker of mail was halted."
    assert halt(told=True, stopped=["w1@x"]) == "1 of 2 workers stopped; w2@x ends its tasks."
    assert halt(told=True, stopped=["w1@x", "w2@x"], ended=1.0) == "2 of 2 workers stopped: w1@x, w2@x."


def test_question_before_a_halt_names_the_workers_and_what_they_run() -> None:
    """And their other queues, which have fewer workers then."""
    assert question("halt", "w1@x", ["w1@x"], running=1, silent=0, others=()) == (
        "Halt w1@x? What runs there ends first (1 task now), what is held goes back to its queue, and then the process "
        "ends."
    )
    asked = question("drain", "mail", ["w1@x", "w2@x"], running=3, silent=1, others=["media"])
    assert asked.startswith("Wait until mail is empty, and then halt 2 workers of mail: w1@x, w2@x?")
    assert asked.endswith("Other queues of them: media. 1 worker of them does not answer now.")
