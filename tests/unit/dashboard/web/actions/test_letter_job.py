"""What is said of work on dead letters."""

from __future__ import annotations

import threading

from proj.dashboard.web.actions.letter_job import DONE, FAILED, STOPPED, LetterJob, Progress, said
from proj.errors import ProjError


def progress(**now: object) -> Progress:
    made = Progress(verb="requeue", queue="dead_letters", who="ann", total=10)
    for name, value in now.items():
        setattr(made, name, value)
    return made


def test_outcome_names_what_was_done_and_what_stays() -> None:
    """Also after a cancellation, and when the broker is gone."""
    assert said(progress(done=3)) == "3 of 10 letters were requeued so far."
    assert said(progress(done=10, state=DONE, seconds=1.24)) == "10 of 10 letters were requeued in 1.2 s."
    assert said(progress(done=9, state=DONE)).endswith(" 1 was not in dead_letters any more.")
    assert said(progress(done=3, state=STOPPED, stopped_by="ann")) == (
        "ann cancelled it: 3 of 10 letters were requeued, and 7 stay in dead_letters."
    )
    assert said(progress(done=3, state=FAILED, trouble="No broker answers.")) == (
        "It ended after 3 of 10 letters: No broker answers. The others stay in dead_letters. The next requeue names "
        "each letter that this one may have requeued."
    )


def test_outcome_names_doubles_and_what_could_not_be_requeued() -> None:
    """The ids of the doubles, and the first reason."""
    made = progress(done=8, state=DONE)
    made.double("a")
    for _ in range(2):
        made.fail("There is no queue gone.")

    assert "2 could not be requeued, and stay: There is no queue gone." in said(made)
    assert "1 may be in its queue twice, because an earlier requeue was killed while it was at work on it: a." in said(
        made
    )


def test_job_that_fails_says_why_and_one_that_is_cancelled_ends() -> None:
    """It is never at work for ever."""
    entered = threading.Event()

    def work(job: LetterJob) -> None:
        entered.set()
        while not job.is_cancelled:
            pass

    def fail(_job: LetterJob) -> None:
        raise ProjError("It cannot be read.")

    cancelled, failed = LetterJob(progress(), work), LetterJob(progress(), fail)
    cancelled.start()
    failed.start()
    assert entered.wait(60)
    cancelled.cancel("bob")

    assert cancelled.wait(60)
    assert failed.wait(60)
    assert (cancelled.progress.state, cancelled.progress.stopped_by) == (STOPPED, "bob")
    assert (failed.progress.state, failed.progress.trouble) == (FAILED, "It cannot be read.")
