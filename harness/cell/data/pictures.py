"""Opening a picture: the one way in which scan and batches turn a file into upright RGB pixels."""

from __future__ import annotations

import io
from typing import Optional, Union

import numpy
from PIL import Image, ImageFile, UnidentifiedImageError

FORMATS = ("JPEG", "PNG")
SUFFIXES = (".jpg", ".jpeg", ".png")
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


class UnreadableError(Exception):
    """The picture cannot be used; the message says why, without the path."""


def decode(source: Union[str, io.BytesIO], at_least: Optional[Size] = None) -> tuple[Image.Image, Size]:
    """Decode a JPEG or PNG fully: the upright RGB picture, and the upright size that the file declares.

    With `at_least` a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, never smaller than that: cheaper, and as
    repeatable as the full decoding. Transparency is dropped, 16-bit grey keeps its high byte. UnreadableError on any
    fault.
    """
    # Set here and not once: Pillow's flag is global, and a library that turns it on would make a torn file look whole.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        with Image.open(source, formats=FORMATS) as opened:
            orientation = opened.getexif().get(ORIENTATION)
            sideways = orientation in SIDEWAYS
            size = opened.size[::-1] if sideways else opened.size
            if at_least is not None:
                opened.draft(opened.mode, _reduced(opened.size, at_least[::-1] if sideways else at_least))
            opened.load()
            picture = _rgb(opened)
            return picture.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else picture, size
    except FileNotFoundError as error:
        raise UnreadableError("there is no such file") from error
    except UnidentifiedImageError as error:
        raise UnreadableError("it is not a JPEG or PNG picture") from error
    except Exception as error:  # on damaged files Pillow raises OSError, SyntaxError, ValueError, struct.error, …
        raise UnreadableError(f"it cannot be decoded ({error})") from error


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
