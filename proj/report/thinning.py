"""Bars, steps and quantiles that stay few however many attempts they show."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: How many points a line may have; more than a screen has columns for it would show nothing more.
MAX_STEPS = 600
#: The quantiles of a distribution that are drawn: one every half percent.
QUANTILES = 201


class Bar(NamedTuple):
    """A stretch of time in a lane."""

    #: Seconds from the start of the run.
    start: float
    end: float
    #: running, redelivered, unfinished, failed or lost.
    kind: str
    label: str = ""
    #: How many attempts it stands for, and which share of its length they filled.
    attempts: int = 1
    share: float = 1.0


def thin_bars(bars: Sequence[Bar], *, span_s: float, limit: int) -> list[Bar]:
    """The bars themselves when they are few, else short ones of one kind and one place joined.

    With `limit` places to a lane, a bar shorter than a place is joined with the others of its kind that start
    in the same place; the longer ones stay, so that at most `limit` of each kind and `limit` long ones are left.
    """
    if len(bars) <= limit or span_s <= 0:
        return list(bars)
    width_s = span_s / limit
    kept: list[Bar] = []
    places: dict[tuple[int, str], list[Bar]] = {}
    for bar in bars:
        if bar.end - bar.start >= width_s:
            kept.append(bar)
        else:
            places.setdefault((int(bar.start / width_s), bar.kind), []).append(bar)
    return sorted([*kept, *(_joined(together) for together in places.values())])


def steps(changes: Iterable[tuple[float, int]]) -> tuple[list[float], list[int]]:
    """The running total after each time at which it changed, as times and totals."""
    totals: dict[float, int] = {}
    total = 0
    for time, change in sorted(changes):
        total += change
        totals[time] = total
    return list(totals), list(totals.values())


def thin_steps(times: Sequence[float], values: Sequence[int], *, span_s: float) -> tuple[list[float], list[int]]:
    """The series itself when it is short, else the highest value of each of equal stretches: no peak is lost."""
    if len(times) <= MAX_STEPS or span_s <= 0:
        return [round(time, 3) for time in times], list(values)
    width_s = span_s / MAX_STEPS
    highest: dict[int, int] = {}
    last: dict[int, int] = {}
    for time, value in zip(times, values, strict=True):
        place = max(0, min(MAX_STEPS - 1, int(time / width_s)))
        highest[place] = max(highest.get(place, value), value)
        last[place] = value
    thin_times, thin_values = [], []
    for place, value in highest.items():
        thin_times.append(round(place * width_s, 3))
        thin_values.append(value)
        if last[place] != value and place + 1 not in highest:
            thin_times.append(round((place + 1) * width_s, 3))
            thin_values.append(last[place])
    return thin_times, thin_values


def quantiles(values: Sequence[float]) -> list[float]:
    """The values themselves, in order, when they are few; else 201 of them, the lowest and the highest included."""
    ordered = sorted(values)
    if len(ordered) <= QUANTILES:
        return [round(value, 4) for value in ordered]
    last = len(ordered) - 1
    return [round(ordered[round(last * place / (QUANTILES - 1))], 4) for place in range(QUANTILES)]


def _joined(bars: Sequence[Bar]) -> Bar:
    if len(bars) == 1:
        return bars[0]
    start, end = min(bar.start for bar in bars), max(bar.end for bar in bars)
    filled_s = sum(bar.end - bar.start for bar in bars)
    share = min(1.0, filled_s / (end - start)) if end > start else 1.0
    return Bar(start, end, bars[0].kind, attempts=sum(bar.attempts for bar in bars), share=round(share, 3))
