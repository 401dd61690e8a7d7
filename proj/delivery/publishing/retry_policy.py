"""The retry policy of a publish, when the app or the caller has chosen one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celery import Celery

_SETTING = "task_publish_retry_policy"


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How often a publish is tried again, and after which pauses, in kombu's terms.

    Source: https://docs.celeryq.dev/en/stable/userguide/calling.html#message-sending-retry
    """

    #: None is until the deadline.
    max_retries: int | None = 3
    #: Seconds before the first retry, how many are added before each further one, and the longest pause.
    interval_start: float = 0.0
    interval_step: float = 0.2
    interval_max: float = 1.0

    def allows(self, failures: int) -> bool:
        """Whether another attempt may follow so many failures."""
        return self.max_retries is None or failures <= self.max_retries

    def pause_s(self, failures: int) -> float:
        """Seconds to wait after so many failures, 1 or more."""
        return max(0.0, min(self.interval_start + (failures - 1) * self.interval_step, self.interval_max))


def chosen_policy(app: Celery, of_call: Mapping[str, Any] | None) -> RetryPolicy | None:
    """The policy of a call, merged with that of the app as Celery does; None when neither was chosen.

    Celery's default is to give up within a second. It holds for what a chosen policy does not say.
    """
    of_app = app.conf.get(_SETTING)
    # The last one has Celery's defaults. The stub allows None, which Celery never leaves there.
    defaults = cast("list[Mapping[str, Any]]", app.conf.maps)[-1]
    if not of_call and of_app is defaults.get(_SETTING):
        return None
    merged = {**(of_app or {}), **(of_call or {})}
    known = {name: merged[name] for name in RetryPolicy.__dataclass_fields__ if name in merged}
    return RetryPolicy(**{"max_retries": None, **known})
