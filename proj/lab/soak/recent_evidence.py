"""Recent evidence: a soak counts every record, and keeps only those since its last fault."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proj.lab.drills.system.evidence import Evidence, Record
from proj.lab.soak.tally import Tally

if TYPE_CHECKING:
    from pathlib import Path


class RecentEvidence(Evidence):
    """Reads a file that grows, as a drill does, and can forget what it has read."""

    def __init__(self, path: Path) -> None:
        """Read from `path`, which may not exist yet."""
        super().__init__(path)
        self.tally = Tally()

    def read(self) -> list[Record]:
        """The records that were not forgotten, in the order of the file."""
        known = len(self._records)
        records = super().read()
        for record in records[known:]:
            self.tally.add(record)
        return records

    def forget(self) -> None:
        """Count what there is, and forget the records."""
        self.read()
        self._records.clear()
