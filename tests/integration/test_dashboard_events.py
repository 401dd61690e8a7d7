"""No forged event or reply breaks a page of the dashboard; anyone who reaches the broker can send them."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Serve, Site

pytestmark = pytest.mark.one_version

TASKS = (
    "/tasks/datatable?draw=1&start=0&length=1000&search[value]="
    "&order[0][column]=0&columns[0][data]=name&order[0][dir]=asc"
)
PAGES = ("/", "/workers", "/workers?json=1", "/tasks", TASKS, "/metrics", "/dispatch", "/dispatch/data")


def heartbeat(**fields: Any) -> dict[str, Any]:
    """A worker's heartbeat, as the receiver gives it on."""
    return {
        "type": "worker-heartbeat",
        "hostname": "good@host",
        "pid": 1,
        "clock": 5,
        "utcoffset": 0,
        "timestamp": time.time(),
        "local_received": time.time(),
        "freq": 2.0,
        "active": 0,
        "processed": 3,
        "loadavg": [0.5, 0.25, 0.0],
        "sw_ident": "py-celery",
        "sw_ver": "5.7.0",
        "sw_sys": "Linux",
        **fields,
    }


def received(**fields: Any) -> dict[str, Any]:
    """A task's first event from its worker, as the receiver gives it on."""
    return {
        "type": "task-received",
        "uuid": "good-task",
        "hostname": "good@host",
        "pid": 1,
        "clock": 6,
        "utcoffset": 0,
        "timestamp": time.time(),
        "local_received": time.time(),
        "name": "app.good",
        "args": "(1,)",
        "kwargs": "{}",
        "retries": 0,
        "eta": None,
        "expires": None,
        "root_id": "good-task",
        "parent_id": None,
        **fields,
    }


#: Values that JSON can carry and that are invalid in some field.
GARBAGE: tuple[Any, ...] = (
    *("", "x", "\ud800", "<img src=x onerror=alert(1)>", "x" * 100_000),
    *(-1, 10**400, 1e300, float("nan"), float("inf"), True, {}, {"x": []}, [], [[]], ["x", None]),
)
WORKER_FIELDS = (
    *("type", "hostname", "pid", "clock", "utcoffset", "timestamp", "local_received", "freq", "active", "processed"),
    *("loadavg", "sw_ident", "sw_ver", "sw_sys", "heartbeats", "event", "alive", "status_string", "id", "update"),
)
TASK_FIELDS = (
    *("type", "uuid", "hostname", "pid", "clock", "utcoffset", "timestamp", "local_received", "name", "args", "kwargs"),
    *("retries", "eta", "expires", "root_id", "parent_id", "runtime", "result", "exception", "traceback", "exchange"),
    *("routing_key", "queue", "state", "worker", "client", "children", "cluster_state", "parent", "root", "sent"),
    *("received", "started", "succeeded", "event", "as_dict", "_serializer_handlers", "_fields", "ready", "info"),
)


@pytest.fixture
def site(serve: Serve) -> Iterator[Site]:
    """A dashboard with one worker and one task."""
    with serve() as site:
        site.hear(heartbeat(), received())
        yield site


def assert_worker_and_task_are_shown(site: Site, *more: str) -> None:
    answers = {path: site.ask(path) for path in (*PAGES, "/task/good-task", *more)}
    assert {path: answer.status for path, answer in answers.items() if answer.status != 200} == {}
    workers = {worker["hostname"]: worker["status"] for worker in answers["/workers?json=1"].json["data"]}
    assert workers["good@host"] is True
    assert "good@host" in answers["/workers"].text
    assert "good-task" in [task["uuid"] for task in answers[TASKS].json["data"]]
    assert 'task="app.good"' in answers["/metrics"].text


def test_forged_worker_events_break_no_page(site: Site) -> None:
    """In stock Flower, one forged heartbeat makes the list of workers answer 500 until the worker is gone."""
    for field in WORKER_FIELDS:
        for value in GARBAGE:
            for name in ("good@host", f"forged-{field}@host"):
                site.hear({**heartbeat(hostname=name), field: value})
    site.hear(heartbeat())

    assert_worker_and_task_are_shown(site)


