"""The one call that adds everything to an app."""

from __future__ import annotations

from celery import Celery

from proj.delivery.install import install


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
