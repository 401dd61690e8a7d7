"""The one call that adds everything to an app."""

from __future__ import annotations

import pytest
from celery import Celery, Task
from kombu import Producer

from proj.delivery.install import install
from proj.errors import InvalidSetting


def test_install_switches_adaptive_dispatch_on_when_it_is_asked_to() -> None:
    """The app's own settings decide otherwise."""
    adaptive, plain = Celery(set_as_current=False), Celery(set_as_current=False)
    install(adaptive, dispatch="adaptive")
    install(plain)

    assert adaptive.conf.proj_dispatch == "adaptive"
    assert plain.conf.proj_dispatch is None


def test_adaptive_dispatch_is_on_also_when_the_app_reads_its_settings_later() -> None:
    """`config_from_object` may come after `install`."""
    app = Celery(set_as_current=False)
    install(app, dispatch="adaptive")
    app.config_from_object({"task_acks_late": True})

    assert app.conf.proj_dispatch == "adaptive"
    assert app.conf.task_acks_late


def test_install_refuses_a_dispatch_mode_that_it_cannot_switch_on() -> None:
    """A misspelt mode would otherwise leave the app in another one without a word."""
    app = Celery(set_as_current=False)

    with pytest.raises(InvalidSetting, match="dispatch is 'adaptve', but must be 'adaptive' or None"):
        install(app, dispatch="adaptve")  # type: ignore[arg-type] # what a user may write


def test_what_others_patch_after_install_is_called_once_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `sentry_sdk.init` does: it replaces methods of Celery's and kombu's classes."""
    app = Celery("watched", broker="memory://", set_as_current=False)
    install(app)

    @app.task(shared=False)
    def note() -> None:
        """Never run here."""

    calls: list[str] = []

    def watch(owner: type, method: str) -> None:
        stock = getattr(owner, method)

        def watched(*args: object, **options: object) -> object:
            calls.append(method)
            return stock(*args, **options)

        monkeypatch.setattr(owner, method, watched)

    for owner, method in ((Task, "apply_async"), (Celery, "send_task"), (Producer, "publish"), (Celery, "close")):
        watch(owner, method)

    note.delay()
    assert calls == ["apply_async", "send_task", "publish"]
    app.send_task("other")
    app.close()
    assert calls[3:] == ["send_task", "publish", "close"]
