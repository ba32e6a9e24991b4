"""The training loop and the case `train` on a data set of 24 pictures, in this environment's torch."""

import math
from pathlib import Path

import msgspec
import numpy
import pytest
import torch

from cases.train import run
from harness.cell.data.batches import EvaluationBatches
from harness.cell.data.index import read_index
from harness.cell.data.shapes import make_shapes
from harness.cell.evaluate import read_detections, score
from harness.cell.progress import Progress
from harness.cell.train import make_learner, train, update
from harness.cell.yolov9.initial import weights_digest
from harness.cell.yolov9.loss import DetectionLoss
from harness.core.settings import Shapes
from harness.core.spec import Data

SILENT = Progress(None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("shapes")


@pytest.fixture(scope="module")
def shapes(folder):
    return make_shapes(folder, Shapes(images=24, validation=8, size=64))


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def tiny(spec, shapes, folder):
    """Two epochs of three batches."""
    data = Data(name=shapes.name, digest=shapes.digest, index=str(folder / "index.json"))
    return msgspec.structs.replace(spec, data=data, train=msgspec.structs.replace(spec.train, epochs=2))


def test_two_runs_with_one_seed_are_equal_bit_for_bit_whatever_the_number_of_loader_workers(tiny, shapes):
    first = train(tiny, shapes, SILENT)
    with_workers = msgspec.structs.replace(tiny, train=msgspec.structs.replace(tiny.train, workers=2))
    second = train(with_workers, shapes, SILENT)
    assert first.losses == second.losses
    assert first.norms == second.norms
    assert first.final_weights == second.final_weights != first.initial_weights
    assert first.stream.hexdigest() == second.stream.hexdigest()


def test_another_seed_gives_other_weights_and_another_stream(tiny, shapes):
    short = msgspec.structs.replace(tiny, train=msgspec.structs.replace(tiny.train, epochs=1))
    first, second = train(short, shapes, SILENT), train(msgspec.structs.replace(short, seed=1), shapes, SILENT)
    assert first.initial_weights != second.initial_weights
    assert first.stream.hexdigest() != second.stream.hexdigest()


def test_the_record_of_a_run_holds_every_series_and_metric(tiny, tmp_path):
    measured = run(tiny, SILENT, tmp_path / "0.json")
    samples = {metric.name: metric for metric in measured.metrics}
    assert len(samples["epoch_time"].samples) == len(samples["epoch_time"].warmup) == 1
    assert len(samples["step_time"].samples) + len(samples["step_time"].warmup) == 6
    assert samples["peak_rss"].samples[0] > 100 * 2**20
    assert samples["gradient_anomalies"].samples == [0.0]
    assert samples["map50"].samples == measured.series["map50"][-1:]
    assert {name: len(values) for name, values in measured.series.items()} == {
        "waited_for_data": 2, "peak_rss": 2, "rss": 2, "map50": 2, "map50_95": 2,
        "loss": 6, "box_loss": 6, "class_loss": 6, "dfl_loss": 6, "gradient_norm": 6,
    }  # fmt: skip
    assert (tmp_path / measured.files["detections"]).exists()
    assert measured.hashes.data == tiny.data.digest


def test_kept_detections_score_again_to_the_same_figures(tiny, shapes, tmp_path):
    measured = run(tiny, SILENT, tmp_path / "0.json")
    found = read_detections(tmp_path / measured.files["detections"])
    again = score(shapes.val, shapes.classes, found)
    assert [again.map50, again.map50_95] == [measured.series[name][-1] for name in ("map50", "map50_95")]


def test_detections_that_equal_the_true_boxes_score_one(shapes):
    rows = [
        [number, (cx - w / 2) * item.width, (cy - h / 2) * item.height, w * item.width, h * item.height, 0.9, label]
        for number, item in enumerate(shapes.val, start=1)
        for label, cx, cy, w, h in item.boxes
    ]
    assert score(shapes.val, shapes.classes, numpy.array(rows)) == (pytest.approx(1.0), pytest.approx(1.0))


def test_no_detections_score_zero(shapes):
    assert score(shapes.val, shapes.classes, numpy.zeros((0, 7))) == (0.0, 0.0)


def step(learner, result, spec, images):
    targets = torch.tensor([[[0.0, 10.0, 10.0, 40.0, 40.0]]]).repeat(len(images), 1, 1)
    loss = DetectionLoss(3)(learner.model(images), targets, images.shape[2:])
    learner.scaler.scale(loss.total).backward()
    update(learner, result, [loss], spec, epoch=0, step=0, targets=len(images))


def test_a_step_with_a_non_finite_picture_is_an_anomaly_and_leaves_the_weights_alone(tiny, shapes):
    result = train(msgspec.structs.replace(tiny, train=msgspec.structs.replace(tiny.train, epochs=1)), shapes, SILENT)
    learner = make_learner(tiny, 3)
    trained = [parameter.detach().clone() for parameter in learner.parameters]
    images = torch.rand(2, 3, 64, 64)
    images[0, 0, 0, 0] = math.nan
    step(learner, result, tiny, images)
    assert result.watch.anomalous_steps == 1
    assert {anomaly.kind for anomaly in result.watch.anomalies} >= {"non-finite gradient"}
    assert result.skipped_steps == 1
    assert all(torch.equal(now, before) for now, before in zip(learner.parameters, trained))
    assert learner.average.updates == 0
    assert learner.optimizer.state == {}


def test_training_goes_on_after_an_anomaly(tiny, shapes):
    result = train(msgspec.structs.replace(tiny, train=msgspec.structs.replace(tiny.train, epochs=1)), shapes, SILENT)
    learner = make_learner(tiny, 3)
    before = weights_digest(learner.model)
    step(learner, result, tiny, torch.full((2, 3, 64, 64), math.inf))
    learner.model.load_state_dict(make_learner(tiny, 3).model.state_dict())  # the buffers are another case's matter
    step(learner, result, tiny, torch.rand(2, 3, 64, 64))
    assert weights_digest(learner.model) != before
    assert math.isfinite(result.norms[-1])


def test_a_branch_that_is_cut_off_is_found(tiny, shapes):
    result = train(msgspec.structs.replace(tiny, train=msgspec.structs.replace(tiny.train, epochs=1)), shapes, SILENT)
    learner = make_learner(tiny, 3)
    for layer in learner.model.model[22:29]:
        layer.register_forward_hook(lambda module, inputs, output: output.detach() * 0)
    step(learner, result, tiny, torch.rand(2, 3, 64, 64))
    assert ("dead branch", "auxiliary neck") in [(one.kind, one.parameter) for one in result.watch.anomalies]


def test_boxes_go_back_to_the_pixels_of_the_original_picture(shapes):
    with EvaluationBatches(shapes.val, 128, 4) as batches:
        place = next(iter(batches)).placements[0]
    assert place.to_original(numpy.array([[32.0, 32.0, 64.0, 96.0]])).tolist() == [[16.0, 16.0, 32.0, 48.0]]


def test_the_index_on_disk_is_what_the_generator_returned(shapes, tiny):
    assert read_index(Path(tiny.data.index)) == shapes
