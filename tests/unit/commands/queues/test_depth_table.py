"""The table of queues: headings, folded names, rates and what is unknown."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from proj.broker.queue_depths import Depth
from proj.broker.queue_rates import Rates
from proj.commands.queues.depth_table import View, table


def printed(depth: Depth, rates: Rates | None, width: int = 100) -> str:
    output = io.StringIO()
    Console(file=output, width=width).print(table([(depth, rates)], width=width))
    return output.getvalue()


LONG_FIGURES = Rates(in_per_s=234.56, out_per_s=200.0, growth_per_s=34.56, empty_in_s=None, slots=123.4)


def queue(name: str, limit: int | None = None) -> Depth:
    return Depth(name=name, type="quorum", ready=9876, unacknowledged=1234, consumers=120, limit=limit)


@pytest.mark.parametrize(("width", "limit"), [(100, 10000), (80, None)])
def test_table_with_rates_fits_into_a_terminal(width: int, limit: int | None) -> None:
    """A long name and long figures stay on one line."""
    lines = printed(queue("task_queue.topic.*.heavy", limit), LONG_FIGURES, width).strip("\n").splitlines()

    limited = [] if limit is None else ["/", str(limit)]
    assert max(map(len, lines)) <= width
    assert lines[-2].split() == [
        *("task_queue.topic.*.heavy", "9876", *limited, "1234", "120"),
        *("234.6", "200.0", "+34.6", "never", "124"),
    ]


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("rates", [LONG_FIGURES, None])
def test_table_folds_names_at_the_end_of_a_word(width: int, rates: Rates | None) -> None:
    """Never within a word, and never a figure. In a narrow terminal columns are left out before names are cut."""
    names = [
        "dead_letters",
        "my_queue",
        "task_queue",
        "task_queue.topic.*.heavy",
        "task_queue.topic.*.heavy,image.light",
    ]
    output = io.StringIO()
    Console(file=output, width=width).print(table([(queue(name, 10000), rates) for name in names], width=width))

    lines = output.getvalue().splitlines()
    begun = next(number for number, line in enumerate(lines) if "───" in line)
    pieces = [line.split()[0] for line in lines[begun + 1 :] if line.strip()]
    assert "".join(pieces) == "".join(names)
    assert all(piece[-1] in "._" or any(name.endswith(piece) for name in names) for piece in pieces)
    assert sum("9876 / 10000" in line for line in lines) == len(names)
    assert max(map(len, lines)) <= width


def test_wide_table_has_long_headings() -> None:
    """Headings are short only where there is too little room."""
    assert "ready  unacked  consumers   in/s  out/s  growth/s  empty in" in printed(
        queue("task_queue"), LONG_FIGURES, 120
    )


def test_name_in_brackets_is_shown_as_it_is() -> None:
    """Rich does not interpret it as markup."""
    assert "[red]q" in printed(queue("[red]q"), None)


def test_sentence_says_that_there_is_no_queue() -> None:
    """And whether Celery's own queues exist, or only the app's own queues were counted."""
    delays = Depth(name="celery_delayed_1", type="quorum", ready=0, unacknowledged=0, consumers=0)

    assert View([], show_all=False).nothing == "There are no queues."
    assert "but those that Celery made for itself" in (View([(delays, Rates())], show_all=False).nothing or "")
    assert View([(delays, None)], show_all=True).nothing is None
    assert View([], show_all=False, is_whole=False).nothing == "None of the app's own queues exists."


def test_table_shows_unknown_figures_as_question_marks_and_no_sign_before_zero() -> None:
    """A zero is 0.0, not +0.0 or -0.0."""
    depth = Depth(name="q", type=None, ready=3, unacknowledged=None, consumers=0)

    assert printed(depth, Rates()).split()[-9:] == ["q", "3", "?", "0", *"?????"]
    assert printed(depth, Rates(growth_per_s=-0.01, empty_in_s=300.0)).split()[-4:] == ["0.0", "5", "min", "?"]
