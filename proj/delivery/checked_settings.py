"""Checks the settings of delivery when a worker starts: a misspelt name would have no effect."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from proj.delivery.settings import DEFAULTS
from proj.errors import InvalidSetting, UnknownSetting

if TYPE_CHECKING:
    from celery import Celery

PREFIX = "proj_"
#: Settings without a default in `DEFAULTS`.
OTHERS = ("proj_dead_letter_queue", "proj_dot_seconds")
#: How alike a name must be to be taken for a misspelt one, 0 to 1. Other names may be settings of the app's own.
ALIKE = 0.8
#: Seconds: RabbitMQ's timers take milliseconds of 32 bits.
LONGEST_S = 4_294_967
#: The least and the greatest value of settings that are numbers.
RANGES: dict[str, tuple[int, int]] = {
    "proj_publish_timeout_s": (0, LONGEST_S),
    "proj_queue_full_timeout_s": (0, LONGEST_S),
    "proj_result_timeout_s": (0, LONGEST_S),
    "proj_consumer_timeout_s": (0, LONGEST_S),
    "proj_strikes": (1, 1_000_000),
    "proj_requeues": (0, 1_000_000),
    "proj_deepest": (1, 1_000_000),
    "proj_largest_bytes": (1, 1 << 40),
    "proj_latest_eta_s": (0, 100 * 366 * 24 * 3600),
}
#: Those that are True or False.
SWITCHES = ("proj_declare",)
#: Those that None switches off.
OPTIONAL = frozenset({"proj_publish_timeout_s", "proj_queue_full_timeout_s", "proj_result_timeout_s"})


def check_settings(app: Celery) -> None:
    """Refuse a setting whose name is nearly one of ours, and a number that cannot be meant.

    Raises:
        UnknownSetting: a name is misspelt; the error names the setting that was meant.
        InvalidSetting: a number is too small or too large, or is none.
    """
    known = [name.removeprefix(PREFIX) for name in (*DEFAULTS, *OTHERS)]
    # The prefix of a namespace, such as "CELERY_": the settings that the app gives itself begin with it, in capitals.
    namespace: str = getattr(app.conf, "prefix", "")
    for key in sorted(app.conf):
        is_in_namespace = namespace and key.startswith(namespace)
        written = key.removeprefix(namespace).lower() if is_in_namespace else key
        if not written.startswith(PREFIX) or (name := written.removeprefix(PREFIX)) in known:
            continue
        if near := get_close_matches(name, known, n=1, cutoff=ALIKE):
            meant = f"{PREFIX}{near[0]}"
            raise UnknownSetting(key, f"{namespace}{meant.upper()}" if is_in_namespace else meant, "a setting of proj")
    for name in SWITCHES:
        if not isinstance(app.conf[name], bool):
            raise InvalidSetting(name, app.conf[name], "True or False")
    for name, (least, most) in RANGES.items():
        value: object = app.conf[name]
        if value is None and name in OPTIONAL:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            none = ", or None" if name in OPTIONAL else ""
            raise InvalidSetting(name, value, f"a number from {least} to {most}{none}")
