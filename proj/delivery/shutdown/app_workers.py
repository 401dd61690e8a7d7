"""Which of a broker's workers are an app's, told from the tasks that they have registered."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

#: How the names of the tasks begin that Celery gives to every app.
_CELERYS = "celery."


def own_tasks(names: Iterable[str]) -> frozenset[str]:
    """The names without those of Celery's own tasks."""
    return frozenset(name for name in names if not name.startswith(_CELERYS))


def workers_of(
    tasks: Collection[str],
    *,
    registered: Mapping[str, Collection[str]],
    queues: Mapping[str, Collection[str]],
    app_queues: Collection[str] = (),
) -> list[str]:
    """The node names of an app's workers, sorted.

    A worker is the app's when it has all tasks of the app, or has some and no other: it may run an older or a newer
    version. Two apps may share tasks of a library, and each has tasks of its own. A worker that does not say what it
    has is the app's when it consumes from queues of the app alone.

    Args:
        tasks: the names of the app's own tasks.
        registered: the names of the own tasks of each worker that says them.
        queues: the queues of each worker, also of those that do not answer.
        app_queues: those that the app's settings name.
    """
    wanted = frozenset(tasks)
    ours = {
        node
        for node, names in registered.items()
        if wanted & frozenset(names) and (wanted <= frozenset(names) or wanted >= frozenset(names))
    }
    known = frozenset(app_queues).union(*(queues.get(node, ()) for node in ours))
    silent = {node for node in queues if node not in registered and queues[node] and known.issuperset(queues[node])}
    return sorted(ours | silent)
