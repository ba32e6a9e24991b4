"""A PNG writer whose bytes depend on the pixels alone.

Pillow's depend on the zlib it was built with, and the digest of the embedded data set is taken over files: here the
pixels are stored uncompressed, which leaves an encoder nothing to choose.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy
import numpy.typing

LARGEST_BLOCK = 65535  # of a stored deflate block, by RFC 1951


def write_png(path: Path, pixels: numpy.typing.NDArray[numpy.uint8]) -> None:
    """Write uint8 (height, width, 3) RGB pixels as an uncompressed PNG."""
    height, width, _ = pixels.shape
    rows = numpy.zeros((height, 1 + 3 * width), dtype=numpy.uint8)  # each row begins with filter type 0
    rows[:, 1:] = pixels.reshape(height, 3 * width)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = (_chunk(b"IHDR", header), _chunk(b"IDAT", _stored(rows.tobytes())), _chunk(b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def _stored(content: bytes) -> bytes:
    blocks = [b"\x78\x01"]
    for start in range(0, len(content), LARGEST_BLOCK):
        block = content[start : start + LARGEST_BLOCK]
        last = start + LARGEST_BLOCK >= len(content)
        blocks.append(struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF) + block)
    return b"".join(blocks) + struct.pack(">I", zlib.adler32(content))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
