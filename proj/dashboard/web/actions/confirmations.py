"""Confirmations: a token that says what a person was asked, so that only what was shown can be done."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds that a person may take to answer.
VALID_S = 120


class Confirmations:
    """Makes and checks the tokens of one process; another process does not accept them."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """Begin with a key of its own; `clock` gives seconds."""
        self._key = secrets.token_bytes(32)
        self._clock = clock

    def make(self, *subject: str, count: int) -> str:
        """The token of a question about that subject (who, what, to what), which named this count."""
        words = f"{count}.{int(self._clock()) + VALID_S}"
        return f"{words}.{self._sign(words, subject)}"

    def confirmed(self, token: str, *subject: str) -> int | None:
        """The count that the token's question named; None when it is of another subject, or too old."""
        words, _, signature = token.rpartition(".")
        count, _, until = words.partition(".")
        right = hmac.compare_digest(self._sign(words, subject).encode(), signature.encode("utf-8", "replace"))
        if right and until.isdecimal() and self._clock() <= int(until):
            return int(count)
        return None

    def _sign(self, words: str, subject: tuple[str, ...]) -> str:
        # With the lengths, so that no two subjects are the same bytes.
        told = "".join(f"{len(word)}:{word}" for word in (words, *subject))
        return hmac.new(self._key, told.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
