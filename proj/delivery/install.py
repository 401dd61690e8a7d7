"""Everything that keeps a message from being lost, added to an app in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from proj.delivery.consuming.keep_messages import keep_messages
from proj.delivery.dispatch.mode import ADAPTIVE
from proj.delivery.late_acknowledgement import acknowledge_late
from proj.delivery.pausing.follow_command import answer_pauses
from proj.delivery.publishing.confirm_publishing import confirm_publishing
from proj.delivery.shutdown.halt_command import answer_halt
from proj.delivery.worker_name import name_workers
from proj.delivery.worker_steps import watch_worker
from proj.errors import InvalidSetting

if TYPE_CHECKING:
    from celery import Celery


def install(app: Celery, *, dispatch: Literal["adaptive"] | None = None) -> None:
    """Add every part of this package to `app`, before the app is first used; each can also be added alone.

    Adaptive `dispatch` gives workers of short tasks their messages in advance (`proj.delivery.dispatch`). With None the
    app's own settings decide.

    Raises:
        InvalidSetting: `dispatch` is neither.
    """
    if dispatch not in {None, ADAPTIVE}:
        raise InvalidSetting("install's argument dispatch", dispatch, f"{ADAPTIVE!r} or None")
    if dispatch is not None:
        app.conf["proj_dispatch"] = dispatch
    confirm_publishing(app)
    keep_messages(app)
    acknowledge_late(app)
    answer_halt(app)
    answer_pauses(app)
    watch_worker(app)
    name_workers(app)
