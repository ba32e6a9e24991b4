"""From pictures and boxes to samples."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Callable

import msgspec
import numpy
import pytest
from PIL import Image

from harness.cell.data.augment import LostPictureError, augmented, letterbox
from harness.cell.data.index import Item
from harness.cell.data.png import write_png
from harness.core.errors import UsageError
from harness.core.spec import Augment

RECIPE = Augment(mosaic=1.0, flip=0.5, hsv=(0.015, 0.7, 0.4), translate=0.1, scale=0.9)

BLUE, RED = (0, 0, 255), (255, 0, 0)


@pytest.fixture
def marked(tmp_path: Path) -> Item:
    """A blue picture, 120 x 60 px, with a red rectangle that is its one object, and a second object of 0.3 px width."""
    pixels = numpy.empty((60, 120, 3), dtype=numpy.uint8)
    pixels[:] = BLUE
    pixels[12:36, 30:90] = RED
    write_png(tmp_path / "marked.png", pixels)
    boxes = [[2.0, 0.5, 0.4, 0.5, 0.4], [0.0, 0.1, 0.1, 0.0025, 0.1]]
    return Item(str(tmp_path / "marked.png"), 120, 60, boxes)


def red_of(planes: numpy.ndarray) -> tuple[int, int, int, int]:
    """The rectangle that the red pixels fill: left, top, right, bottom."""
    red = (planes[0].astype(int) - planes[2] > 0) & (planes[1] < 60)
    rows, columns = numpy.flatnonzero(red.any(1)), numpy.flatnonzero(red.any(0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


def edges_of(row: numpy.ndarray, size: int) -> numpy.ndarray:
    x, y, width, height = row[1:] * size
    return numpy.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])


def test_a_letterbox_is_centred_on_grey_and_keeps_the_ratio(marked: Item) -> None:
    planes, boxes, lies = letterbox(marked, 64)
    assert (planes.shape, planes.dtype) == ((3, 64, 64), numpy.uint8)
    assert lies == (0, 16, 64, 48)
    assert (planes[:, :16] == 114).all()
    assert (planes[:, 48:] == 114).all()
    assert tuple(planes[:, 17, 1]) == BLUE
    assert edges_of(boxes[0], 64) == pytest.approx([16, 22.4, 48, 35.2])
    assert numpy.abs(edges_of(boxes[0], 64) - red_of(planes)).max() <= 1


def test_a_letterbox_keeps_every_box_however_thin(marked: Item) -> None:
    assert len(letterbox(marked, 64)[1]) == 2


def test_a_small_picture_is_enlarged(marked: Item) -> None:
    planes, boxes, lies = letterbox(marked, 256)
    assert lies == (0, 64, 256, 192)
    assert numpy.abs(edges_of(boxes[0], 256) - red_of(planes)).max() <= 2


def test_a_picture_of_the_very_size_is_not_resampled(tmp_path: Path) -> None:
    pixels = numpy.random.RandomState(0).randint(0, 256, (64, 64, 3)).astype(numpy.uint8)
    write_png(tmp_path / "a.png", pixels)
    planes, _, _ = letterbox(Item(str(tmp_path / "a.png"), 64, 64, []), 64)
    assert (planes == pixels.transpose(2, 0, 1)).all()


def test_a_very_flat_picture_keeps_one_row(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", numpy.full((1, 500, 3), 7, dtype=numpy.uint8))
    _, _, lies = letterbox(Item(str(tmp_path / "a.png"), 500, 1, []), 32)
    assert (lies.right - lies.left, lies.bottom - lies.top) == (32, 1)


def test_without_augmentation_a_sample_is_the_letterbox(marked: Item) -> None:
    planes, boxes = augmented([marked], 64, Augment(), numpy.random.RandomState(0))
    expected = letterbox(marked, 64)
    assert (planes == expected[0]).all()
    assert (boxes == expected[1]).all()


def test_a_flip_mirrors_pixels_and_boxes(marked: Item) -> None:
    shifted = msgspec.structs.replace(marked, boxes=[[1.0, 0.25, 0.5, 0.1, 0.2]])
    planes, boxes = augmented([shifted], 64, Augment(flip=1.0), numpy.random.RandomState(0))
    plain, before, _ = letterbox(shifted, 64)
    assert (planes == plain[:, :, ::-1]).all()
    assert boxes.tolist() == [[1.0, 0.75, *before[0, 2:]]]


@pytest.mark.parametrize("seed", range(30))
def test_boxes_follow_scale_shift_and_flip(marked: Item, seed: int) -> None:
    augment = msgspec.structs.replace(RECIPE, mosaic=0.0, hsv=(0.0, 0.0, 0.0))
    planes, boxes = augmented([marked], 160, augment, numpy.random.RandomState(seed))
    first = boxes[boxes[:, 0] == 2]
    assert len(first) == 1  # the letterbox is at least 16 px wide, so the object is never too small
    # Where resampling blurs an edge the colour test may lose a pixel, or two where a picture is enlarged.
    assert numpy.abs(edges_of(first[0], 160) - red_of(planes)).max() <= 2


@pytest.mark.parametrize("seed", range(30))
def test_a_mosaic_shows_four_pictures_with_their_boxes(tmp_path: Path, seed: int) -> None:
    items = []
    for kind, colour in enumerate([(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0)]):
        pixels = numpy.zeros((40, 60, 3), dtype=numpy.uint8)
        pixels[10:30, 20:50] = colour
        write_png(tmp_path / f"{kind}.png", pixels)
        items.append(Item(str(tmp_path / f"{kind}.png"), 60, 40, [[float(kind), 35 / 60, 0.5, 0.5, 0.5]]))
    planes, boxes = augmented(items, 128, Augment(mosaic=1.0), numpy.random.RandomState(seed))
    assert set(boxes[:, 0]) <= set(range(4))
    assert len(boxes) >= 1
    for row in boxes:
        left, top, right, bottom = numpy.rint(edges_of(row, 128)).astype(int)
        assert min(left, top) >= 0
        assert max(right, bottom) <= 128
        inside = planes[:, top + 1 : bottom - 1, left + 1 : right - 1]
        expected = numpy.array([(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0)][int(row[0])])
        assert numpy.abs(inside.reshape(3, -1).T.astype(int) - expected).mean() < 12


def test_the_four_pictures_of_a_mosaic_meet_in_its_centre_without_a_gap(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", numpy.full((64, 64, 3), 9, dtype=numpy.uint8))
    item = Item(str(tmp_path / "a.png"), 64, 64, [])
    for seed in range(10):
        planes, _ = augmented([item] * 4, 64, Augment(mosaic=1.0), numpy.random.RandomState(seed))
        assert (planes == 9).all()


def test_boxes_cut_to_less_than_a_tenth_or_below_two_pixels_are_dropped(marked: Item) -> None:
    many = [[0.0, x / 40 + 1 / 80, 0.5, 0.025, 0.5] for x in range(40)]  # 3 px of 120 wide, side by side
    for seed in range(40):
        random = numpy.random.RandomState(seed)
        item = msgspec.structs.replace(marked, boxes=many)
        _, boxes = augmented([item], 128, msgspec.structs.replace(RECIPE, mosaic=0.0), random)
        assert (boxes[:, 3:] * 128 >= 2 - 1e-9).all()
        assert (boxes[:, 1:3] - boxes[:, 3:] / 2 >= -1e-9).all()
        assert (boxes[:, 1:3] + boxes[:, 3:] / 2 <= 1 + 1e-9).all()


def test_every_sample_draws_the_same_amount_of_randomness(marked: Item) -> None:
    following = set()
    for items, augment in (([marked], Augment()), ([marked], RECIPE), ([marked] * 4, RECIPE)):
        random = numpy.random.RandomState(3)
        augmented(items, 64, augment, random)
        following.add(random.randint(2**31))
    assert len(following) == 1


def test_the_same_seed_gives_the_same_sample(marked: Item) -> None:
    one, other = (augmented([marked] * 4, 96, RECIPE, numpy.random.RandomState(8)) for _ in range(2))
    assert (one[0] == other[0]).all()
    assert (one[1] == other[1]).all()


def test_a_picture_that_does_not_show_is_not_read(marked: Item) -> None:
    gone = msgspec.structs.replace(marked, path="/nowhere/gone.png")
    far = Augment(mosaic=1.0, translate=1.0)  # shifts the mosaic so far that whole pictures leave the sample
    read, unread = 0, 0
    for seed in range(40):
        layout = [gone, marked, marked, marked]
        try:
            augmented(layout, 64, far, numpy.random.RandomState(seed))
            unread += 1
        except UsageError:
            read += 1
    assert min(read, unread) > 0


def test_a_picture_that_is_removed_after_it_was_checked_is_named(marked: Item) -> None:
    Path(marked.path).unlink()
    with pytest.raises(LostPictureError, match=r"marked\.png was fine when .* but now there is no such file"):
        letterbox(marked, 64)


@pytest.mark.parametrize("width", [120, 121])
def test_a_picture_that_is_another_than_was_checked_is_named_and_is_not_a_lost_one(
    marked: Item, picture: Callable[..., Path], width: int
) -> None:
    content = Path(marked.path).read_bytes()
    checked = msgspec.structs.replace(marked, digest=hashlib.sha256(content).hexdigest())
    letterbox(checked, 64)
    picture(Path(marked.path), width, 60)
    with pytest.raises(UsageError, match=r"marked\.png has changed since the data set was checked") as caught:
        letterbox(checked, 64)
    assert not isinstance(caught.value, LostPictureError)


def test_a_single_pixel_that_changed_is_noticed_though_size_and_time_are_as_before(marked: Item) -> None:
    path = Path(marked.path)
    content, status = path.read_bytes(), path.stat()
    checked = msgspec.structs.replace(marked, digest=hashlib.sha256(content).hexdigest())
    pixels = numpy.asarray(Image.open(path)).copy()
    pixels[0, 0, 0] ^= 1
    write_png(path, pixels)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == len(content)
    with pytest.raises(UsageError, match="has changed"):
        letterbox(checked, 64)


def test_a_large_jpeg_gives_the_same_picture_as_its_full_decoding(tmp_path: Path, picture: Callable[..., Path]) -> None:
    path = picture(tmp_path / "a.jpg", 800, 600, quality=95)
    planes, _, _ = letterbox(Item(str(path), 800, 600, []), 64)
    with Image.open(path) as opened:
        expected = numpy.asarray(opened.resize((64, 48), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    assert numpy.abs(planes[:, 8:56].astype(int) - expected).max() <= 6
