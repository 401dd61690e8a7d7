"""Plural: a number with its noun, as in `1 run` and `2 runs`."""

from __future__ import annotations


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """The number, with commas between thousands, and the noun in the form that belongs to it."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
