"""Batches: the same bytes whoever makes them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy
import psutil
import pytest

from harness.cell.data.batches import Batch, Batches, EvaluationBatches, StreamDigest
from harness.cell.data.index import DataIndex, Item
from harness.cell.data.shapes import make_shapes
from harness.cell.data.workers import WorkerError
from harness.core.errors import UsageError
from harness.core.settings import Shapes
from harness.core.spec import Augment

RECIPE = Augment(mosaic=1.0, flip=0.5, hsv=(0.015, 0.7, 0.4), translate=0.1, scale=0.9)

ROOT = Path(__file__).resolve().parents[3]
# Of two epochs of the full recipe at 96 px over 8 shapes with seed 5, and of their evaluation.
TRAINING_DIGEST = "5ba330f74b99a0a8908b1a3e0f715ce19d12428c599e80a1fb7d3bee745773a6"
EVALUATION_DIGEST = "6325c5e1be77d115f76589fe5fd833765322f51865ddc6f94aefac97459a4e30"


def digests(batches: Batches, *epochs: int) -> list[str]:
    return [batch.digest for epoch in epochs for batch in batches.epoch(epoch)]


def test_training_batches_have_the_promised_form(shapes: DataIndex) -> None:
    for batch in Batches(shapes.train, 64, 5, 0, RECIPE).epoch(0):
        assert (batch.images.shape, batch.images.dtype) == ((5, 3, 64, 64), numpy.uint8)
        assert batch.images.flags.c_contiguous
        assert (batch.targets.shape[1], batch.targets.dtype) == (6, numpy.float32)
        assert set(batch.targets[:, 0]) <= set(range(5))
        assert set(batch.targets[:, 1]) <= {0, 1, 2}
        assert ((batch.targets[:, 2:] >= 0) & (batch.targets[:, 2:] <= 1)).all()


def test_the_stream_has_the_same_digest_on_every_interpreter(tmp_path: Path) -> None:
    index = make_shapes(tmp_path, Shapes(images=8, validation=3, seed=5))
    training, evaluation = StreamDigest(), StreamDigest()
    for epoch in range(2):
        for batch in Batches(index.train, 96, 4, 5, RECIPE).epoch(epoch):
            training.update(batch)
    for batch in EvaluationBatches(index.val, 96, 2):
        evaluation.update(batch)
    assert (training.batches, training.hexdigest()) == (4, TRAINING_DIGEST)
    assert (evaluation.batches, evaluation.hexdigest()) == (2, EVALUATION_DIGEST)


def test_batches_are_the_same_for_any_number_of_workers(shapes: DataIndex) -> None:
    expected = digests(Batches(shapes.train, 64, 5, 7, RECIPE, multi_scale=0.5), 0, 1, 2)
    with Batches(shapes.train, 64, 5, 7, RECIPE, workers=2, multi_scale=0.5, epochs=3) as batches:
        assert digests(batches, 0, 1, 2) == expected
    with Batches(shapes.train, 64, 5, 7, RECIPE, workers=3, multi_scale=0.5) as batches:
        assert digests(batches, 2, 0, 1) == [*expected[8:], *expected[:8]]


def test_arrays_from_workers_equal_those_made_here_and_can_be_written(shapes: DataIndex) -> None:
    with Batches(shapes.train, 64, 5, 7, RECIPE, workers=2) as batches:
        for one, other in zip(batches.epoch(1), Batches(shapes.train, 64, 5, 7, RECIPE).epoch(1)):
            assert (one.images == other.images).all()
            assert (one.targets == other.targets).all()
            one.images[0, 0, 0, 0] ^= 1


def test_an_epoch_that_is_left_early_does_not_disturb_the_next(shapes: DataIndex) -> None:
    expected = digests(Batches(shapes.train, 64, 5, 7, RECIPE), 0)
    with Batches(shapes.train, 64, 5, 7, RECIPE, workers=2, epochs=5) as batches:
        next(batches.epoch(0))
        assert digests(batches, 0) == expected
        assert digests(batches, 0) == expected


def test_seed_and_epoch_change_the_order_and_the_samples(shapes: DataIndex) -> None:
    streams = [digests(Batches(shapes.train, 64, 5, seed, RECIPE), epoch) for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    assert len({digest for stream in streams for digest in stream}) == 12


def test_an_epoch_shows_every_picture_at_most_once_and_drops_the_incomplete_batch(shapes: DataIndex) -> None:
    batches = Batches(shapes.train, 64, 5, 3, Augment())
    orders = [batches.order(0, number) for number in range(len(batches))]
    shown = [items[0].path for order in orders for items in order.samples]
    assert len(batches) == 4
    assert len(shown) == len(set(shown)) == 20
    assert shown != sorted(shown)


def test_without_augmentation_the_targets_are_those_of_the_index(shapes: DataIndex) -> None:
    batches = Batches(shapes.train, 64, 6, 3, Augment())
    batch = next(batches.epoch(0))
    for number, (item,) in enumerate(batches.order(0, 0).samples):
        rows = batch.targets[batch.targets[:, 0] == number][:, 1:]
        assert rows == pytest.approx(numpy.array(item.boxes), abs=1e-6)


def test_pictures_without_objects_give_no_targets(shapes: DataIndex) -> None:
    bare = [msgspec.structs.replace(item, boxes=[]) for item in shapes.train]
    assert next(Batches(bare, 64, 5, 0, RECIPE).epoch(0)).targets.shape == (0, 6)
    assert next(iter(EvaluationBatches(bare, 64, 5))).targets.shape == (0, 6)


def test_mosaic_ends_at_its_epoch(shapes: DataIndex) -> None:
    batches = Batches(shapes.train, 64, 5, 0, RECIPE, mosaic_off_after=2)
    pictures = [{len(items) for items in batches.order(epoch, 0).samples} for epoch in range(4)]
    assert pictures == [{4}, {4}, {1}, {1}]


def test_mosaic_has_its_probability(shapes: DataIndex) -> None:
    batches = Batches(shapes.train, 64, 24, 0, Augment(mosaic=0.5))
    counts = [len(items) for epoch in range(20) for items in batches.order(epoch, 0).samples]
    assert set(counts) == {1, 4}
    assert 0.4 < counts.count(4) / len(counts) < 0.6


def test_multi_scale_draws_multiples_of_32_within_its_share(shapes: DataIndex) -> None:
    batches = Batches(shapes.train, 128, 5, 0, Augment(), multi_scale=0.5)
    assert {batches.order(epoch, number).size for epoch in range(20) for number in range(4)} == {64, 96, 128, 160, 192}
    assert next(batches.epoch(1)).images.shape[2] == batches.order(1, 0).size


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"batch": 25}, "24 pictures, fewer than one batch of 25"),
        ({"batch": 0}, "batch size is 0"),
        ({"size": 100}, "multiple of 32"),
        ({"size": 0}, "multiple of 32"),
        ({"seed": -1}, "seed is -1"),
        ({"workers": -1}, "workers is -1"),
        ({"multi_scale": 1.0}, "multi_scale is 1.0"),
    ],
)
def test_numbers_out_of_range_are_refused(shapes: DataIndex, wrong: dict, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        Batches(**{"items": shapes.train, "size": 64, "batch": 4, "seed": 0, "augment": Augment(), **wrong})


@pytest.mark.parametrize("workers", [0, 2])
def test_evaluation_shows_every_picture_in_order_and_a_smaller_last_batch(shapes: DataIndex, workers: int) -> None:
    with EvaluationBatches(shapes.val, 96, 4, workers) as batches:
        for _ in range(2):
            found = list(batches)
            assert [len(batch.images) for batch in found] == [4, 4, 2]
            assert [one.index for batch in found for one in batch.placements] == list(range(10))
        assert len(batches) == 3
    expected = [batch.digest for batch in EvaluationBatches(shapes.val, 96, 4)]
    assert [batch.digest for batch in found] == expected


def test_evaluation_of_nothing_is_no_batch() -> None:
    assert list(EvaluationBatches([], 64, 4)) == []


@pytest.mark.parametrize(("width", "height"), [(120, 75), (33, 47), (64, 64), (1000, 333)])
def test_a_placement_leads_back_to_the_original_pixels(tmp_path: Path, picture, width: int, height: int) -> None:
    path = picture(tmp_path / "a.png", width, height)
    item = Item(str(path), width, height, [[0.0, 0.4, 0.55, 0.3, 0.2], [0.0, 0.5, 0.5, 1.0, 1.0]])
    (batch,) = EvaluationBatches([item], 64, 1)
    (placement,) = batch.placements
    assert (placement.width, placement.height) == (width, height)
    x, y, w, h = (64 * batch.targets[:, column] for column in (2, 3, 4, 5))
    boxes = numpy.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], axis=1)
    expected = numpy.array([[0.25, 0.45, 0.55, 0.65], [0, 0, 1, 1]]) * [width, height, width, height]
    assert placement.to_original(boxes) == pytest.approx(expected, abs=2e-3)
    assert placement.to_original(numpy.array([[-9.0, -9.0, 99.0, 99.0]])).tolist() == [[0, 0, width, height]]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_training_batch_whose_picture_is_gone_is_empty_and_says_so_and_the_others_are_whole(
    tmp_path: Path, workers: int
) -> None:
    index = make_shapes(tmp_path, Shapes(images=8, validation=4))
    Path(index.train[2].path).unlink()
    with Batches(index.train, 64, 4, 0, Augment(), workers) as batches:
        found = sorted(batches.epoch(0), key=lambda batch: len(batch.images))
    assert [len(batch.images) for batch in found] == [0, 4]
    assert "000002.png" in found[0].problem
    assert found[1].problem == ""
    assert found[0].targets.shape == (0, 6)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_picture_that_is_another_than_was_checked_ends_the_training(tmp_path: Path, workers: int) -> None:
    index = make_shapes(tmp_path, Shapes(images=8, validation=4))
    shutil.copy(index.train[3].path, index.train[2].path)
    noticed = pytest.raises(UsageError, match=r"000002\.png has changed since")
    with Batches(index.train, 64, 4, 0, Augment(), workers) as batches, noticed:
        list(batches.epoch(0))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_evaluation_picture_that_is_gone_is_named(tmp_path: Path, workers: int) -> None:
    index = make_shapes(tmp_path, Shapes(images=4, validation=4))
    Path(index.val[2].path).unlink()
    with EvaluationBatches(index.val, 64, 4, workers) as rest, pytest.raises(UsageError, match=r"000002\.png"):
        list(rest)


def test_a_killed_worker_stops_the_stream_with_a_clear_error(shapes: DataIndex) -> None:
    before = set(psutil.Process().children())
    with Batches(shapes.train, 64, 2, 0, RECIPE, workers=2, epochs=1000) as batches:
        next(batches.epoch(0))
        victim, *_ = set(psutil.Process().children()) - before
        os.kill(victim.pid, signal.SIGKILL)
        with pytest.raises(WorkerError, match=f"{victim.pid} was ended by signal SIGKILL"):
            digests(batches, *range(1000))
    assert set(psutil.Process().children()) == before


def test_closing_leaves_no_process_even_in_the_middle_of_an_epoch(shapes: DataIndex) -> None:
    before = set(psutil.Process().children(recursive=True))
    with Batches(shapes.train, 64, 2, 0, RECIPE, workers=2) as batches, EvaluationBatches(shapes.val, 64, 2, 2) as rest:
        next(batches.epoch(0))
        next(iter(rest))
        assert len(set(psutil.Process().children(recursive=True)) - before) == 4
    assert set(psutil.Process().children(recursive=True)) == before


MAIN = """
import sys
from pathlib import Path
sys.modules["torch"] = sys  # as if the caller had imported it: no worker may inherit that
from harness.cell.data.batches import Batches
from harness.cell.data.index import read_index
from harness.core.spec import Augment
print("main module runs")
items = read_index(Path(sys.argv[1])).train
with Batches(items, 64, 4, 0, Augment(mosaic=1.0, flip=0.5), workers=1) as batches:
    print(*[batch.digest for batch in batches.epoch(0)])
    print(batches._workers().submit(eval, "'torch' in __import__('sys').modules").result())
