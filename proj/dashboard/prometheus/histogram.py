"""Histogram: the lengths of waits, by queue and dispatch mode."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client.metrics_core import HistogramMetricFamily
from prometheus_client.utils import floatToGoString

from proj.dashboard.prometheus.labels import OTHER

if TYPE_CHECKING:
    from collections.abc import Container

    from prometheus_client.metrics_core import Metric

#: Upper bounds of the buckets, in seconds: from a round trip to the broker to ten minutes.
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
#: A longer wait comes from a wrong clock or a forged event, and would spoil the sums for good.
LONGEST_WAIT_S = 31 * 24 * 3600.0


class WaitHistogram:
    """A histogram for each queue and dispatch mode."""

    def __init__(self) -> None:
        #: By pair: the number of waits in each bucket, not cumulative; and the sum of all waits.
        self._counts: dict[tuple[str, str], list[int]] = {}
        self._sums_s: dict[tuple[str, str], float] = {}

    def begin(self, pair: tuple[str, str]) -> None:
        """Begin the pair's histogram with zeros, so that its first wait is an increase."""
        if pair not in self._counts:
            self._counts[pair] = [0] * (len(BUCKETS_S) + 1)
            self._sums_s[pair] = 0.0

    def add(self, pair: tuple[str, str], wait_s: float | None) -> None:
        """Count a wait; one that is not known or not possible is left out."""
        if wait_s is None or not 0.0 <= wait_s <= LONGEST_WAIT_S:
            return
        self.begin(pair)
        self._counts[pair][bisect_left(BUCKETS_S, wait_s)] += 1
        self._sums_s[pair] += wait_s

    def keep(self, pairs: Container[tuple[str, str]]) -> None:
        """Remove the histograms of all other pairs."""
        for pair in [pair for pair in self._counts if pair[0] != OTHER and pair not in pairs]:
            del self._counts[pair], self._sums_s[pair]

    def metric(self, name: str, documentation: str) -> Metric:
        """The histograms as a metric."""
        metric = HistogramMetricFamily(name, documentation, labels=("queue", "dispatch"))
        bounds = [*map(floatToGoString, BUCKETS_S), "+Inf"]
        for pair, counts in self._counts.items():
            metric.add_metric(pair, list(zip(bounds, accumulate(counts), strict=True)), self._sums_s[pair])
        return metric
