"""Fairness: Jain's index of how evenly shares are distributed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def jain(shares: Iterable[float]) -> float:
    """Jain's fairness index of n shares x: (sum x)² / (n · sum x²), a number without a unit.

    It is 1 if all shares are equal (also if all are 0), and 1/n if one share is everything.

    Source: R. Jain, D. Chiu and W. Hawe, A Quantitative Measure of Fairness and Discrimination for Resource Allocation
    in Shared Computer Systems (DEC-TR-301, 1984).
    """
    shares = list(shares)
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 1.0
