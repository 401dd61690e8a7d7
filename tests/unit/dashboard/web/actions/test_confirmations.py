"""The tokens of what a person was asked."""

from __future__ import annotations

from proj.dashboard.web.actions.confirmations import VALID_S, Confirmations


def test_token_holds_for_its_question_and_for_a_while() -> None:
    """Nobody else can use it, for nothing else, and not after the time for an answer; another process knows none."""
    now = [100.0]
    confirmations = Confirmations(lambda: now[0])
    token = confirmations.make("ann", "pause", "mail", count=2)

    assert token.startswith("2.")
    assert confirmations.confirmed(token, "ann", "pause", "mail") == 2
    assert confirmations.confirmed(token, "bob", "pause", "mail") is None
    assert confirmations.confirmed(token, "ann", "pausemail", "") is None
    assert confirmations.confirmed("9" + token, "ann", "pause", "mail") is None
    assert confirmations.confirmed("", "ann", "pause", "mail") is None
    assert confirmations.confirmed("2.é.ü", "ann", "pause", "mail") is None
    assert Confirmations(lambda: now[0]).confirmed(token, "ann", "pause", "mail") is None
    now[0] += VALID_S + 1
    assert confirmations.confirmed(token, "ann", "pause", "mail") is None