"""


def test_workers_neither_run_the_callers_main_module_nor_import_torch(tmp_path: Path, shapes: DataIndex) -> None:
    package = tmp_path / "caller"
    package.mkdir()
    (package / "__main__.py").write_text(MAIN)
    index = Path(shapes.train[0].path).parents[1] / "index.json"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    answer = subprocess.run(
        [sys.executable, "-m", "caller", str(index)], env=environment, capture_output=True, text=True, check=True
    )
    assert answer.stderr == ""
    first, second, third = answer.stdout.splitlines()
    assert first == "main module runs"
    assert second.split() == digests(Batches(shapes.train, 64, 4, 0, Augment(mosaic=1.0, flip=0.5)), 0)
    assert third == "False"


def test_the_package_imports_without_torch() -> None:
    modules = [path.stem for path in (ROOT / "harness/cell/data").glob("*.py") if path.stem != "__init__"]
    block = "import sys; sys.modules['torch'] = None\n"
    code = block + "\n".join(f"import harness.cell.data.{module}" for module in modules)
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_a_stream_digest_depends_on_every_batch_and_their_order() -> None:
    one, two = (Batch(numpy.zeros(0, numpy.uint8), numpy.zeros((0, 6), numpy.float32), name) for name in "ab")
    found = set()
    for stream in ((), (one,), (one, two), (two, one), (one, one)):
        digest = StreamDigest()
        for batch in stream:
            digest.update(batch)
        assert digest.batches == len(stream)
        found.add(digest.hexdigest())
    assert len(found) == 5
