"""Shared libraries made byte by byte, small enough to read, which the dynamic loader of Linux on x86-64 loads."""

import struct

PAGE = 0x1000
BEGIN = 64 + 2 * 56
"""After the header and two entries of the program header."""


class Texts:
    """The table of texts, and where in it each is."""

    def __init__(self):
        self.content = b"\0"

    def place(self, text):
        self.content += text.encode() + b"\0"
        return len(self.content) - len(text) - 1


def write_library(path, soname="", needed=(), asks=(), offers=()):
    """Write a library of that name, without any code. `asks`: library and version; `offers`: versions of its own."""
    texts = Texts()
    entries = [(1, texts.place(name)) for name in needed]
    if soname:
        entries.append((14, texts.place(soname)))
    parts = {
        "hash": struct.pack("<4I", 1, 1, 0, 0),
        "symbols": bytes(24),
        "asked": b"".join(asked(texts, one, last=one == asks[-1]) for one in asks),
        "offered": b"".join(offered(texts, one, index, last=one == offers[-1]) for index, one in enumerate(offers)),
        "texts": texts.content,
    }
    places, end = {}, BEGIN
    for name, content in parts.items():
        places[name] = end
        end += len(content) + -len(content) % 8
    entries += [(4, places["hash"]), (5, places["texts"]), (6, places["symbols"]), (10, len(texts.content)), (11, 24)]
    if asks:
        entries += [(0x6FFFFFFE, places["asked"]), (0x6FFFFFFF, len(asks))]
    if offers:
        entries += [(0x6FFFFFFC, places["offered"]), (0x6FFFFFFD, len(offers))]
    dynamic = b"".join(struct.pack("<QQ", *entry) for entry in [*entries, (0, 0)])
    size = end + len(dynamic)
    header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    header += struct.pack("<2HI3QI6H", 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    header += struct.pack("<2I6Q", 1, 7, 0, 0, 0, size, size, PAGE)
    header += struct.pack("<2I6Q", 2, 6, end, end, end, len(dynamic), len(dynamic), 8)
    body = b"".join(content.ljust(len(content) + -len(content) % 8, b"\0") for content in parts.values())
    path.write_bytes(header + body + dynamic)
    return path


def asked(texts, one, last):
    """An entry of the section of needed versions, with one version."""
    file, version = one
    head = struct.pack("<2H3I", 1, 1, texts.place(file), 16, 0 if last else 32)
    return head + struct.pack("<I2H2I", 0, 0, 2, texts.place(version), 0)


def offered(texts, version, index, last):
    """An entry of the section of defined versions."""
    return struct.pack("<4H3I", 1, 0, index + 2, 1, 0, 20, 0 if last else 28) + struct.pack(
        "<2I", texts.place(version), 0
    )
