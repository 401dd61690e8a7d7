"""The settings of delivery, checked when a worker starts."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
from celery import Celery

from proj.delivery.checked_settings import RANGES, check_settings
from proj.delivery.settings import DEFAULTS, provide_defaults
from proj.errors import EXIT_USAGE, InvalidSetting, UnknownSetting


def app_with(**settings: object) -> Celery:
    """An app with these settings of its own, from an object, as most have them."""
    app = Celery(set_as_current=False)
    app.config_from_object(SimpleNamespace(**settings))
    provide_defaults(app)
    return app


def test_defaults_are_taken() -> None:
    """And what the documentation allows beside them."""
    check_settings(app_with())
    check_settings(app_with(proj_publish_timeout_s=None, proj_consumer_timeout_s=0, proj_dead_letter_queue="theirs"))
    assert set(RANGES) <= set(DEFAULTS)


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("proj_strike", "proj_strikes"),
        ("proj_publish_timout_s", "proj_publish_timeout_s"),
        ("proj_publish_timeout", "proj_publish_timeout_s"),
        ("proj_dispach", "proj_dispatch"),
        ("proj_dead_letters_queue", "proj_dead_letter_queue"),
    ],
)
def test_misspelt_setting_is_refused_with_the_one_that_was_meant(misspelt: str, meant: str) -> None:
    """It would have no effect."""
    with pytest.raises(UnknownSetting) as caught:
        check_settings(app_with(**{misspelt: 5}))

    assert str(caught.value) == f"{misspelt} is not a setting of proj; did you mean {meant}?"
    assert caught.value.exit_code == EXIT_USAGE


@pytest.mark.parametrize("name", ["CELERY_PROJ_STRIKE", "proj_strike"])
def test_misspelt_setting_of_an_app_with_a_namespace_is_refused(name: str) -> None:
    """As in Django's settings."""
    app = Celery(set_as_current=False)
    app.config_from_object(SimpleNamespace(CELERY_PROJ_REQUEUES=3), namespace="CELERY")
    provide_defaults(app)
    check_settings(app)
    assert app.conf.proj_requeues == 3

    app.conf.update({name: 5})
    meant = "CELERY_PROJ_STRIKES" if name.isupper() else "proj_strikes"
    with pytest.raises(UnknownSetting, match=f"^{name} is not a setting of proj; did you mean {meant}\\?$"):
        check_settings(app)


def test_settings_of_the_app_itself_are_left_alone() -> None:
    """Another project may use the prefix too."""
    check_settings(app_with(proj_name="shop", proj_queue="orders", proj_color="red"))


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("value", [-1, 1e99, math.inf, math.nan, "5", True])
def test_number_that_cannot_be_meant_is_refused(name: str, value: object) -> None:
    """A wait for ever is None where there is one, and no system call takes infinity."""
    with pytest.raises(InvalidSetting, match=f"^{name} is .*, but must be a number from"):
        check_settings(app_with(**{name: value}))
