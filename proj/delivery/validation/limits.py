"""The limits beyond which a message is refused, whatever it says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Beyond what a message is refused."""

    #: Lists and tables inside each other. pickle, which takes headers to the pool's processes, gives up at 498
    #: and json at 990 (CPython 3.11), and a task's own use of what it got comes on top.
    deepest: int = 200
    #: Of a body after decompression; RabbitMQ 4 refuses larger messages itself.
    largest_bytes: int = 16 * 1024 * 1024
    #: Seconds from now; a worker would hold it for as long.
    latest_eta_s: float = 365 * 86_400.0
