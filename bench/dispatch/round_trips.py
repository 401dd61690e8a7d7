"""Tasks that do nothing, in a worker that is one to twenty milliseconds away from its broker."""

from __future__ import annotations

import statistics
import time
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from kombu import Connection

from dispatch.consumption import consume, through
from dispatch.consumption_table import show, summary
from dispatch.delaying_proxy import DelayingProxy
from dispatch.row import Row, Shape
from dispatch.rows import proj, stock, window
from proj.broker.connection import connected

if TYPE_CHECKING:
    from dispatch.bench import Bench

#: Milliseconds. None is without a proxy, 0 with one that adds nothing: the difference is what the proxy itself costs.
ROUND_TRIPS_MS = (None, 0.0, 1.0, 5.0, 20.0)
#: As good as no limit: AMQP's greatest prefetch count. (Celery's option takes 0 for "not given".)
UNLIMITED = 65_535
#: Seconds for which a row with one task a round trip is measured.
FAIR_S = 4.0
#: Requests from which a round trip is measured.
PROBES = 30


def rows_at(round_trip_ms: float | None) -> list[Row]:
    """Fair, unlimited and adaptive at one distance, with events on a quorum queue; each beside unlimited prefetch."""
    where = "direct" if round_trip_ms is None else f"{round_trip_ms:g}ms"
    shape = Shape()
    beside = f"proj-unlimited-{where}"
    found = [
        stock("celery-fair", shape, "late_quorum", *window(1), events=True),
        stock("celery-unlimited", shape, "late_quorum", *window(UNLIMITED), events=True),
        proj("proj-fair", shape, dispatch="fair"),
        proj("proj-unlimited", shape, *window(UNLIMITED), dispatch="fair"),
        proj("proj-adaptive", shape, dispatch="adaptive"),
    ]
    return [replace(row, name=f"{row.name}-{where}", beside=beside) for row in found]


def names() -> list[str]:
    """The names of the rows."""
    return [row.name for distance in ROUND_TRIPS_MS for row in rows_at(distance)]


def measure(bench: Bench) -> None:
    """Measure all rows at all distances, and print their table."""
    with ExitStack() as stack:
        ports: dict[str, int | None] = {}
        rows = []
        for distance_ms in ROUND_TRIPS_MS:
            port = None
            if distance_ms is not None:
                proxy = DelayingProxy(bench.broker.port, distance_ms / 1000, guard=bench.guard)
                port = stack.enter_context(proxy).port
            bench.say(
                f"Round trip of {distance_ms} ms: {1000 * round_trip_s(bench.broker.url(), port):.2f} ms measured"
            )
            for row in rows_at(distance_ms):
                # One task a round trip, where the worker asks for no more.
                most = bench.tasks if "fair" not in row.name or not distance_ms else FAIR_S / (distance_ms / 1000)
                rows.append(replace(row, scale=min(1.0, most / bench.tasks)))
                ports[row.name] = port
        title = "Zero-dot tasks through a network, one worker of one slot, prefork pool"
        found = bench.in_turn(
            title,
            rows,
            lambda row: consume(row, bench.tasks, guard=bench.guard, broker=bench.broker, through_port=ports[row.name]),
        )
        show(bench, title, summary(rows, found))


def round_trip_s(url: str, port: int | None) -> float:
    """Seconds in which the broker answers a small request, the median of some."""
    with connected(Connection(url if port is None else through(url, port))) as connection:
        channel = connection.channel()
        times = []
        for _ in range(PROBES):
            begun = time.perf_counter()
            # One request and one answer.
            channel.basic_qos(0, 1, False)  # noqa: FBT003 AMQP's own argument
            times.append(time.perf_counter() - begun)
    return statistics.median(times)
