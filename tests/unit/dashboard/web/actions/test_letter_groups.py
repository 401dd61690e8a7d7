"""What a look at the dead letters found, and which of them are chosen."""

from __future__ import annotations

import pytest

from proj.dashboard.web.actions.letter_groups import MOST_ROWS, Look, grouped, question
from proj.delivery.dead_letters.letter import DeadLetter
from proj.errors import ProjError


def letter(name: str, reason: str = "It expired.", *, queue: str = "mail", ran: bool | None = False) -> DeadLetter:
    return DeadLetter(
        id=name, task="t", arguments="secret " * 500, reason=reason, queue=queue, worker="w@x", time=1.5, attempts=1,
        size_bytes=9, ran=ran,
    )  # fmt: skip


def look(*letters: DeadLetter) -> Look:
    return Look(
        key="k", time=2.0, queue="dead_letters", total=len(letters), read=len(letters), groups=grouped(letters),
        warning=None,
    )  # fmt: skip


def fields(group: str = "", *marks: str) -> dict[str, tuple[str, ...]]:
    return {"look": ("k",), "group": (group,) if group else (), "letter": marks}


def test_letters_are_grouped_by_reason_and_queue_the_largest_group_first() -> None:
    """Of each group the oldest letters are listed, without their arguments; those of one can be asked for."""
    seen = look(
        letter("a", "It failed."),
        *(letter(f"b{number}") for number in range(MOST_ROWS + 5)),
        letter("c", queue="media"),
    )
    groups = seen.document()["groups"]

    assert [(group["reason"], group["queue"], group["count"]) for group in groups] == [
        ("It expired.", "mail", MOST_ROWS + 5),
        ("It expired.", "media", 1),
        ("It failed.", "mail", 1),
    ]
    assert len(groups[0]["letters"]) == MOST_ROWS
    assert "secret" not in repr(seen.document())
    assert (seen.arguments("c 1.5") or "").startswith("secret secret")
    assert seen.arguments("nobody") is None


def test_chosen_are_a_whole_group_also_what_is_not_listed_or_the_named_letters() -> None:
    """What was not shown is refused."""
    seen = look(letter("a"), letter("b"), letter("c", "It failed."))

    assert [one.id for one in seen.chosen(fields("0"))[0]] == ["a", "b"]
    assert seen.chosen(fields("0"))[1] == "dead_letters: reason 'It expired.', from mail"
    assert [one.id for one in seen.chosen(fields("", "a 1.5", "c 1.5"))[0]] == ["a", "c"]
    for unknown in (fields(), fields("9"), fields("", "a 1.5", "a 2.5")):
        with pytest.raises(ProjError, match="Look again"):
            seen.chosen(unknown)


def test_question_names_the_count_and_what_runs_again() -> None:
    """Before a requeue it says of how many it is known, or not known, that they ran."""
    chosen = look(letter("a"), letter("b", ran=True), letter("c", ran=None)).chosen(fields("0"))[0]

    assert question("requeue", chosen, "dead_letters") == (
        "Requeue 3 letters to mail? 1 of them began before, and will run again. Of 1 it is not known whether they ran."
    )
    assert question("purge", chosen[:1], "dead_letters") == (
        "Remove 1 letter from dead_letters for ever? What is not exported cannot be brought back."
    )
    assert "with the arguments" in question("export", chosen, "dead_letters")
