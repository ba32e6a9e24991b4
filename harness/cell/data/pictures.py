"""Opening a picture: the one way in which scan and batches turn a file into upright RGB pixels."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

import numpy
from PIL import Image, ImageFile, UnidentifiedImageError

FORMATS = ("JPEG", "PNG")
SUFFIXES = (".jpg", ".jpeg", ".png", ".jpe", ".jfif", ".jif", ".jfi", ".mpo", ".apng")
MOST_PIXELS = 2**29  # 2 GiB as Pillow holds them; a header alone could claim more than any memory has
ORIENTATION = 0x0112  # the EXIF tag
Size = tuple[int, int]  # width, height in pixels
SIDEWAYS = (5, 6, 7, 8)  # its values that exchange width and height
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
PNG_START = b"\x89PNG\r\n\x1a\n"
JPEG_START = b"\xff\xd8"
# The segments of a JPEG that say nothing of its pixels: APP2 to APP13, APP15 and comments. APP0 and APP14 tell how
# colours are coded, APP1 has the orientation.
JPEG_REMARKS = {*range(0xE2, 0xEE), 0xEF, 0xFE}


class UnreadableError(Exception):
    """The picture cannot be used; the message says why, without the path."""


def read_file(path: str) -> tuple[bytes, os.stat_result]:
    """The content of a picture's file, and its state before that was read. UnreadableError where there is none, or
    nothing in it."""
    try:
        if not Path(path).is_file():  # reading a pipe could wait for ever
            raise UnreadableError(_no_file(Path(path)))
        with Path(path).open("rb") as stream:
            status = os.fstat(stream.fileno())
            content = stream.read()
    except OSError as error:
        raise UnreadableError(f"it cannot be read ({error.strerror})") from error
    if not content:
        raise UnreadableError("the file is empty")
    return content, status


def _no_file(path: Path) -> str:
    if path.exists():
        return "it is not a regular file"
    return "it is a link that leads nowhere" if path.is_symlink() else "there is no such file"


def decode(content: bytes, at_least: Optional[Size] = None) -> tuple[Image.Image, Size]:
    """Decode the content of a JPEG or PNG file fully: the upright RGB picture, and the upright size that it declares.

    With `at_least` a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, never smaller than that: cheaper, and as
    repeatable as the full decoding. Transparency is dropped, 16-bit grey keeps its high byte. Of several pictures in a
    file the first is taken. UnreadableError on any fault of the pixels; metadata do not matter.
    """
    # Set here and not once: Pillow's settings are global. A library that turns the first on would make a torn file look
    # whole; the second refuses large pictures as attacks, which a user's own are not.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    Image.MAX_IMAGE_PIXELS = None
    try:
        with Image.open(io.BytesIO(without_remarks(content)), formats=FORMATS) as opened:
            _require_size(opened.size)
            orientation = _orientation(opened)
            sideways = orientation in SIDEWAYS
            size = opened.size[::-1] if sideways else opened.size
            if at_least is not None:
                opened.draft(opened.mode, _reduced(opened.size, at_least[::-1] if sideways else at_least))
            opened.load()
            picture = _rgb(opened)
            return picture.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else picture, size
    except UnreadableError:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableError("it is not a JPEG or PNG picture") from error
    except Exception as error:  # on damaged files Pillow raises OSError, SyntaxError, ValueError, struct.error, …
        raise UnreadableError(f"it cannot be decoded ({error})") from error


def without_remarks(content: bytes) -> bytes:
    """The content without the parts that say nothing of the pixels (texts, colour profiles, previews): Pillow refuses
    pictures over damaged or long ones. What is not built like a JPEG or PNG is left as it is."""
    if content.startswith(PNG_START):
        return _joined(content, _png_parts(content))
    if content.startswith(JPEG_START):
        return _joined(content, _jpeg_parts(content))
    return content


Stretch = tuple[int, int, bool]  # start, end, whether it is needed


def _joined(content: bytes, parts: Iterator[Stretch]) -> bytes:
    found = list(parts)
    if all(needed for _, _, needed in found):
        return content
    return b"".join(content[start:end] for start, end, needed in found if needed)


def _png_parts(content: bytes) -> Iterator[Stretch]:
    """The signature, the chunks, and what follows the last whole one. A chunk whose name begins with a small letter may
    be left out by the standard; eXIf has the orientation."""
    place = len(PNG_START)
    yield 0, place, True
    while place + 12 <= len(content):
        name = content[place + 4 : place + 8]
        end = place + 12 + int.from_bytes(content[place : place + 4], "big")
        if end > len(content) or not name.isalpha():
            break
        yield place, end, name[:1].isupper() or name == b"eXIf"
        place = end
        if name == b"IEND":
            return
    yield place, len(content), True


def _jpeg_parts(content: bytes) -> Iterator[Stretch]:
    """The start, the segments before the first scan, and all the rest."""
    place = len(JPEG_START)
    yield 0, place, True
    while place + 4 <= len(content) and content[place] == 0xFF:
        marker = content[place + 1]
        end = place + 2 + int.from_bytes(content[place + 2 : place + 4], "big")
        if not 0xC0 <= marker <= 0xFE or 0xD0 <= marker <= 0xDA or end < place + 4 or end > len(content):
            break
        yield place, end, marker not in JPEG_REMARKS
        place = end
    yield place, len(content), True


def _require_size(size: Size) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise UnreadableError(f"it has no pixels ({width} x {height})")
    if width * height > MOST_PIXELS:
        raise UnreadableError(
            f"it has {width:,} x {height:,} pixels, more than the {MOST_PIXELS:,} that are read: "
            "scale it down or cut it into several"
        )


def _orientation(opened: Image.Image) -> Optional[int]:
    """The EXIF orientation; None where there is none that can be read."""
    try:
        return opened.getexif().get(ORIENTATION)
    except Exception:  # of damaged metadata, of many kinds
        return None


def _reduced(size: Size, at_least: Size) -> Size:
    """The size to decode a JPEG of `size` at: divided evenly, or its last block would shift the picture."""
    for divisor in (8, 4, 2):
        width, height = size[0] // divisor, size[1] // divisor
        if (width * divisor, height * divisor) == size and width >= at_least[0] and height >= at_least[1]:
            return width, height
    return size


def _rgb(opened: Image.Image) -> Image.Image:
    if not opened.mode.startswith("I"):
        return opened if opened.mode == "RGB" else opened.convert("RGB")
    # Pillow clips 16-bit grey at 255 instead of scaling it.
    high = (numpy.asarray(opened).astype(numpy.uint32) >> 8).astype(numpy.uint8)
    return Image.fromarray(high).convert("RGB")
