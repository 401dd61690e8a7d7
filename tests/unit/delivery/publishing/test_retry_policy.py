"""Which retry policy a publish has, and its pauses."""

from __future__ import annotations

import pytest
from celery import Celery
from kombu.utils.functional import retry_over_time

from proj.delivery.publishing.retry_policy import RetryPolicy, chosen_policy


def app_with(**settings: object) -> Celery:
    app = Celery("theirs", set_as_current=False)
    app.conf.update(settings)
    return app


def test_no_policy_is_chosen_unless_somebody_chose_one() -> None:
    """Then our deadline holds instead of Celery's default, which gives up within a second."""
    assert chosen_policy(app_with(), None) is None
    assert chosen_policy(app_with(task_publish_retry_policy={"max_retries": 5}), None) == RetryPolicy(max_retries=5)
    assert chosen_policy(app_with(CELERY_TASK_PUBLISH_RETRY_POLICY={"max_retries": 5}), None)


def test_policy_of_a_call_is_laid_over_that_of_the_app() -> None:
    """As in Celery; what neither says is Celery's default. Without a limit the deadline is the limit."""
    app = app_with(task_publish_retry_policy={"interval_start": 2, "errback": print})

    assert chosen_policy(app, {"max_retries": 1}) == RetryPolicy(max_retries=1, interval_start=2)
    assert chosen_policy(app, None) == RetryPolicy(max_retries=None, interval_start=2)
    assert chosen_policy(app_with(), {"interval_step": 5}) == RetryPolicy(max_retries=3, interval_step=5)


@pytest.mark.parametrize("policy", [RetryPolicy(), RetryPolicy(max_retries=7, interval_start=0.5, interval_max=0.3)])
def test_attempts_and_pauses_are_kombus(policy: RetryPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    """`retry_over_time` with the same numbers makes as many attempts after the same pauses."""
    attempts: list[int] = []
    pauses: list[float] = []
    monkeypatch.setattr("kombu.utils.functional.sleep", lambda _seconds: None)

    def fail() -> None:
        attempts.append(len(attempts) + 1)
        raise LookupError

    def note(_error: Exception, intervals: object, _retries: int) -> float:
        pauses.append(next(intervals))  # type: ignore[call-overload] # an iterator
        return 0

    with pytest.raises(LookupError):
        retry_over_time(fail, LookupError, errback=note, **vars(policy))

    assert [policy.allows(failures) for failures in attempts] == [True] * (len(attempts) - 1) + [False]
    assert [policy.pause_s(failures) for failures in attempts[:-1]] == pytest.approx(pauses)
