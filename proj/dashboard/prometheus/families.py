"""Families: gauges and counters from values by their labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prometheus_client.metrics_core import Metric


def gauge(name: str, documentation: str, values: Mapping[tuple[str, ...], float], *labels: str) -> Metric:
    """A gauge."""
    metric = GaugeMetricFamily(name, documentation, labels=labels)
    for key, value in values.items():
        metric.add_metric(key, value)
    return metric


def counter(name: str, documentation: str, values: Mapping[tuple[str, ...], float], *labels: str) -> Metric:
    """A counter; `_total` is added to its name."""
    metric = CounterMetricFamily(name, documentation, labels=labels)
    for key, value in values.items():
        metric.add_metric(key, value)
    return metric
