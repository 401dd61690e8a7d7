"""What Flower's first line says: its text is not documented."""

from __future__ import annotations

import logging

import pytest
from celery import Celery
from flower import command
from tornado.options import options

from proj.dashboard.banner import name_the_page


@pytest.mark.parametrize(
    ("prefix", "address"), [("", "http://127.0.0.1:5556/dispatch"), ("flower", "http://127.0.0.1:5556/flower/dispatch")]
)
def test_first_line_names_the_dispatch_page(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, prefix: str, address: str
) -> None:
    """With the port that it really has, and below a prefix too; the other lines are Flower's."""
    name_the_page()
    monkeypatch.setattr(options.mockable(), "url_prefix", prefix)
    monkeypatch.setattr(options.mockable(), "address", "127.0.0.1")
    caplog.set_level(logging.INFO, "flower.command")

    command.print_banner(Celery(broker="amqp://"), False, 5556)  # noqa: FBT003 Flower's own signature

    first, *others = [record.getMessage() for record in caplog.records]
    assert first == f"The Dispatch page is at {address}"
    assert others
    assert not any("/dispatch" in line for line in others)
