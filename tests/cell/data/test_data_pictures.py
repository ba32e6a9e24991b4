"""Opening pictures: every kind that occurs becomes upright RGB, and what is damaged says so."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Callable

import numpy
import pytest
from PIL import Image

from harness.cell.data.pictures import UnreadableError, decode


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
        picture, size = decode(str(tmp_path / name))
        assert (picture.mode, size) == ("RGB", (8, 4)), name
        assert numpy.abs(numpy.asarray(picture).astype(int) - expected).max() <= 2, name


def test_sixteen_bit_grey_keeps_its_high_byte(tmp_path: Path) -> None:
    values = numpy.array([[0, 255, 256, 0x7FFF, 0xFFFF]], dtype=numpy.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    picture, _ = decode(str(tmp_path / "a.png"))
    assert numpy.asarray(picture)[0].tolist() == [[level] * 3 for level in (0, 0, 1, 0x7F, 0xFF)]


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 4)).save(tmp_path / "a.jpg")
    assert decode(str(tmp_path / "a.jpg"))[0].mode == "RGB"


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
    picture, size = decode(str(tmp_path / "a.jpg"))
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
        small, size = decode(str(path), at_least=wanted)
        assert (small.size, size) == (wanted, upright)
    small, _ = decode(str(path), at_least=(upright[0] // 2 + 1, upright[1] // 2 + 1))
    assert small.size == upright


def test_a_jpeg_whose_size_does_not_divide_evenly_is_decoded_whole(
    tmp_path: Path, picture: Callable[..., Path]
) -> None:
    assert decode(str(picture(tmp_path / "a.jpg", 401, 200)), at_least=(50, 25))[0].size == (401, 200)


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
        decode(io.BytesIO(content))


def test_a_torn_picture_is_unreadable_even_if_a_library_tells_pillow_to_accept_it(
    tmp_path: Path, picture: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("PIL.ImageFile.LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(UnreadableError, match="truncated"):
        decode(io.BytesIO(damaged(tmp_path, picture)["cut.jpg"][0]))


def test_a_missing_file_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="no such file"):
        decode(str(tmp_path / "none.jpg"))
