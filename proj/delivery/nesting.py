"""How deep lists and tables lie inside each other, found without recursion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def is_deeper(value: object, limit: int) -> bool:
    """Whether the value has more than `limit` levels of lists and tables; a text or a number has none."""
    level = _containers([value])
    for _ in range(limit):
        if not level:
            return False
        level = [
            inner
            for container in level
            for inner in _containers(container.values() if isinstance(container, Mapping) else container)
        ]
    return bool(level)


def _containers(values: Iterable[object]) -> list[Mapping[object, object] | Iterable[object]]:
    return [value for value in values if isinstance(value, (Mapping, list, tuple, set, frozenset))]
