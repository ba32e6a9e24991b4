"""The embedded shapes: the same on every interpreter, and fair."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy
from PIL import Image

from harness.cell.data.index import DataIndex
from harness.cell.data.png import write_png
from harness.cell.data.shapes import CLASSES, Scene, draw_scene, make_shapes
from harness.core.settings import Shapes

# Of 3 + 2 pictures of 64 px with seed 5. It changes only together with REVISION.
DIGEST = "961632bae194e27d290764bb131788e966443c6aa5b25234dbeb3981a5b1acc9"


def test_the_data_set_has_the_same_digest_on_every_interpreter(tmp_path: Path) -> None:
    assert make_shapes(tmp_path, Shapes(images=3, validation=2, seed=5)).digest == DIGEST


def test_the_digest_does_not_depend_on_the_folder_but_on_the_seed(tmp_path: Path) -> None:
    first, second, other = (
        make_shapes(tmp_path / name, Shapes(images=2, validation=1, seed=seed))
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first.digest == second.digest != other.digest


def test_a_longer_data_set_begins_like_a_shorter_one(tmp_path: Path, shapes: DataIndex) -> None:
    short = make_shapes(tmp_path, Shapes(images=2, validation=1))
    for one, other in zip(short.train + short.val, [*shapes.train[:2], shapes.val[0]]):
        assert one.boxes == other.boxes
        assert Path(one.path).read_bytes() == Path(other.path).read_bytes()


def test_the_pictures_are_png_files_of_the_declared_size(shapes: DataIndex) -> None:
    assert (len(shapes.train), len(shapes.val), shapes.classes) == (24, 10, list(CLASSES))
    for item in shapes.train:
        with Image.open(item.path) as opened:
            assert (opened.format, opened.mode, opened.size) == ("PNG", "RGB", (64, 64))
            opened.load()


def test_every_picture_has_objects_that_lie_inside_and_are_large_enough(shapes: DataIndex) -> None:
    for item in shapes.train + shapes.val:
        assert 1 <= len(item.boxes) <= 3
        for kind, x, y, width, height in item.boxes:
            assert kind in range(len(CLASSES))
            assert min(x - width / 2, y - height / 2) >= 0
            assert max(x + width / 2, y + height / 2) <= 1
            assert 0.12 <= min(width, height) <= max(width, height) <= 0.65


def test_a_box_encloses_what_is_bright(shapes: DataIndex) -> None:
    for item in shapes.train:
        pixels = numpy.asarray(Image.open(item.path)).max(axis=2)
        outside = numpy.ones((64, 64), dtype=bool)
        for _, x, y, width, height in item.boxes:
            left, top, right, bottom = (
                (64 * edge) for edge in (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
            )
            inside = numpy.s_[round(top) : round(bottom), round(left) : round(right)]
            assert pixels[inside].mean() > 80
            outside[inside] = False
        assert pixels[outside].mean() < 80


def test_no_object_hides_another() -> None:
    for seed in range(60):
        _, rows = draw_scene(numpy.random.RandomState(seed), 64, Scene())
        for (_, x, y, w, h), (_, u, v, p, q) in combinations(rows, 2):
            across = min(x + w / 2, u + p / 2) - max(x - w / 2, u - p / 2)
            down = min(y + h / 2, v + q / 2) - max(y - h / 2, v - q / 2)
            assert max(across, 0) * max(down, 0) <= 0.35 * min(w * h, p * q) + 1e-9


def test_a_scene_is_described_by_its_parameters() -> None:
    crowded = Scene(objects=(6, 6), extent=(0.1, 0.15), noise=0, ground=(0, 0))
    pixels, rows = draw_scene(numpy.random.RandomState(0), 64, crowded)
    assert len(rows) == 6
    assert numpy.median(pixels) == 0


def test_the_png_writer_keeps_every_pixel_of_pictures_of_more_than_one_block(tmp_path: Path) -> None:
    pixels = numpy.random.RandomState(0).randint(0, 256, (150, 201, 3)).astype(numpy.uint8)
    write_png(tmp_path / "a.png", pixels)
    with Image.open(tmp_path / "a.png") as opened:
        assert (numpy.asarray(opened) == pixels).all()