def test_forged_task_events_break_no_page(site: Site) -> None:
    """Neither the page of a task nor the search."""
    for field in TASK_FIELDS:
        for kind in ("received", "started", "succeeded", "sent", "failed", "custom"):
            for value in GARBAGE:
                site.hear({**received(uuid=f"forged-{field}", type=f"task-{kind}", runtime=1.0), field: value})
    site.hear(received())

    assert_worker_and_task_are_shown(site, f"{TASKS}&search[value]=forged", "/task/forged-args")
    for page in (f"{TASKS}&order[0][column]=0&columns[0][data]={field}" for field in TASK_FIELDS):
        assert site.ask(page).status == 200


def test_malformed_event_is_refused_and_counted(site: Site) -> None:
    """The receiver gives None for a message that it cannot decode."""
    site.hear(None, [], "text", 5, {}, {"type": "worker-heartbeat"}, heartbeat(type="heartbeat"), heartbeat(active="x"))

    assert site.listener.refused == 8
    assert [event["type"] for event in site.listener.heard] == ["worker-heartbeat", "task-received"]


def test_event_of_another_kind_reaches_the_monitor_with_all_fields(site: Site) -> None:
    """The lab marks its runs with such events, and Flower only counts them."""
    mark = heartbeat(type="dispatch-run", run="fair-1", state="began", queues=["task_queue"])

    site.hear(mark)

    assert site.listener.heard[-1] == mark
    assert_worker_and_task_are_shown(site)


def test_flood_of_worker_names_does_not_replace_earlier_workers(serve: Serve) -> None:
    """Memory and list are bounded, and a worker from before the flood stays in the list."""
    with serve(max_workers=50) as site:
        site.hear(heartbeat(), received())
        site.hear(*(heartbeat(hostname=f"many-{number}@host") for number in range(5000)))
        site.hear(*(received(hostname=f"many-{number}@host", uuid=str(number)) for number in range(5000)))
        site.hear(heartbeat())

        assert_worker_and_task_are_shown(site)
        assert len(site.application.events.state.workers) == len(site.application.events.state.counter) == 50
        assert site.ask("/metrics").text.count('flower_worker_online{worker="many-') == 49


def test_silent_worker_is_replaced_by_a_new_one(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a flood, new workers are accepted, and no counter and no series of the flood is left."""
    now = [1000.0]
    monkeypatch.setattr("proj.dashboard.web.event_filter.time", SimpleNamespace(monotonic=lambda: now[0]))
    # One event a slice: on a busy machine, the flood is still being taken when the new worker comes.
    monkeypatch.setattr("proj.dashboard.web.event_batches.SLICE_S", 0.0)
    with serve(max_workers=50) as site:
        for number in range(100):
            site.application.events.on_event(received(hostname=f"flood-{number}@host", uuid=str(number)))
        now[0] += 1000.0
        site.hear(heartbeat(), received())

        assert_worker_and_task_are_shown(site)
        assert list(site.application.events.state.counter) == ["good@host"]
        assert list(site.application.events.state.tasks_by_worker) == ["good@host"]
        assert "flood-1@host" not in site.ask("/metrics").text


STATS = {"pool": {"max-concurrency": 1}, "broker": {"hostname": "rabbit"}, "total": {"app.good": 1}, "pid": 1}
QUEUE = {
    "name": "good-queue",
    "exclusive": False,
    "durable": True,
    "routing_key": "",
    "no_ack": False,
    "exchange": {},
    "alias": None,
    "queue_arguments": None,
    "binding_arguments": None,
    "auto_delete": False,
}
REPLIES: dict[str, Any] = {
    "stats": STATS,
    "active_queues": [QUEUE],
    "registered": ["app.good"],
    "scheduled": [],
    "active": [],
    "reserved": [],
    "revoked": [],
    "conf": {"timezone": "UTC"},
}


def test_forged_replies_do_not_break_the_page_of_a_worker(site: Site) -> None:
    """Stock Flower keeps a forged reply, and answers 500 from then on."""
    for method, response in REPLIES.items():
        site.answer("good@host", method, response)
    hostile = [
        *filter(None, GARBAGE),
        None,
        {"total": 5},
        {**STATS, "uptime": "x"},
        {**STATS, "total": {"x": "y"}},
        [{"name": 5}],
    ]
    for method in REPLIES:
        for response in hostile:
            site.answer("good@host", method, response)
            for name in ("forged@host", *GARBAGE[:4]):
                site.answer(name, method, response)

    page = site.ask("/worker/good@host")
    assert page.status == 200
    assert "good-queue" in page.text
    assert site.ask("/broker").status in {200, 404}
