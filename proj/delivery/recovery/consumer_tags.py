"""The tags of kombu's consumer, which it tells nowhere: it has one for each queue, by which the broker knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import kombu
    from kombu import Queue


class _Private(Protocol):
    """What celery-types leaves out of `kombu.Consumer`."""

    #: The tags in use, by the name of their queue.
    _active_tags: dict[str, str]
    #: Numbers for new ones.
    _tags: Iterator[int]
    #: Is given a message, and nothing else, unlike celery-types says.
    _receive_callback: Callable[..., None]


def active_tags(consumer: kombu.Consumer) -> dict[str, str]:
    """The tags of the queues that it consumes from, by their names; kombu's own, so a change has effect."""
    return cast("_Private", consumer)._active_tags  # noqa: SLF001 no public name


def new_tag(consumer: kombu.Consumer) -> str:
    """A tag that kombu gives to no other queue."""
    return f"{consumer.tag_prefix}{next(cast('_Private', consumer)._tags)}"  # noqa: SLF001 no public name


def consume(consumer: kombu.Consumer, queue: Queue, tag: str) -> None:
    """Consume from the queue as kombu does, with this tag, and without waiting for the broker's answer."""
    queue.consume(tag, cast("_Private", consumer)._receive_callback, no_ack=consumer.no_ack, nowait=True)  # noqa: SLF001 no public name
