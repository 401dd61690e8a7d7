"""The tokens of what a person was asked."""

from __future__ import annotations

from proj.dashboard.web.confirmations import VALID_S, Confirmations


def test_token_holds_for_its_question_and_for_a_while() -> None:
    """Nobody else can use it, for nothing else, and not after the time for an answer; another process knows none."""
    now = [100.0]
    confirmations = Confirmations(lambda: now[0])
    token = confirmations.make("ann", "pause", "mail", count=2)

    assert token.startswith("2.")
    assert confirmations.accepts(token, "ann", "pause", "mail")
    assert not confirmations.accepts(token, "bob", "pause", "mail")
    assert not confirmations.accepts(token, "ann", "pausemail", "")
    assert not confirmations.accepts("9" + token, "ann", "pause", "mail")
    assert not confirmations.accepts("", "ann", "pause", "mail")
    assert not confirmations.accepts("2.é.ü", "ann", "pause", "mail")
    assert not Confirmations(lambda: now[0]).accepts(token, "ann", "pause", "mail")
    now[0] += VALID_S + 1
    assert not confirmations.accepts(token, "ann", "pause", "mail")
