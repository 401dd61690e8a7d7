"""A task that leaves Flower's state is freed at once."""

from __future__ import annotations

import gc
import pickle
from typing import TYPE_CHECKING
from weakref import ref

import pytest
from celery.events.state import State, Task

from proj.dashboard.web.evicted_tasks import AcyclicTask

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def state() -> State:
    """A state of two tasks at most, as Flower's."""
    state = State(max_tasks_in_memory=2)
    state.Task = AcyclicTask
    return state


@pytest.fixture
def _uncollected() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_uncollected")
def test_evicted_task_is_freed_without_a_collection(state: State) -> None:
    """Two minutes of such tasks were three times what the state holds."""
    hear(state, "a")
    evicted = ref(state.tasks["a"])

    hear(state, "b")
    assert evicted() is not None
    hear(state, "c")

    assert list(state.tasks) == ["b", "c"]
    assert evicted() is None


def test_task_is_shown_and_saved_as_one_of_celery(state: State) -> None:
    """For Flower's pages, and for its --persistent."""
    hear(state, "a", parent="p")
    celerys = State()
    hear(celerys, "a", parent="p")

    task = state.tasks["a"]

    assert type(task) is AcyclicTask
    assert task.as_dict() == celerys.tasks["a"].as_dict()
    assert pickle.loads(pickle.dumps(task)).as_dict()["parent_id"] == "p"  # noqa: S301 our own bytes


def test_task_of_celery_has_the_cycle_that_ours_leaves_out() -> None:
    """When this fails, our class is not needed any more."""
    task = Task(uuid="a")

    assert vars(task)["_serializer_handlers"].keys() == AcyclicTask(uuid="a")._serializer_handlers.keys()  # noqa: SLF001 what is tested


def hear(state: State, task_id: str, parent: str | None = None) -> None:
    for clock, kind in enumerate(("received", "started", "succeeded")):
        state.event(
            {
                "type": f"task-{kind}",
                "uuid": task_id,
                "hostname": "w@h",
                "parent_id": parent,
                "timestamp": 1.0 + clock,
                "local_received": 1.0 + clock,
                "clock": clock,
                "pid": 1,
                "utcoffset": 0,
            }
        )
