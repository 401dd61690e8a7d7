"""The rows of the tables: peers, plain Celery, and ours."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dispatch.row import BARE, DEFAULT, DRAMATIQ, URL, Row, Shape
from proj.queues import CLASSIC, QUORUM, WORK_QUEUE

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The queues of plain Celery and of dramatiq where nobody names another.
CELERY_QUEUE, DRAMATIQ_QUEUE = "celery", "default"
#: The messages that a worker holds where the window is fixed.
WINDOW = 32


def rows(shape: Shape) -> list[Row]:
    """Every way to consume, for workers of this shape."""
    return [*peers(shape), *plain(shape), *ours(shape), *with_results(shape)]


def peers(shape: Shape) -> Iterator[Row]:
    """A bare loop with pika, which has one slot a process and no pool, and dramatiq, whose slots are threads."""
    for prefetch in (1, 100) if shape.slots == 1 else ():
        command = ("-m", "dispatch.pika_loop", URL, "bare", str(prefetch), CLASSIC)
        yield Row(
            name=f"pika-{prefetch}",
            command=command,
            queue="bare",
            messages=BARE,
            workers=shape.workers,
            scale=4,
            needs="pika",
        )
    command = ("-m", "dramatiq", "--processes", "1", "--threads", str(shape.slots), "dispatch.actors")
    yield Row(
        name="dramatiq",
        command=command,
        queue=DRAMATIQ_QUEUE,
        messages=DRAMATIQ,
        environment={"BENCH_BROKER_URL": URL},
        workers=shape.workers,
        scale=3,
        needs="dramatiq",
    )


def plain(shape: Shape) -> Iterator[Row]:
    """Celery without anything of ours."""
    yield stock(DEFAULT, shape, "default")
    if shape == Shape():
        yield stock(f"celery-solo-{WINDOW}", Shape(pool="solo"), "late", *window(WINDOW), scale=2)
    yield stock(f"celery-{WINDOW}-quorum", shape, "late_quorum", *window(WINDOW))
    yield stock(f"celery-{WINDOW}-events-quorum", shape, "late_quorum", *window(WINDOW), events=True)
    yield stock("celery-fair-events-classic", shape, "late", *window(1), events=True)
    yield stock("celery-fair-events-quorum", shape, "late_quorum", *window(1), events=True)


def ours(shape: Shape) -> Iterator[Row]:
    """Our app, with events, results ignored."""
    for queue_type in (CLASSIC, QUORUM):
        name = f"events-{queue_type}"
        yield proj(f"proj-fair-{name}", shape, dispatch="fair", queue_type=queue_type, beside=f"celery-fair-{name}")
    beside = f"celery-{WINDOW}-events-quorum"
    # In fair dispatch the number of messages a slot is what the option says.
    yield proj(f"proj-{WINDOW}-events-quorum", shape, *window(WINDOW), dispatch="fair", beside=beside)
    for queue_type in (CLASSIC, QUORUM):
        name = f"proj-adaptive-events-{queue_type}"
        yield proj(name, shape, dispatch="adaptive", queue_type=queue_type)
    # A setting on the command line, in the place of ours.
    silent = proj("proj-adaptive-quorum", shape, "worker.send_task_events=0", dispatch="adaptive")
    yield replace(silent, events=False)


def with_results(shape: Shape) -> Iterator[Row]:
    """Our app as shipped, and plain Celery with the same result backend and otherwise its defaults."""
    yield stock("celery-rpc", shape, "rpc", results=True)
    as_shipped = proj("proj-shipped", shape, results=True, scale=0.5, beside="celery-rpc")
    yield as_shipped


def stock(name: str, shape: Shape, app: str, *options: str, events: bool = False, **more: Any) -> Row:  # noqa: ANN401 fields of Row
    """A plain app of `dispatch.stock`."""
    if events:
        options = ("--task-events", *options)
    command = worker(f"dispatch.stock:{app}", shape, *options)
    return Row(name=name, command=command, queue=CELERY_QUEUE, events=events, workers=shape.workers, **more)


def proj(
    name: str,
    shape: Shape,
    *options: str,
    dispatch: str | None = None,
    queue_type: str = QUORUM,
    **more: Any,  # noqa: ANN401 fields of Row
) -> Row:
    """Our app; without a `dispatch` in its own default. Its settings turn events on."""
    environment = {"PROJ_QUEUE_TYPE": queue_type, **({"PROJ_DISPATCH": dispatch} if dispatch else {})}
    return Row(
        name=name,
        command=worker("proj", shape, *options),
        queue=WORK_QUEUE,
        environment=environment,
        events=True,
        workers=shape.workers,
        dispatch=dispatch,
        **more,
    )


def worker(app: str, shape: Shape, *options: str) -> tuple[str, ...]:
    """The command line of a Celery worker."""
    return (
        *("-m", "celery", "-A", app, "worker", "--pool", shape.pool, "--concurrency", str(shape.slots)),
        *("--without-mingle", "--include", "dispatch.tasks", *options),
    )


def window(messages: int) -> tuple[str, str]:
    """The option for this many messages a slot."""
    return "--prefetch-multiplier", str(messages)
