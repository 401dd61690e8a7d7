"""Deployment settings only: what the environment says, checked, each with its reason."""

from __future__ import annotations

from celery.app.backends import BACKEND_ALIASES as _BACKEND_ALIASES

from proj import environment as _environment
from proj import queues as _queues

# --- How tasks are dispatched: the one place that turns PROJ_DISPATCH into settings -------------

_MODES = {
    # RabbitMQ's default: each message goes to the next worker in turn, whatever it weighs, and is
    # forgotten as soon as its work starts.
    "round-robin": {"late": False, "multiplier": 0},
    # basic.qos(prefetch_count=1): a worker gets its next message when it has a free slot.
    "fair": {"late": True, "multiplier": 1},
}
#: Kept as a setting so that `inspect conf` shows which mode a worker runs in.
proj_dispatch = _environment.choice("PROJ_DISPATCH", _MODES, default="fair")
#: Late: a task is acknowledged when its work is done, so that a dead worker's task is given to another.
task_acks_late = _MODES[proj_dispatch]["late"]
#: A task whose pool process died goes back to its queue instead of being acknowledged as failed.
task_reject_on_worker_lost = _MODES[proj_dispatch]["late"]
#: Messages a worker may hold for each of its slots; 0 is without limit.
worker_prefetch_multiplier = _MODES[proj_dispatch]["multiplier"]

# --- The broker ---------------------------------------------------------------------------------

#: The standard name; Celery reads the variable itself too, here it is checked.
broker_url = _environment.broker_url()
#: For every connection of ours.
broker_transport_options = {
    # Without these a half-open connection blocks a worker inside a read for ever: it stays alive
    # and idle. Two heartbeats of four seconds were measured to recover in one.
    "read_timeout": 8,
    "write_timeout": 8,
}
#: Seconds. A publish returns when the broker has confirmed the message. Until then it is tried again, which outlives a
#: restart of the broker (a minute at most). After this time it raises `Unconfirmed`.
proj_publish_timeout_s = 90.0
#: Seconds. A queue that is full (`queues policy --apply --max-length N`) has not lost anything: its caller is told
#: soon, and may try again. What a task sends, and `send_many`, wait as long as for anything.
proj_queue_full_timeout_s = 10.0
#: Seconds after which the broker takes back a task that was not acknowledged, as its own `consumer_timeout` says;
#: a task that takes longer keeps its message by a lease (`proj.delivery.consuming.lease`).
proj_consumer_timeout_s = _environment.seconds("PROJ_CONSUMER_TIMEOUT_SECONDS", default=1800.0)
#: A dead connection is noticed in 20 s instead of 4 minutes. Mind `--pool solo`: it cannot beat while a
#: task runs, so the broker takes tasks of more than 20 s away from it.
broker_heartbeat = 10
#: A worker may be started before its broker.
broker_connection_retry_on_startup = True
#: The broker closes a channel for reasons that pass (a delivery that took too long, a control queue that
#: a dead connection still holds): connect again instead of ending the worker.
broker_channel_error_retry = True

# --- Queues: durable, and every message persistent ----------------------------------------------

#: Quorum queues are replicated and count deliveries; classic is for sharing with older clients.
_queue_type = _environment.choice("PROJ_QUEUE_TYPE", _queues.QUEUE_TYPES, default=_queues.QUORUM)
#: Topic patterns, as "*.heavy,image.#", whose tasks a worker takes in place of those of the work queue.
proj_bind = _environment.patterns("PROJ_BIND", longest=_queues.LONGEST_PATTERNS)
#: The pattern queue is listed so that `queues policy` knows it. Which of them a worker consumes from is decided in
#: `proj.delivery.consuming.bindings`.
task_queues = (_queues.work_queue(_queue_type), *([_queues.bound_queue(proj_bind, _queue_type)] if proj_bind else ()))
task_default_queue = _queues.WORK_QUEUE
task_default_routing_key = _queues.WORK_QUEUE
task_default_exchange = _queues.TASKS.name
task_default_exchange_type = _queues.TASKS.type
#: The stages of the pipeline have a queue each. Those are not among `task_queues`, so that only workers of a stage,
#: started with `-Q my_queue` or `-Q upper`, consume from them.
task_routes = {
    "proj.tasks.to_upper": {"queue": _queues.UPPERCASE_QUEUE},
    "proj.tasks.printer": {"queue": _queues.PRINT_QUEUE},
}
#: A queue named by `-Q` or `queue=` alone is made like ours.
task_create_missing_queue_type = _queue_type
task_create_missing_queue_exchange_type = _queues.TASKS.type
#: Written to disk by the broker, so that they outlive it.
task_default_delivery_mode = "persistent"

#: The tasks that adopt what other AMQP clients publish to a queue: plain texts, without anything of Celery's.
proj_adopt = {
    _queues.WORK_QUEUE: "proj.tasks.work",
    _queues.UPPERCASE_QUEUE: "proj.tasks.to_upper",
    _queues.PRINT_QUEUE: "proj.tasks.printer",
}

# --- Results ------------------------------------------------------------------------------------

#: Over the broker itself, so that nothing else has to run.
result_backend = _environment.url(
    "CELERY_RESULT_BACKEND",
    _BACKEND_ALIASES,
    default="rpc://",
    allowed="the URL of a Celery result backend, such as rpc:// or redis://localhost",
)
#: A result waits on disk too: a broker that restarts between work and get() forgets none.
result_persistent = True
#: Seconds; each client has a reply queue of its own, and an hour after it left nobody asks any more.
result_expires = 3600

# --- Messages -----------------------------------------------------------------------------------

#: JSON and nothing else: a message can be read by any client and never executes code.
task_serializer = "json"
result_serializer = "json"
accept_content = ["json"]
#: One clock for every machine.
enable_utc = True
timezone = "UTC"

# --- What monitors see --------------------------------------------------------------------------

#: Flower and the demo live on these.
worker_send_task_events = True
#: Without it nobody knows how long a task waited in the broker.
task_send_sent_event = True
#: A result says STARTED while its task runs.
task_track_started = True

# --- The work -----------------------------------------------------------------------------------

#: Seconds that one dot takes.
proj_dot_seconds = _environment.seconds("PROJ_DOT_SECONDS", default=1.0)
