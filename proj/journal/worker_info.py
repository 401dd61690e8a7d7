"""What workers say of themselves over the control bus, and the command that makes them send events of tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proj.broker.control_bus import ControlBus
from proj.broker.worker_replies import by_node, read_early, read_queues, read_stats
from proj.journal.records import Worker
from proj.queues import is_plumbing

if TYPE_CHECKING:
    from collections.abc import Collection

    from celery import Celery

#: Seconds that workers may take to reply.
TIMEOUT_S = 1.0
#: The dispatch mode that not every worker can do.
ADAPTIVE = "adaptive"
#: The module of the pool that runs tasks in the main process, and blocks its heartbeats meanwhile.
SOLO = "celery.concurrency.solo:"
#: Tasks of one worker that are kept as acknowledged early. Anyone who can publish could name any number.
MOST_EARLY = 1000


def enable_events(app: Celery) -> None:
    """Tell all workers to send events of tasks, as Flower does; those that were started with -E do so already."""
    with app.connection_for_write() as connection:
        app.control.enable_events(connection=connection)


def ask_workers(app: Celery, names: Collection[str] | None = None, *, timeout_s: float = TIMEOUT_S) -> list[Worker]:
    """The slots, queues, dispatch mode, early tasks and counts of the named workers, or of all, by name.

    A worker that gives no reply at all for `timeout_s` seconds is missing. With names it returns as soon as all have
    replied. `processed` and `given_back` count since the worker's own start; `window` and `held` are those of now.

    Raises:
        NoBroker: no broker answers.
    """
    with ControlBus(app) as bus:
        stats = by_node(bus.ask("stats", nodes=names, timeout_s=timeout_s), object)
        queues = by_node(bus.ask("active_queues", nodes=names, timeout_s=timeout_s), object)
        registered = by_node(bus.ask("registered", nodes=names, timeout_s=timeout_s, taskinfoitems=["acks_late"]), list)
        settings = by_node(bus.ask("conf", nodes=names, timeout_s=timeout_s, with_defaults=True), object)
    workers = []
    for name in sorted(stats.keys() | queues.keys() | settings.keys()):
        if not name.isascii():
            continue
        said = read_stats(stats.get(name))
        workers.append(
            Worker(
                name=name,
                slots=said.slots,
                queues=tuple(sorted(_work_queues(queues.get(name)))),
                dispatch=dispatch(settings.get(name), adapts=said.adaptive if name in stats else None),
                processed=said.started,
                window=said.window,
                held=said.in_advance if said.adaptive else None,
                given_back=said.given_back,
                solo=said.pool.startswith(SOLO),
                memory_bytes=said.memory_bytes,
                early=tuple(read_early(registered[name])[:MOST_EARLY]) if name in registered else None,
            )
        )
    return workers


def dispatch(settings: object, *, adapts: bool | None = None) -> str | None:
    """The dispatch mode that a worker's settings amount to; `proj_dispatch` says it, where it is set.

    `adapts` is whether its statistics say that it is in adaptive dispatch: a worker that cannot do it, such as one with
    the pool solo, goes by its other settings. None when it did not say.

    Multiplier 0 is round-robin: RabbitMQ then hands out messages in turn without a limit. One message a slot that is
    acknowledged late is fair. Anything else is "other". None when the settings do not tell.
    """
    if not isinstance(settings, dict):
        return None
    said = settings.get("proj_dispatch")
    if isinstance(said, str) and said and not (said == ADAPTIVE and adapts is False):
        return said
    multiplier = settings.get("worker_prefetch_multiplier")
    if not isinstance(multiplier, int):
        return None
    if multiplier == 0:
        return "round-robin"
    return "fair" if multiplier == 1 and settings.get("task_acks_late") is True else "other"


def _work_queues(reply: object) -> list[str]:
    """The queues that a worker's tasks come from: not its own for broadcasts."""
    return [name for name in read_queues(reply) if name.isascii() and not is_plumbing(name)]
