"""The names of workers that were started without one."""

from __future__ import annotations

import os
from types import SimpleNamespace

import click
import pytest
from celery import Celery
from celery.signals import celeryd_init
from celery.utils.nodenames import default_nodename

from proj.delivery.install import install

DEFAULT = default_nodename("")


@pytest.fixture
def app() -> Celery:
    """An app that is not ours."""
    app = Celery("theirs", set_as_current=False)
    install(app)
    return app


def named(app: Celery, hostname: str) -> str:
    """The name of a worker of the app that Celery has given this name."""
    worker = SimpleNamespace(app=app, hostname=hostname)
    celeryd_init.send(sender=hostname, instance=worker, conf=app.conf, options={})
    return worker.hostname


def typed(*words: str, app: Celery) -> str:
    """The name of a worker that was started by a command with these words."""
    names = []

    @click.command()
    @click.option("--hostname")
    def command(hostname: str | None) -> None:
        names.append(named(app, hostname or DEFAULT))

    command(words, standalone_mode=False)
    return names[0]


def test_worker_without_a_name_has_its_process_in_it(app: Celery) -> None:
    """So any number of terminals can start one each."""
    before, _at, host = DEFAULT.partition("@")

    assert typed(app=app) == named(app, DEFAULT) == f"{before}-{os.getpid()}@{host}"


@pytest.mark.parametrize("name", ["w1@host", DEFAULT])
def test_worker_with_a_name_keeps_it(app: Celery, name: str) -> None:
    """Also when it is the default name, which a container's probe may ask for."""
    assert typed("--hostname", name, app=app) == name


def test_worker_of_another_app_keeps_its_name() -> None:
    """Celery's signal is for the workers of all apps."""
    assert named(Celery("others", set_as_current=False), DEFAULT) == DEFAULT
