"""Rows of a damaged database, read from its pages one by one, without the tree that leads to them.

Source: https://www.sqlite.org/fileformat2.html, sections 1.6 (b-tree pages) and 2.1 (record format)
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Bytes of the header of the file, which stands before the first page's own header.
HEADER_BYTES = 100
MAGIC = b"SQLite format 3\x00"
#: The size of pages of a file whose header is overwritten: SQLite's default.
USUAL_PAGE_BYTES = 4096
LEAST_PAGE_BYTES, MOST_PAGE_BYTES = 512, 65536
#: Kinds of pages that have rows: of a table; and of an index, or of a table without rowid.
TABLE_LEAF, INDEX_LEAF, INDEX_INTERIOR = 0x0D, 0x0A, 0x02
#: Bytes of integers by their serial type.
_INTEGER_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
_REAL, _ZERO, _ONE, _FIRST_BLOB = 7, 8, 9, 12
_MOST_VARINT_BYTES = 9
#: The bit of a byte of such an integer that says that a further one follows.
_FURTHER = 0x80

Row = tuple[object, ...]


class Pages:
    """The pages of a database file."""

    def __init__(self, content: bytes | memoryview) -> None:
        """Take the content of the file, whatever is in it."""
        self._content = content
        self.size = _page_bytes(bytes(content[:HEADER_BYTES]))
        #: How many pages were read so far.
        self.read = 0

    @property
    def count(self) -> int:
        """How many pages there are; a last one that is cut off counts."""
        return -(-len(self._content) // self.size)

    def rows(self) -> Iterator[tuple[bool, Row]]:
        """Each row that can be read, and whether it is from an index, or a table without rowid.

        A page that is overwritten or cut off has none. A page that the database no longer uses may have old ones.
        """
        for number in range(1, self.count + 1):
            page = self._page(number)
            self.read = number
            start = HEADER_BYTES if number == 1 else 0
            if len(page) < self.size or page[start] not in {TABLE_LEAF, INDEX_LEAF, INDEX_INTERIOR}:
                continue
            kind = page[start]
            first = start + (12 if kind == INDEX_INTERIOR else 8)
            (cells,) = struct.unpack_from(">H", page, start + 3)
            for place in range(first, min(first + 2 * cells, self.size - 1), 2):
                try:
                    (cell,) = struct.unpack_from(">H", page, place)
                    row = _record(self._payload(page, cell, kind))
                except (ValueError, IndexError, struct.error):
                    continue
                yield kind != TABLE_LEAF, row

    def _page(self, number: int) -> bytes:
        return bytes(self._content[(number - 1) * self.size : number * self.size])

    def _payload(self, page: bytes, cell: int, kind: int) -> bytes:
        """The record of a cell, with the part of it on overflow pages."""
        if kind == INDEX_INTERIOR:
            cell += 4
        length, cell = _varint(page, cell)
        if length > len(self._content):
            raise ValueError("The row is longer than the file.")
        if kind == TABLE_LEAF:
            _rowid, cell = _varint(page, cell)
        local = _local_bytes(length, self.size, is_table=kind == TABLE_LEAF)
        payload = page[cell : cell + local]
        if local == length:
            return payload
        (following,) = struct.unpack_from(">I", page, cell + local)
        while len(payload) < length:
            overflow = self._page(following) if following else b""
            if len(overflow) < self.size:
                raise ValueError("A further page of the row is missing.")
            # Each page adds to the payload, so a circle of pages ends too.
            (following,) = struct.unpack_from(">I", overflow)
            payload += overflow[4 : 4 + length - len(payload)]
        return payload


def _page_bytes(header: bytes) -> int:
    if header.startswith(MAGIC):
        size = int.from_bytes(header[16:18], "big")
        size = MOST_PAGE_BYTES if size == 1 else size
        if LEAST_PAGE_BYTES <= size <= MOST_PAGE_BYTES and size & (size - 1) == 0:
            return size
    return USUAL_PAGE_BYTES


def _local_bytes(length: int, usable: int, *, is_table: bool) -> int:
    """How many bytes of a payload are on the cell's own page."""
    most = usable - 35 if is_table else (usable - 12) * 64 // 255 - 23
    if length <= most:
        return length
    least = (usable - 12) * 32 // 255 - 23
    local = least + (length - least) % (usable - 4)
    return local if local <= most else least


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The integer of one to nine bytes at a place, and the place behind it."""
    value = 0
    for place in range(at, at + _MOST_VARINT_BYTES - 1):
        value = value << 7 | data[place] & 0x7F
        if not data[place] & _FURTHER:
            return value, place + 1
    return value << 8 | data[at + _MOST_VARINT_BYTES - 1], at + _MOST_VARINT_BYTES


def _record(payload: bytes) -> Row:
    """The values of a record.

    Raises:
        ValueError: it is none.
        IndexError: it is cut off.
    """
    header_bytes, place = _varint(payload, 0)
    types = []
    while place < header_bytes:
        serial_type, place = _varint(payload, place)
        types.append(serial_type)
    row: list[object] = []
    for serial_type in types:
        value, place = _value(payload, place, serial_type)
        row.append(value)
    if place != len(payload):
        raise ValueError("The lengths in the record do not add up.")
    return tuple(row)


def _value(payload: bytes, place: int, serial_type: int) -> tuple[object, int]:
    if serial_type == 0:
        return None, place
    if serial_type in {_ZERO, _ONE}:
        return serial_type - _ZERO, place
    if serial_type == _REAL:
        return struct.unpack_from(">d", payload, place)[0], place + 8
    if serial_type in _INTEGER_BYTES:
        end = place + _INTEGER_BYTES[serial_type]
        return int.from_bytes(payload[place:end], "big", signed=True), end
    if serial_type < _FIRST_BLOB:
        raise ValueError("There is no such type.")
    end = place + (serial_type - _FIRST_BLOB) // 2
    value = payload[place:end]
    return (value.decode() if serial_type % 2 else value), end
