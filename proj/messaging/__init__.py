"""Message queues without Celery: publish a text, work on each text that comes, acknowledge it."""

from __future__ import annotations

from proj.messaging.consumer import Consumer
from proj.messaging.launch import launch
from proj.messaging.message import Message
from proj.messaging.message_queue import MessageQueue
from proj.messaging.worker import Worker

__all__ = ["Consumer", "Message", "MessageQueue", "Worker", "launch"]
