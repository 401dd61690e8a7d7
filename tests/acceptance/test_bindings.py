"""A worker of an app that is not ours, with topic patterns in its own settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Celery

THEIRS = """
from celery import Celery
from proj.delivery.consuming.bindings import subscribe

app = Celery("theirs")
app.conf.proj_bind = {patterns}
subscribe(app)
"""


@pytest.mark.parametrize(
    ("patterns", "sentence"),
    [
        ('("image.heavy", "#.a.#.b.#")', "proj_bind is 'image.heavy,#.a.#.b.#', but must be patterns such as"),
        ('"*.heavy"', "proj_bind is '*.heavy', but must be a tuple of patterns, such as"),
        ("(7,)", "proj_bind is (7,), but must be a tuple of patterns, such as"),
    ],
)
def test_worker_with_a_pattern_that_rabbitmq_refuses_does_not_start(
    celery: Celery, tmp_path: Path, patterns: str, sentence: str
) -> None:
    """RabbitMQ 4.3.5 refuses a third `#`. One sentence says so, before the worker asks any broker."""
    (tmp_path / "theirs.py").write_text(THEIRS.format(patterns=patterns))

    refused = celery("-A", "theirs", "worker", CELERY_BROKER_URL="amqp://127.0.0.1:1//")

    assert refused.returncode == 2, refused.stderr
    assert sentence in refused.stderr
    assert "Traceback" not in refused.stderr
