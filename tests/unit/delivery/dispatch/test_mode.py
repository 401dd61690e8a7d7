"""The settings of dispatch, checked."""

from __future__ import annotations

import math

import pytest
from celery import Celery

from proj.delivery.dispatch.mode import MODES, check_dispatch
from proj.delivery.settings import provide_defaults
from proj.errors import InvalidSetting


@pytest.mark.parametrize("mode", [None, *MODES])
def test_check_takes_each_mode_and_none(mode: str | None) -> None:
    """Our own app names its mode in the setting, whichever it is."""
    check_dispatch(app_with(proj_dispatch=mode))


@pytest.mark.parametrize("mode", ["adaptve", "Adaptive", "", True, ["adaptive"]])
def test_check_refuses_what_is_no_mode(mode: object) -> None:
    """A misspelt mode would otherwise leave the workers in another one without a word."""
    with pytest.raises(InvalidSetting, match=r"proj_dispatch is .*, but must be one of adaptive, fair, round-robin"):
        check_dispatch(app_with(proj_dispatch=mode))


@pytest.mark.parametrize("budget", [0, -1.0, math.inf, math.nan, "0.05", None, True])
def test_check_refuses_a_budget_that_is_no_positive_number(budget: object) -> None:
    """A worker would hold messages for ever, or fail when its first one arrives."""
    with pytest.raises(InvalidSetting, match=r"proj_dispatch_budget_s is .*, but must be a number of seconds above 0"):
        check_dispatch(app_with(proj_dispatch_budget_s=budget))


def app_with(**settings: object) -> Celery:
    """An app with these settings of its own."""
    app = Celery(set_as_current=False)
    app.conf.update(settings)
    provide_defaults(app)
    return app
