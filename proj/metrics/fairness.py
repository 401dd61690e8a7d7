"""Fairness: Jain's index."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def jain(shares: Iterable[float]) -> float:
    """From 1/n, when one has everything, to 1, when all have the same; 1 too when nobody has anything.

    (sum x)² / (n · sum x²). Source: R. Jain, D. Chiu and W. Hawe, A Quantitative Measure of Fairness and
    Discrimination for Resource Allocation in Shared Computer Systems (DEC-TR-301, 1984).
    """
    shares = list(shares)
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 1.0
