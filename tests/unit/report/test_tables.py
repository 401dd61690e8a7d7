"""How tables of a report print durations and arguments."""

from __future__ import annotations

import pytest

from proj.report import tables


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0 s"),
        (0.0004, "0 s"),
        (0.0123, "12 ms"),
        (0.0996, "0.10 s"),
        (9.994, "9.99 s"),
        (9.996, "10.0 s"),
        (99.94, "99.9 s"),
        (1234.5, "1,234 s"),
        (-3.0, "-3.00 s"),
    ],
)
def test_seconds_have_three_significant_digits(value: float, shown: str) -> None:
    """Short durations are in milliseconds."""
    assert tables.seconds(value) == shown


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [("('hello...',)", "hello..."), ("['x']", "x"), ("(1, 'x')", "1, 'x'"), ("", ""), ("('a', 'b')", "'a', 'b'")],
)
def test_label_is_the_only_text_or_all_arguments(arguments: str, shown: str) -> None:
    """Celery prints arguments as Python's repr does."""
    assert tables.label(arguments) == shown
