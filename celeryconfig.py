"""Celery settings of the app, each with its reason; environment variables are checked here.

`proj/settings.py` is a symbolic link to this file, and the app loads that.
"""

from __future__ import annotations

from celery.app.backends import BACKEND_ALIASES as _BACKEND_ALIASES

from proj import environment as _environment
from proj import queues as _queues

# A misspelt variable would have no effect.
_environment.refuse_misspelt()

# --- Dispatch: only here PROJ_DISPATCH becomes settings -----------------------------------------

_MODES = {
    # RabbitMQ's default: each message goes to the next worker in turn, whatever it weighs. It is
    # acknowledged before its task starts.
    "round-robin": {"late": False, "multiplier": 0},
    # basic.qos(prefetch_count=1): a worker gets its next message when it has a free slot.
    "fair": {"late": True, "multiplier": 1},
    # As fair, but a worker of short tasks gets the next messages in advance. It gives back what it does not begin soon.
    "adaptive": {"late": True, "multiplier": 1},
}
#: A setting, so that `inspect conf` shows the worker's mode.
proj_dispatch = _environment.choice("PROJ_DISPATCH", _MODES, default="adaptive")
#: When True, a task is acknowledged after its work. RabbitMQ redelivers the tasks of a dead worker to another.
task_acks_late = _MODES[proj_dispatch]["late"]
#: When True, a task whose pool process died is requeued instead of acknowledged as failed.
task_reject_on_worker_lost = _MODES[proj_dispatch]["late"]
#: Messages that a worker may hold for each slot; 0 means no limit.
worker_prefetch_multiplier = _MODES[proj_dispatch]["multiplier"]

# --- The broker ---------------------------------------------------------------------------------

#: Celery reads CELERY_BROKER_URL itself too; here it is checked.
broker_url = _environment.broker_url()
#: For amqps://. Certificates and host names are always checked; PROJ_BROKER_CA names a CA of your own.
broker_use_ssl = _environment.broker_tls(broker_url)
#: For every connection.
broker_transport_options = {
    # Seconds. Without these, a half-open connection blocks a worker in a read for ever: the worker
    # lives and does nothing. With 8 s a worker was measured to recover after one timeout.
    "read_timeout": 8,
    "write_timeout": 8,
}
#: Seconds. A publish returns when RabbitMQ has confirmed the message. Until then the message is published again, which
#: is long enough for a restart of RabbitMQ (a minute at most). After this time the publish raises `Unconfirmed`.
proj_publish_timeout_s = 90.0
#: Seconds for which a publish to a full queue (`queues policy --apply --max-length N`) is retried before it raises
#: `QueueFull`. It is short because nothing is lost: the caller can publish again. A publish from within a task, and
#: `send_many`, wait for `proj_publish_timeout_s` instead.
proj_queue_full_timeout_s = 10.0
#: Seconds. RabbitMQ's timers take milliseconds of 32 bits.
_LONGEST_TIMEOUT_S = 4_294_967.0
#: Seconds after which RabbitMQ redelivers an unacknowledged message: the value of its own `consumer_timeout`. A task
#: that takes longer keeps its message by a lease, or because the worker sets a longer timeout on RabbitMQ 4.3
#: (`proj.delivery.consuming.consumer_timeout`).
proj_consumer_timeout_s = _environment.seconds("PROJ_CONSUMER_TIMEOUT_SECONDS", default=1800.0, most=_LONGEST_TIMEOUT_S)
#: Seconds. A dead connection is noticed after 20 s instead of 4 minutes. A worker with `--pool solo` sends no heartbeat
#: while a task runs, so RabbitMQ closes its connection, and redelivers the task, after 20 s.
broker_heartbeat = 10
#: A worker may be started before its broker.
broker_connection_retry_on_startup = True
#: RabbitMQ closes a channel for reasons that go away: a delivery that took too long, or a control queue that a dead
#: connection still holds. The worker connects again instead of ending.
broker_channel_error_retry = True

# --- Queues: durable, and every message persistent ----------------------------------------------

#: Quorum queues are replicated and count deliveries. Classic is for sharing a queue with older clients.
_queue_type = _environment.choice("PROJ_QUEUE_TYPE", _queues.QUEUE_TYPES, default=_queues.QUORUM)
#: Topic patterns, such as "*.heavy,image.#": the worker consumes tasks that match them instead of the work queue.
proj_bind = _environment.patterns("PROJ_BIND", longest=_queues.LONGEST_PATTERNS)
#: The pattern queue is listed so that `queues policy` knows it. `proj.delivery.consuming.bindings` decides which of
#: them a worker consumes from.
task_queues = (_queues.work_queue(_queue_type), *([_queues.bound_queue(proj_bind, _queue_type)] if proj_bind else ()))
task_default_queue = _queues.WORK_QUEUE
task_default_routing_key = _queues.WORK_QUEUE
task_default_exchange = _queues.TASKS.name
task_default_exchange_type = _queues.TASKS.type
#: Each stage of the pipeline has a queue of its own. These are not in `task_queues`, so only a worker that is started
#: with `-Q my_queue` or `-Q upper` consumes from them.
task_routes = {
    "proj.tasks.to_upper": {"queue": _queues.UPPERCASE_QUEUE},
    "proj.tasks.printer": {"queue": _queues.PRINT_QUEUE},
}
#: A queue that only `-Q` or `queue=` names is declared like the work queue.
task_create_missing_queue_type = _queue_type
task_create_missing_queue_exchange_type = _queues.TASKS.type
#: RabbitMQ writes messages to disk, so they survive its restart.
task_default_delivery_mode = "persistent"

#: The task that runs for a plain text message, without Celery's headers, that another AMQP client published to a queue.
proj_adopt = {
    _queues.WORK_QUEUE: "proj.tasks.work",
    _queues.UPPERCASE_QUEUE: "proj.tasks.to_upper",
    _queues.PRINT_QUEUE: "proj.tasks.printer",
}

# --- Results ------------------------------------------------------------------------------------

#: Results travel over the broker, so no other service has to run.
result_backend = _environment.url(
    "CELERY_RESULT_BACKEND",
    _BACKEND_ALIASES,
    default="rpc://",
    allowed="the URL of a Celery result backend, such as rpc:// or redis://localhost",
)
#: Results are written to disk too, so they survive a restart of RabbitMQ before `get()`.
result_persistent = True
#: Seconds. Each client has a reply queue of its own, which RabbitMQ deletes an hour after the client left.
result_expires = 3600

# --- Messages -----------------------------------------------------------------------------------

#: Only JSON: every client can read it, and reading it never executes code.
task_serializer = "json"
result_serializer = "json"
accept_content = ["json"]
#: All machines write times in UTC.
enable_utc = True
timezone = "UTC"

# --- What monitors see --------------------------------------------------------------------------

#: Flower, the demo and the journal need these events.
worker_send_task_events = True
#: The time of the publish, without which the wait in the broker is unknown.
task_send_sent_event = True
#: The state of a running task is STARTED, not PENDING.
task_track_started = True

# --- The work -----------------------------------------------------------------------------------

#: Seconds that one dot takes.
proj_dot_seconds = _environment.seconds("PROJ_DOT_SECONDS", default=1.0, most=3600.0)
