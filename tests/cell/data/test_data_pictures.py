"""Opening pictures: every kind that occurs becomes upright RGB, and what is damaged says so."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Callable

import numpy
import pytest
from PIL import Image

from harness.cell.data.pictures import UnreadableError, decode, read_file


def test_transparency_palette_and_grey_become_rgb(tmp_path: Path) -> None:
    colours = Image.new("RGB", (8, 4), (200, 100, 50))
    transparent = colours.copy()
    transparent.putalpha(0)
    for name, one, expected in (
        ("alpha.png", transparent, (200, 100, 50)),
        ("palette.png", colours.quantize(4), (200, 100, 50)),
        ("grey.png", Image.new("L", (8, 4), 90), (90, 90, 90)),
        ("grey-alpha.png", Image.new("LA", (8, 4), (90, 0)), (90, 90, 90)),
        ("black-white.png", Image.new("1", (8, 4), 1), (255, 255, 255)),
        ("grey.jpg", Image.new("L", (8, 4), 90), (90, 90, 90)),
    ):
        one.save(tmp_path / name)
        picture, size = decode((tmp_path / name).read_bytes())
        assert (picture.mode, size) == ("RGB", (8, 4)), name
        assert numpy.abs(numpy.asarray(picture).astype(int) - expected).max() <= 2, name


def test_sixteen_bit_grey_keeps_its_high_byte(tmp_path: Path) -> None:
    values = numpy.array([[0, 255, 256, 0x7FFF, 0xFFFF]], dtype=numpy.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    picture, _ = decode((tmp_path / "a.png").read_bytes())
    assert numpy.asarray(picture)[0].tolist() == [[level] * 3 for level in (0, 0, 1, 0x7F, 0xFF)]


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 4)).save(tmp_path / "a.jpg")
    assert decode((tmp_path / "a.jpg").read_bytes())[0].mode == "RGB"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(tmp_path: Path, orientation: int) -> None:
    # By the standard: which corner of the scene the first pixel shows, and in which direction rows run.
    scene = numpy.zeros((16, 32, 3), dtype=numpy.uint8)
    scene[:8, :8], scene[8:, :8] = (255, 0, 0), (0, 0, 255)
    stored = {
        1: scene,
        2: scene[:, ::-1],
        3: scene[::-1, ::-1],
        4: scene[::-1],
        5: scene.transpose(1, 0, 2),
        6: scene.transpose(1, 0, 2)[::-1],
        7: scene.transpose(1, 0, 2)[::-1, ::-1],
        8: scene.transpose(1, 0, 2)[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(numpy.ascontiguousarray(stored)).save(tmp_path / "a.jpg", quality=100, subsampling=0, exif=exif)
    picture, size = decode((tmp_path / "a.jpg").read_bytes())
    assert size == picture.size == (32, 16)
    assert numpy.abs(numpy.asarray(picture).astype(int) - scene).max() < 16


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_may_be_decoded_smaller_but_never_below_what_is_needed(
    tmp_path: Path, picture: Callable[..., Path], orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = picture(tmp_path / "a.jpg", 400, 200, exif=exif)
    upright = (400, 200) if orientation == 1 else (200, 400)
    for divisor in (1, 2, 4):
        wanted = (upright[0] // divisor, upright[1] // divisor)
        small, size = decode(path.read_bytes(), at_least=wanted)
        assert (small.size, size) == (wanted, upright)
    small, _ = decode(path.read_bytes(), at_least=(upright[0] // 2 + 1, upright[1] // 2 + 1))
    assert small.size == upright


def test_a_jpeg_whose_size_does_not_divide_evenly_is_decoded_whole(
    tmp_path: Path, picture: Callable[..., Path]
) -> None:
    assert decode(picture(tmp_path / "a.jpg", 401, 200).read_bytes(), at_least=(50, 25))[0].size == (401, 200)


def damaged(path: Path, picture: Callable[..., Path]) -> dict[str, tuple[bytes, str]]:
    jpeg, png = (picture(path / f"whole{suffix}", 200, 150).read_bytes() for suffix in (".jpg", ".png"))
    gif = io.BytesIO()
    Image.new("L", (4, 4)).save(gif, "GIF")
    return {
        "cut.jpg": (jpeg[: len(jpeg) // 2], "truncated"),
        "cut.png": (png[: len(png) // 2], "cannot be decoded"),
        "header-only.jpg": (jpeg[:40], "cannot be decoded|not a JPEG or PNG"),
        "text.jpg": (b"this is not a picture", "not a JPEG or PNG"),
        "gif.png": (gif.getvalue(), "not a JPEG or PNG"),
        "empty.jpg": (b"", "not a JPEG or PNG"),
    }


@pytest.mark.parametrize("name", ["cut.jpg", "cut.png", "header-only.jpg", "text.jpg", "gif.png", "empty.jpg"])
def test_a_damaged_file_is_unreadable(tmp_path: Path, picture: Callable[..., Path], name: str) -> None:
    content, complaint = damaged(tmp_path, picture)[name]
    with pytest.raises(UnreadableError, match=complaint):
        decode(content)


def test_a_torn_picture_is_unreadable_even_if_a_library_tells_pillow_to_accept_it(
    tmp_path: Path, picture: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("PIL.ImageFile.LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(UnreadableError, match="truncated"):
        decode(damaged(tmp_path, picture)["cut.jpg"][0])


def test_a_missing_file_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="no such file"):
        read_file(str(tmp_path / "none.jpg"))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    with pytest.raises(UnreadableError, match="not a regular file"):
        read_file(str(tmp_path / "a.jpg"))


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, 2 + len(content)) + content


LONG = zlib.compress(b"a" * 3_000_000)
PNG_METADATA = {
    "long text": chunk(b"zTXt", b"Comment\0\0" + LONG),
    "long international text": chunk(b"iTXt", b"Comment\0\1\0\0\0" + LONG),
    "many texts": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"a" * 1_000_000)) * 80,
    "long profile": chunk(b"iCCP", b"name\0\0" + LONG),
    "torn profile": chunk(b"iCCP", b"name"),
    "short size in metres": chunk(b"pHYs", b"\0"),
    "wrong checksum of a text": chunk(b"tEXt", b"Comment\0text")[:-1] + b"?",
    "torn animation": chunk(b"acTL", b"\0") + chunk(b"fcTL", b"\0"),
    "torn EXIF": chunk(b"eXIf", b"not EXIF"),
    "short gamma": chunk(b"gAMA", b""),
}
JPEG_METADATA = {
    "torn EXIF": segment(0xE1, b"Exif\0\0not EXIF"),
    "short EXIF": segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\0\x09"),
    "torn index of several pictures": segment(0xE2, b"MPF\0MM\0*\0\0\0\x08\0\x09"),
    "torn profile": segment(0xE2, b"ICC_PROFILE\0"),
    "torn photoshop": segment(0xED, b"Photoshop 3.0\x008BIM\x03\xed\0\0\0\0\0\x02ab"),
    "comment": segment(0xFE, b"\xff" * 65533),
}


@pytest.mark.parametrize(("start", "suffix", "name"), [
    *((33, ".png", name) for name in PNG_METADATA),
    *((2, ".jpg", name) for name in JPEG_METADATA),
])  # fmt: skip
def test_a_picture_is_not_refused_over_its_metadata(
    tmp_path: Path, picture: Callable[..., Path], start: int, suffix: str, name: str
) -> None:
    plain = picture(tmp_path / f"a{suffix}").read_bytes()
    metadata = (PNG_METADATA if suffix == ".png" else JPEG_METADATA)[name]
    found, size = decode(plain[:start] + metadata + plain[start:])
    assert size == (48, 32)
    assert found.tobytes() == decode(plain)[0].tobytes()


def test_the_orientation_of_a_png_counts_however_long_its_texts_are(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 4)).save(tmp_path / "a.png", exif=exif)
    content = (tmp_path / "a.png").read_bytes()
    assert decode(content[:33] + PNG_METADATA["long text"] + content[33:])[1] == (4, 8)


def test_of_several_pictures_in_a_jpeg_the_first_is_taken(tmp_path: Path) -> None:
    first, second = Image.new("RGB", (8, 4), (200, 0, 0)), Image.new("RGB", (8, 4), (0, 200, 0))
    first.save(tmp_path / "a.mpo", save_all=True, append_images=[second])
    first.save(tmp_path / "a.jpg")
    found, size = decode((tmp_path / "a.mpo").read_bytes())
    assert (found.mode, size) == ("RGB", (8, 4))
    assert found.tobytes() == decode((tmp_path / "a.jpg").read_bytes())[0].tobytes()


def header_of(width: int, height: int) -> bytes:
    """A PNG that claims this size and has no pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def test_a_picture_above_pillows_limit_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 10)  # it refuses more than twice as many
    content = io.BytesIO()
    Image.new("L", (8, 4)).save(content, "PNG")
    assert decode(content.getvalue())[1] == (8, 4)


def test_a_picture_that_is_too_large_says_what_to_do() -> None:
    with pytest.raises(UnreadableError, match=r"it has 40,000 x 30,000 pixels, more than .*: scale it down or cut it"):
        decode(header_of(40_000, 30_000))
