"""Late acknowledgement as the default of an app, and what the app's own settings change."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery

from proj.delivery.install import install
from proj.delivery.late_acknowledgement import LATE, MOST_NAMES, WarnOfEarlyAcknowledgement


def nothing() -> None:
    """A task's work."""


def made(*, early: dict[str, Any] | None = None, **settings: Any) -> Celery:
    """An app with two tasks, `kept` and `own`, of which the second has options of its own."""
    app = Celery("theirs", set_as_current=False)
    app.config_from_object(settings)
    install(app)
    # Celery gives a shared task to every app of the process; other tests and pytest-celery have some.
    for name in [name for name in app.tasks if not name.startswith("celery.")]:
        del app.tasks[name]
    app.task(nothing, name="kept", shared=False)
    app.task(nothing, name="own", shared=False, **(early or {}))
    return app


def warned(app: Celery, caplog: pytest.LogCaptureFixture) -> list[str]:
    """What a worker of the app warns of at its start."""
    with caplog.at_level(logging.WARNING):
        WarnOfEarlyAcknowledgement(SimpleNamespace(app=app))  # type: ignore[arg-type] # all that it reads of a worker
    return [record.getMessage() for record in caplog.records if record.__dict__["action"] == "early_acknowledgement"]


def test_app_without_settings_acknowledges_late_and_needs_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    """Each setting that the promise needs is on."""
    app = made()

    assert {name: app.conf[name] for name in LATE} == dict.fromkeys(LATE, True)
    assert [app.tasks[name].acks_late for name in ("kept", "own")] == [True, True]
    assert app.tasks["kept"].reject_on_worker_lost
    assert warned(app, caplog) == []


@pytest.mark.parametrize("name", LATE)
def test_setting_of_the_app_goes_before_the_default(name: str) -> None:
    """Before or after `install`, and as `app.conf.NAME = value`."""
    before, later, after = made(**{name: False}), made(), Celery("theirs", set_as_current=False)
    later.conf[name] = False
    install(after)
    after.config_from_object({name: False})

    assert [app.conf[name] for app in (before, later, after)] == [False] * 3


@pytest.mark.parametrize("settings", [{"CELERY_ACKS_LATE": False}, {"CELERY_ACKS_LATE": True}])
def test_setting_by_its_old_name_goes_before_the_default(settings: dict[str, bool]) -> None:
    """Celery still takes these names."""
    app = made(**settings)

    assert app.conf.task_acks_late is settings["CELERY_ACKS_LATE"]
    assert app.conf.task_reject_on_worker_lost


def test_defaults_do_not_count_as_the_apps_own_settings() -> None:
    """Celery asks which settings a user has given, as its database result backend does."""
    app = made(result_expires=60)

    assert app.conf.value_set_for("result_expires")
    assert not app.conf.value_set_for("result_backend_max_retries")


def test_worker_warns_of_tasks_that_are_acknowledged_early(caplog: pytest.LogCaptureFixture) -> None:
    """One sentence has the settings, the cost and the tasks."""
    (sentence,) = warned(made(early={"acks_late": False}), caplog)

    assert sentence == (
        "1 task is acknowledged early (task_acks_late or acks_late is False), so what a worker is running when it is "
        "killed is lost: own."
    )


def test_warning_of_an_app_with_many_early_tasks_is_short(caplog: pytest.LogCaptureFixture) -> None:
    """It has the first names and the number of the others. Celery's own tasks do not count."""
    app = made(task_acks_late=False)
    for number in range(MOST_NAMES + 1):
        app.task(nothing, name=f"a{number:02}", shared=False)

    (sentence,) = warned(app, caplog)

    assert sentence.startswith(f"{MOST_NAMES + 3} tasks are acknowledged early")
    assert sentence.endswith(f"a{MOST_NAMES - 1:02} and 3 more.")
    assert "celery." not in sentence


def test_task_that_is_late_by_itself_is_late_in_an_app_that_is_early(caplog: pytest.LogCaptureFixture) -> None:
    """The task's own option goes before the setting."""
    (sentence,) = warned(made(early={"acks_late": True}, task_acks_late=False), caplog)

    assert sentence.endswith("lost: kept.")
