"""Thinning: bounds the number of bars, steps and quantiles, however many attempts they show."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: The most points of a line; a screen has no more columns for it.
MAX_STEPS = 600
#: The number of quantiles of a distribution that are drawn: one for each half per cent.
QUANTILES = 201


class Bar(NamedTuple):
    """One bar of a lane."""

    #: Begin and end in seconds from the start of the run.
    start: float
    end: float
    #: running, redelivered, unfinished, failed or lost.
    kind: str
    label: str = ""
    #: The number of attempts that it stands for.
    attempts: int = 1
    #: The share of its length in which these attempts ran, from 0 to 1.
    share: float = 1.0
    #: The place of the queue in the list of queues.
    queue: int = 0


def thin_bars(bars: Sequence[Bar], *, span_s: float, limit: int) -> list[Bar]:
    """The bars, unless they are more than `limit`; then short bars that are close together are joined.

    The time is divided into `limit` equal parts. Bars of one kind and queue that are shorter than a part and start
    in the same part become one bar. Longer bars stay. At most `limit` bars of each kind and queue and `limit` long
    bars remain.
    """
    if len(bars) <= limit or span_s <= 0:
        return list(bars)
    width_s = span_s / limit
    kept: list[Bar] = []
    places: dict[tuple[int, str, int], list[Bar]] = {}
    for bar in bars:
        if bar.end - bar.start >= width_s:
            kept.append(bar)
        else:
            places.setdefault((int(bar.start / width_s), bar.kind, bar.queue), []).append(bar)
    return sorted([*kept, *(_joined(together) for together in places.values())])


def steps(changes: Iterable[tuple[float, int]]) -> tuple[list[float], list[int]]:
    """The times at which a count changes, in order, and the count after each of them."""
    totals: dict[float, int] = {}
    total = 0
    for time, change in sorted(changes):
        total += change
        totals[time] = total
    return list(totals), list(totals.values())


def thin_steps(times: Sequence[float], values: Sequence[int], *, span_s: float) -> tuple[list[float], list[int]]:
    """The series, if it is short; else the highest value in each of `MAX_STEPS` equal parts: no peak is lost."""
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
    """The values in order, if they are few; else `QUANTILES` of them, including the lowest and the highest."""
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
    return Bar(
        start, end, bars[0].kind, attempts=sum(bar.attempts for bar in bars), share=round(share, 3), queue=bars[0].queue
    )
