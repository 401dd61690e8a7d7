"""Which table of a journal a row belongs to, by its values alone."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from proj.journal.attempt import LOST, OPEN, RETURNED, Attempt
from proj.journal.event import ENDS
from proj.journal.records import Action, Gap, Run, Sample, Worker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proj.journal.repair.pages import Row

#: What a row can become. Heartbeats and notes are left out: they are for the recorder that continues the same file.
Record = Attempt | Run | Worker | Sample | Gap | Action

#: Types of columns: text, whole number and number, each also with None.
_TYPES: Mapping[str, tuple[type, ...]] = {"t": (str,), "i": (int,), "n": (int, float)}
_STATES = OPEN | ENDS | {LOST, RETURNED}


@dataclass(frozen=True, kw_only=True)
class _Columns:
    """The columns of a table in the order of the file: capital letters for those that are never None."""

    kind: type[Record]
    names: tuple[str, ...]
    types: str
    is_index: bool = False

    def fit(self, row: Row) -> bool:
        """Whether the values can be of this table."""
        return len(row) == len(self.types) and all(map(_fits, row, self.types))


_WORKER = ("name", "slots", "queues", "dispatch", "skew_s", "processed", "started_seen")
_ADAPTIVE = ("window", "held", "given_back")
_ALL = (
    # In the order of the table, which is another than that of the class.
    _Columns(
        kind=Attempt,
        names=(
            *("task_id", "number", "state", "name", "queue", "worker", "arguments", "retries", "redelivered"),
            *("eta", "sent", "received", "started", "finished", "runtime_s", "run"),
        ),
        types="TITtttTIInnnnnnt",
    ),
    _Columns(kind=Run, names=("name", "dispatch", "began", "ended", "settings", "machine"), types="TtNnTT"),
    _Columns(kind=Worker, names=(*_WORKER, *_ADAPTIVE, "early", "letters"), types="TiTtniIiiitt"),
    # Of versions 4, 2 and 1, and a worker that was written before the journal got a newer version.
    _Columns(kind=Worker, names=(*_WORKER, *_ADAPTIVE, "early"), types="TiTtniIiiit"),
    _Columns(kind=Worker, names=(*_WORKER, *_ADAPTIVE), types="TiTtniIiii"),
    _Columns(kind=Worker, names=_WORKER, types="TiTtniI"),
    _Columns(kind=Action, names=("time", "who", "verb", "what", "count"), types="NTTTI"),
    _Columns(kind=Gap, names=("began", "ended", "events", "reason"), types="NNiT"),
    _Columns(
        kind=Sample,
        names=tuple(field.name for field in fields(Sample)),
        types="NTIiI",
        is_index=True,
    ),
)


def recognized(row: Row, *, is_index: bool) -> Record | None:
    """The record of a row; None if the row belongs to no table that is kept, or a value is impossible."""
    for columns in _ALL:
        if columns.is_index == is_index and columns.fit(row):
            values: dict[str, Any] = dict(zip(columns.names, row, strict=True))
            try:
                return _made(columns.kind, values)
            except (ValueError, TypeError):
                return None
    return None


def _made(kind: type[Record], values: dict[str, Any]) -> Record | None:
    if kind is Attempt:
        if values["state"] not in _STATES:
            return None
        values["redelivered"] = values["redelivered"] == 1
    for name in {"settings", "machine", "queues"} & values.keys():
        values[name] = json.loads(values[name])
    if "queues" in values:
        values["queues"] = tuple(values["queues"])
    if values.get("early") is not None:
        values["early"] = tuple(json.loads(values["early"]))
    if values.get("letters") is not None:
        values["letters"] = tuple(dict(json.loads(values["letters"])).items())
    return kind(**values)


def _fits(value: object, kind: str) -> bool:
    if value is None:
        return kind.islower()
    return isinstance(value, _TYPES[kind.lower()]) and not (isinstance(value, float) and not math.isfinite(value))
