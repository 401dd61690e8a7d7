"""The weight of a message."""

from __future__ import annotations

import pytest

from proj.dots import duration_s, weigh
from proj.errors import InvalidMessage


@pytest.mark.parametrize(
    ("message", "dots"),
    [("hello...", 3), ("First message.", 1), ("Hello World!", 0), ("", 0), ("a.b.c", 2), ("…", 0), ("......", 6)],
)
def test_message_weighs_its_dots_wherever_they_stand(message: str, dots: int) -> None:
    """As the tutorials' `body.count(b".")`: the ellipsis character has no dot."""
    assert dots == weigh(message)


def test_dot_takes_the_given_seconds() -> None:
    """A dot is a unit, not a second."""
    assert duration_s("hello...", 0.5) == 1.5


@pytest.mark.parametrize("message", [None, 5, b"hello...", ["."], {}])
def test_message_that_is_not_a_text_is_refused_by_name(message: object) -> None:
    """The error shows the value, its type, and an example of a message."""
    with pytest.raises(InvalidMessage, match=rf"not .*\({type(message).__name__}\)") as caught:
        weigh(message)

    assert "hello..." in str(caught.value)
