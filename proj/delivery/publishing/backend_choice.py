"""Which class `rpc://` is for an app, by name: only who stores or awaits results loads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celery import Celery

_ALIAS = "rpc"
#: For an app that publishes with confirms.
REPLYING_BACKEND = "proj.delivery.publishing.reply_queue:ReplyingBackend"
#: For one whose workers keep every message too.
RESULT_BACKEND = "proj.delivery.results.backend:ResultBackend"


def use_backend(app: Celery, backend: str) -> None:
    """Let `rpc://` be this class for the app, unless its user has chosen one."""
    loader: Any = app.loader  # celery-types lacks override_backends
    chosen = loader.override_backends.get(_ALIAS)
    # The class of a worker has what that of a publisher has.
    if chosen is None or (chosen == REPLYING_BACKEND and backend != REPLYING_BACKEND):
        loader.override_backends = {**loader.override_backends, _ALIAS: backend}
