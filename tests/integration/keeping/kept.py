"""An app of another project that uses `keep_messages`; its tasks write what they do into a file."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

from celery import Celery
from celery.app.amqp import AMQP
from celery.exceptions import Ignore, Reject
from kombu import Consumer, Queue

from proj.delivery.consuming.keep_messages import keep_messages
from proj.delivery.publishing.confirm_publishing import confirm_publishing
from proj.delivery.results import waiting_results
from proj.delivery.worker_steps import watch_worker
from proj.lab.processes.waiting import wait_until

#: Seconds that a task may wait for its test.
LONGEST_S = 60.0


class OwnConsumer(Consumer):
    """A class of the app's own for the queues of its workers."""


class OwnAMQP(AMQP):
    """A class of the app's own, as some apps have."""

    Consumer = OwnConsumer


app = Celery(
    "kept",
    broker=os.environ["CELERY_BROKER_URL"],
    backend=os.environ.get("KEPT_BACKEND", "rpc://"),
    amqp=OwnAMQP if os.environ.get("KEPT_OWN_AMQP") else None,
)
if os.environ.get("KEPT_CONFIRM"):
    confirm_publishing(app)
keep_messages(app)
if os.environ.get("KEPT_WATCH"):
    watch_worker(app)
waiting_results.KEPT_S = float(os.environ.get("KEPT_S", waiting_results.KEPT_S))
LATE = os.environ.get("KEPT_LATE", "1") == "1"
QUEUE_TYPE = os.environ.get("KEPT_QUEUE_TYPE", "quorum")
app.conf.update(
    task_acks_late=LATE,
    task_reject_on_worker_lost=LATE,
    worker_prefetch_multiplier=int(os.environ.get("KEPT_MULTIPLIER", "1")),
    result_persistent=True,
    proj_result_timeout_s=float(os.environ.get("KEPT_RESULT_TIMEOUT", "60")),
    proj_queue_full_timeout_s=float(os.environ.get("KEPT_QUEUE_FULL_TIMEOUT", "10")),
    proj_publish_timeout_s=float(os.environ.get("KEPT_PUBLISH_TIMEOUT", "90")),
    task_default_queue="kept",
    task_queues=[Queue("kept", routing_key="kept", queue_arguments={"x-queue-type": QUEUE_TYPE})],
    broker_connection_retry_on_startup=True,
    broker_channel_error_retry=True,
    control_queue_exclusive=False,
    worker_send_task_events=True,
    task_track_started=True,
    proj_strikes=int(os.environ.get("KEPT_STRIKES", "3")),
    proj_requeues=4,
    proj_adopt=json.loads(os.environ.get("KEPT_ADOPT", "{}")),
    worker_hijack_root_logger=False,
)


def note(line: str) -> None:
    """Append one line of evidence in one write."""
    with open(os.environ["KEPT_EVIDENCE"], "ab", buffering=0) as file:  # noqa: PTH123 one write, by one call
        file.write(f"{line}\n".encode())


def wait_for(path: str | None) -> None:
    """Wait until there is a file at that path; not at all without one."""
    if path is not None:
        wait_until(Path(path).exists, what=f"the file {path}", timeout_s=LONGEST_S)


@app.task(bind=True)
def good(self: Any, number: int, until: str | None = None) -> int:
    """Wait until there is a file, if one is named."""
    note(f"begin {number} {os.getpid()} {self.request.id}")
    wait_for(until)
    note(f"end {number} {os.getpid()} {self.request.id}")
    return number


@app.task(bind=True)
def loses_backend(self: Any) -> str:
    """Let the backend be away when this has ended."""
    note(f"begin loses_backend {self.request.id}")
    (Path(os.environ["KEPT_RESULTS"]) / "away").touch()
    note(f"end loses_backend {os.getpid()} {self.request.id}")
    return "what nobody will know"


@app.task(bind=True)
def answers(self: Any, *states: str, until: str | None = None, length: int = 0) -> str:
    """Tell the caller these states, wait until there is a file, and then tell that it has ended."""
    for state in states:
        if state == "FAILURE":
            raise LookupError(self.request.id)
        if state == "RETRY":
            raise self.retry(args=states[states.index("RETRY") + 1 :], countdown=0, max_retries=9)
        self.update_state(state=state)
    wait_for(until)
    note(f"end {self.request.id} {os.getpid()} {self.request.id}")
    return "x" * length


@app.task(bind=True)
def anything(self: Any, *_args: Any, **_kwargs: Any) -> str:
    note(f"end anything {self.request.properties.get('message_id')} {self.request.id}")
    return "done"


@app.task(bind=True, max_retries=1, default_retry_delay=0)
def hears(self: Any, text: Any) -> str:
    request = self.request
    note("heard " + json.dumps([text, request.id, request.retries, request.properties.get("correlation_id")]))
    if text == "leave":
        raise SystemExit(3)
    if text == "retry":
        raise self.retry()
    if text == "reject":
        raise Reject("it does not suit me", requeue=False)
    return f"heard {text}"


@app.task
def kills_worker() -> None:
    note("begin kills_worker")
    parent = os.getppid()
    os.kill(parent, signal.SIGKILL)
    wait_until(lambda: os.getppid() != parent, what="the end of the worker", timeout_s=LONGEST_S)


@app.task
def kills_itself() -> None:
    note("begin kills_itself")
    os.kill(os.getpid(), signal.SIGKILL)


@app.task
def leaves() -> None:
    note("begin leaves")
    raise SystemExit(3)


@app.task
def interrupts() -> None:
    note("begin interrupts")
    raise KeyboardInterrupt


@app.task
def needs_memory() -> None:
    note("begin needs_memory")
    raise MemoryError("more than there is")


@app.task
def rejects(requeue: int = 0) -> None:
    note("begin rejects")
    raise Reject("it does not suit me", requeue=bool(requeue))


@app.task
def ignores() -> None:
    note("begin ignores")
    raise Ignore


@app.task(bind=True, max_retries=2, default_retry_delay=0)
def retries(self: Any) -> None:
    note("begin retries")
    raise self.retry()


@app.task
def fails() -> None:
    note("begin fails")
    raise ValueError("no")


@app.task
def returns_what_cannot_be_encoded() -> object:
    note("begin returns_what_cannot_be_encoded")
    return object()


@app.task(time_limit=1)
def never_ends() -> None:
    note("begin never_ends")
    wait_until(lambda: False, what="its time limit", timeout_s=LONGEST_S)
