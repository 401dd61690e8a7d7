"""The shop's settings: a module of the name that Celery's own documentation uses."""

from kombu import Exchange, Queue

_exchange = Exchange("shop", type="topic")
_quorum = {"x-queue-type": "quorum"}

task_queues = [
    Queue(name, _exchange, routing_key=name, queue_arguments=_quorum) for name in ("orders", "mails", "images")
]
task_default_queue = "orders"
task_default_exchange = "shop"
task_default_exchange_type = "topic"
task_default_routing_key = "orders"
task_routes = {
    "shop.tasks.mail": {"queue": "mails"},
    "shop.tasks.newsletter": {"queue": "mails"},
    "shop.tasks.thumbnail": {"queue": "images"},
}
task_acks_late = True
task_reject_on_worker_lost = True
worker_prefetch_multiplier = 1
worker_send_task_events = True
task_send_sent_event = True
broker_connection_retry_on_startup = True
result_backend = "rpc://"
beat_schedule = {"tidy up": {"task": "shop.tasks.tidy", "schedule": 1.0}}
