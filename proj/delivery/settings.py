"""Defaults of settings that are ours: below whatever the app's own configuration says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celery import Celery


def provide(app: Celery, values: Mapping[str, Any]) -> None:
    """Let `app.conf` answer with these for what nobody has set.

    Celery's own `add_defaults` puts them *above* the configuration that was read, whatever its name says.
    """
    if app.configured:
        app.conf.maps.append(dict(values))
        return

    def append(source: Any, **_: object) -> None:  # noqa: ANN401 Celery's settings
        source.maps.append(dict(values))

    app.on_after_configure.connect(append, weak=False)
