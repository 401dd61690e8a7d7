"""The settings of dispatch, checked."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from proj.errors import InvalidSetting

if TYPE_CHECKING:
    from celery import Celery

#: The value of `proj_dispatch` that asks for adaptive dispatch.
ADAPTIVE = "adaptive"
#: The names of the modes. Only adaptive dispatch is decided by `proj_dispatch`, the others by Celery's settings.
MODES = (ADAPTIVE, "fair", "round-robin")


def check_dispatch(app: Celery) -> None:
    """Refuse settings of dispatch that the app's workers cannot use.

    Raises:
        InvalidSetting: `proj_dispatch` is no mode, or `proj_dispatch_budget_s` no positive number.
    """
    mode: object = app.conf.proj_dispatch
    if mode is not None and mode not in MODES:
        raise InvalidSetting("proj_dispatch", mode, f"one of {', '.join(MODES)}, or None")
    budget_s: object = app.conf.proj_dispatch_budget_s
    if isinstance(budget_s, bool) or not isinstance(budget_s, int | float) or not 0 < budget_s < math.inf:
        raise InvalidSetting("proj_dispatch_budget_s", budget_s, "a number of seconds above 0")
