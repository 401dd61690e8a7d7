"""Message queues for people who want just that: no Celery, no tasks, a text and whoever works on it."""

from __future__ import annotations

from proj.messaging.consumer import Consumer
from proj.messaging.launch import launch
from proj.messaging.message import Message
from proj.messaging.message_queue import MessageQueue
from proj.messaging.worker import Worker

__all__ = ["Consumer", "Message", "MessageQueue", "Worker", "launch"]
