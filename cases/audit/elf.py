"""What a shared library says of itself: its name, what it needs, and the versions that it asks for and has.

As the System V ABI and the Linux Standard Base lay it down (program header, dynamic section, symbol versions). Of a
library of a gigabyte a few pages are read.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Optional

MAGIC = b"\x7fELF\x02\x01"
"""Of 64 bits, the lowest byte first: what torch has wheels for."""
PT_LOAD, PT_DYNAMIC = 1, 2
DT_NEEDED, DT_STRTAB, DT_SONAME = 1, 5, 14
DT_VERDEF, DT_VERDEFNUM, DT_VERNEED, DT_VERNEEDNUM = 0x6FFFFFFC, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF


class Library(NamedTuple):
    """What the loader reads of a shared library."""

    soname: str
    """The name that others need it by; empty where it has none."""
    needed: tuple[str, ...]
    """The names of the libraries that it needs."""
    asks: tuple[tuple[str, str], ...]
    """The library and the version (GLIBC_2.17) that each group of its symbols asks for."""
    offers: tuple[str, ...]
    """The versions that its own symbols have."""


def read_library(path: Path) -> Optional[Library]:
    """What a file says of itself as a shared library; None where it is none of this kind, is broken or cannot be
    read."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return Image(content).library() if content[: len(MAGIC)] == MAGIC else None
    except (OSError, ValueError):
        return None


class Image:
    """The bytes of a library, which its dynamic section speaks of by the addresses that they will have in memory."""

    def __init__(self, content: mmap.mmap) -> None:
        self.content = content
        start, size, count = self.at("<32xQ14xHH", 0)
        headers = [self.at("<I4xQQ8xQ", start + number * size) for number in range(count)]
        self.loaded = [(address, offset, length) for kind, offset, address, length in headers if kind == PT_LOAD]
        self.entries: dict[int, list[int]] = {}
        for kind, offset, _, length in headers:
            if kind == PT_DYNAMIC:
                for place in range(offset, offset + length, 16):
                    tag, value = self.at("<QQ", place)
                    self.entries.setdefault(tag, []).append(value)

    def library(self) -> Optional[Library]:
        """All of it; None where it has no dynamic section."""
        if DT_STRTAB not in self.entries:
            return None
        sonames = [self.text(place) for place in self.entries.get(DT_SONAME, [])]
        needed = tuple(self.text(place) for place in self.entries.get(DT_NEEDED, []))
        return Library("".join(sonames[:1]), needed, tuple(self.asks()), tuple(self.offers()))

    def asks(self) -> Iterator[tuple[str, str]]:
        """What its section of needed versions lists."""
        for place in self.chain(DT_VERNEED, DT_VERNEEDNUM, "<12xI"):
            count, file, first = self.at("<2xHII", place)
            for one in self.linked(place + first, count, "<12xI"):
                yield self.text(file), self.text(self.at("<8xI", one)[0])

    def offers(self) -> Iterator[str]:
        """What its section of defined versions lists, each by its own name and not by that of the version before it."""
        for place in self.chain(DT_VERDEF, DT_VERDEFNUM, "<16xI"):
            (first,) = self.at("<12xI", place)
            yield self.text(self.at("<I", place + first)[0])

    def chain(self, table: int, number: int, following: str) -> Iterator[int]:
        """The places of the entries of a table."""
        if table in self.entries and number in self.entries:
            yield from self.linked(self.offset(self.entries[table][0]), self.entries[number][0], following)

    def linked(self, place: int, count: int, following: str) -> Iterator[int]:
        """The places of `count` entries, each of which tells how far away the next one is, and the last one 0."""
        for _ in range(count):
            yield place
            (step,) = self.at(following, place)
            if not step:
                return
            place += step

    def text(self, place: int) -> str:
        """The text at a place of the table of texts."""
        begin = self.offset(self.entries[DT_STRTAB][0]) + place
        end = self.content.find(b"\0", begin)
        if end < 0:
            raise ValueError("the file ends within a text")
        return self.content[begin:end].decode("utf-8", "replace")

    def offset(self, address: int) -> int:
        """Where in the file something lies that has this address; `ValueError` where it does not."""
        for start, offset, length in self.loaded:
            if start <= address < start + length:
                return address - start + offset
        raise ValueError(f"nothing of the file has the address {address:#x}")

    def at(self, layout: str, place: int) -> tuple[int, ...]:
        """The numbers at a place of the file; `ValueError` beyond its end."""
        if place + struct.calcsize(layout) > len(self.content):
            raise ValueError(f"the file ends before {place:#x}")
        return struct.unpack_from(layout, self.content, place)
