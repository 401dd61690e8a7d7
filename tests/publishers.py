"""The properties that publishers in other languages set in plain messages."""

from __future__ import annotations

from typing import Any

#: The properties that publishers of RabbitMQ's second tutorial set, with the defaults of their clients, by language.
PUBLISHERS: dict[str, dict[str, Any]] = {
    "python pika": {"delivery_mode": 2},
    "java PERSISTENT_TEXT_PLAIN": {"content_type": "text/plain", "delivery_mode": 2, "priority": 0},
    "go": {"content_type": "text/plain", "delivery_mode": 2},
    "javascript amqplib": {"application_headers": {}, "delivery_mode": 2},
    "dotnet": {"delivery_mode": 2},
    "php-amqplib": {"delivery_mode": 2},
    "php pecl": {"content_type": "text/plain", "delivery_mode": 2},
    "ruby bunny": {"content_type": "application/octet-stream", "delivery_mode": 2, "priority": 0},
    "elixir": {"delivery_mode": 2},
    "rust lapin": {},
    "perl": {"content_type": "application/octet-stream", "application_headers": {}, "delivery_mode": 1, "priority": 1},
    "spring": {
        "content_type": "text/plain",
        "content_encoding": "UTF-8",
        "application_headers": {},
        "delivery_mode": 2,
        "priority": 0,
    },
    "kombu text": {"content_type": "text/plain", "content_encoding": "utf-8", "delivery_mode": 2, "priority": 0},
    "kombu bytes": {"content_type": "application/data", "content_encoding": "binary", "delivery_mode": 2},
    "with all there is": {
        "content_type": "text/plain; charset=utf-8",
        "message_id": "order-4711",
        "correlation_id": "42",
        "reply_to": "answers",
        "expiration": "60000",
        "priority": 9,
        "timestamp": 1_767_225_600,
        "type": "order",
        "app_id": "shop",
        "user_id": "guest",
        "application_headers": {"tenant": "a", "retries": "many", "get": 1, "compression": None},
    },
}
