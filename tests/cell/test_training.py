"""The training loop and the case `train` on a data set of 24 pictures, in this environment's torch."""

import gzip
import json
import math

import msgspec
import numpy
import pytest
import torch

from harness.cell.data.batches import EvaluationBatches
from harness.cell.data.index import read_index, write_index
from harness.cell.data.shapes import make_shapes
from harness.cell.evaluate import detect
from harness.cell.learner import make_learner
from harness.cell.progress import Progress
from harness.cell.results import keep_detections, keep_times
from harness.cell.scoring import digest_of_detections, figures, score
from harness.cell.train import Gathered, Hook, Position, Training, make_loop, train, train_loop, update
from harness.cell.weights import weights_digest
from harness.cell.weights_file import read_weights
from harness.cell.yolov9 import MODEL
from harness.core.settings import Shapes
from harness.core.spec import Data
from tests import coco_sets

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
def tiny(spec, shapes):
    """Two epochs of three batches."""
    data = Data(name=shapes.name, digest=shapes.digest)
    return msgspec.structs.replace(spec, data=data, train=msgspec.structs.replace(spec.train, epochs=2))


@pytest.fixture
def measured(tiny, folder, tmp_path, train_at_once):
    """What a whole run of the case leaves, beside its files."""
    return train_at_once(tiny, folder / "index.json", tmp_path / "0.json")


def test_two_runs_with_one_seed_are_equal_bit_for_bit_whatever_the_number_of_loader_workers(tiny, shapes):
    first = train(tiny, shapes, SILENT)
    with_workers = msgspec.structs.replace(tiny, train=msgspec.structs.replace(tiny.train, workers=2))
    second = train(with_workers, shapes, SILENT)
    assert first.losses == second.losses
    assert first.terms == second.terms
    assert first.norms == second.norms
    assert first.final_weights == second.final_weights != first.initial_weights
    assert first.stream.hexdigest() == second.stream.hexdigest()


def test_another_seed_gives_other_weights_and_another_stream(tiny, shapes):
    short = msgspec.structs.replace(tiny, train=msgspec.structs.replace(tiny.train, epochs=1))
    first, second = train(short, shapes, SILENT), train(msgspec.structs.replace(short, seed=1), shapes, SILENT)
    assert first.initial_weights != second.initial_weights
    assert first.stream.hexdigest() != second.stream.hexdigest()


def test_the_record_of_a_run_holds_every_series_and_metric(measured, tiny, tmp_path):
    samples = {metric.name: metric for metric in measured.metrics}
    assert len(samples["epoch_time"].samples) == len(samples["epoch_time"].warmup) == 1
    assert len(samples["step_time"].samples) + len(samples["step_time"].warmup) == 6
    assert samples["peak_rss"].samples[0] > 100 * 2**20
    assert samples["training_memory"].samples == [max(measured.series["training_memory"])]
    assert samples["fixed_memory"].samples[0] + samples["fixed_files"].samples[0] > 100 * 2**20
    assert samples["gradient_anomalies"].samples == [0.0]
    assert samples["map50"].samples == measured.series["map50"][-1:]
    assert {name: len(values) for name, values in measured.series.items()} == {
        "waited_for_data": 2, "training_memory": 2, "peak_rss": 2, "rss": 2, "map50": 2, "map50_95": 2,
        "loss": 6, "loss:box": 6, "loss:class": 6, "loss:dfl": 6, "gradient_norm": 6,
    }  # fmt: skip
    assert measured.files == {
        "detections": "0.detections.json.gz",
        "ground-truth": "0.ground-truth.json.gz",
        "weights": "0.weights.safetensors",
    }
    assert measured.hashes.data == tiny.data.digest


def kept(measured, tmp_path):
    """What was scored against and the detections, from the files beside the record."""
    names = ("ground-truth", "detections")
    return [json.loads(gzip.decompress((tmp_path / measured.files[name]).read_bytes())) for name in names]


def test_kept_detections_score_again_to_the_same_figures(measured, tmp_path):
    again = figures(*kept(measured, tmp_path))
    assert again[:2] == [measured.series[name][-1] for name in ("map50_95", "map50")]


def test_the_kept_weights_are_the_average_that_was_evaluated(measured, tiny, shapes, tmp_path):
    network = MODEL.network_of(read_weights(tmp_path / measured.files["weights"]).entries)
    with EvaluationBatches(shapes.val, tiny.train.image_size, tiny.train.batch) as batches:
        found = detect(MODEL, network, batches, torch.device("cpu"), False, SILENT)
    kept_digest = next(one.value for one in measured.fingerprints if one.name == "detections")
    assert digest_of_detections(found) == kept_digest


def test_weights_are_kept_of_the_first_round_alone(tiny, folder, tmp_path, train_at_once):
    later = train_at_once(msgspec.structs.replace(tiny, round=1), folder / "index.json", tmp_path / "1.json")
    assert "weights" not in later.files


def test_kept_detections_on_a_users_coco_set_score_as_by_pycocotools(tiny, tmp_path, run_of, measured_for):
    document, rows = coco_sets.draw(1)
    run = run_of(tiny, coco_sets.prepared(document, tmp_path), tmp_path / "0.part")
    measured = measured_for("train")
    keep_detections(measured, run, run.data.val, numpy.array(rows))
    truth, found = kept(measured, tmp_path)
    expected = pytest.approx(json.loads(coco_sets.GOLDEN.read_text())["1"], rel=0, abs=1e-12)
    assert figures(truth, found) == expected
    assert figures(document, found) == expected


@pytest.fixture
def train_on(tiny, tmp_path, train_at_once):
    """Trains on a COCO set, each training picture of which comes eight times: too few make no batch."""

    def train_on(document):
        path = coco_sets.prepared(document, tmp_path)
        index = read_index(path)
        write_index(path, msgspec.structs.replace(index, train=index.train * 8))
        spec = msgspec.structs.replace(tiny, data=Data(index.name, index.digest))
        return train_at_once(spec, path, tmp_path / "0.json"), index

    return train_on


def test_on_a_users_coco_set_the_kept_files_have_its_ids_and_crowds_are_no_targets(train_on, tmp_path):
    document, _ = coco_sets.draw(1)
    measured, index = train_on(document)
    truth, found = kept(measured, tmp_path)
    own = {annotation["id"]: annotation for annotation in document["annotations"]}
    assert {annotation["id"]: {**own[annotation["id"]], **annotation} for annotation in truth["annotations"]} == own
    assert [image["id"] for image in truth["images"]] == [image["id"] for image in document["images"]]
    assert [image["file_name"] for image in truth["images"]] == [image["file_name"] for image in document["images"]]
    assert {(one["id"], one["name"]) for one in truth["categories"]} == {
        (one["id"], one["name"]) for one in document["categories"]
    }
    assert found
    assert {one["image_id"] for one in found} <= {image["id"] for image in document["images"]}
    assert {one["category_id"] for one in found} <= {one["id"] for one in document["categories"]}
    assert figures(document, found)[:2] == [measured.series[name][-1] for name in ("map50_95", "map50")]
    crowds = sum(annotation["iscrowd"] for annotation in document["annotations"])
    assert crowds > 0
    assert sum(len(item.boxes) for item in index.val) <= len(document["annotations"]) - crowds
    assert "map50" not in measured.notes


def test_an_annotation_that_cocos_tools_never_find_is_told(train_on):
    document, _ = coco_sets.draw(2)
    measured, _ = train_on(document)
    assert "has the id 0" in measured.notes["map50"]


def test_the_fingerprints_are_the_first_steps_the_final_weights_and_the_last_detections(measured, tiny, shapes):
    values = {one.name: one.value for one in measured.fingerprints}
    result = train(tiny, shapes, SILENT)
    assert values == {
        "first_losses": result.losses,
        "first_gradient_norms": result.norms,
        "final_weights": result.final_weights,
        "detections": digest_of_detections(result.detections),
    }


def test_detections_that_equal_the_true_boxes_score_one(shapes):
    rows = [
        [number, (cx - w / 2) * item.width, (cy - h / 2) * item.height, w * item.width, h * item.height, 0.9, label]
        for number, item in enumerate(shapes.val, start=1)
        for label, cx, cy, w, h in item.boxes
    ]
    assert score(shapes.val, shapes.classes, numpy.array(rows)) == pytest.approx((1.0, 1.0, 1.0))


@pytest.fixture
def loop(tiny, shapes):
    """A training that has not begun."""
    made = make_loop(tiny, shapes, SILENT, Hook())
    made.learner.network.train()
    return made


def step(loop, images):
    targets = torch.tensor([[[0.0, 10.0, 10.0, 40.0, 40.0]]]).repeat(len(images), 1, 1)
    loss = loop.criterion(loop.learner.network(images), targets, images.shape[2:])
    loop.learner.scaler.scale(loss.total).backward()
    loop.gathered = Gathered([loss], batches=1, targets=len(images))
    update(loop, Position(0, 0))


def test_a_step_with_a_non_finite_picture_is_an_anomaly_and_leaves_the_weights_alone(loop):
    learner, result = loop.learner, loop.result
    trained = [parameter.detach().clone() for parameter in learner.parameters]
    images = torch.rand(2, 3, 64, 64)
    images[0, 0, 0, 0] = math.nan
    learner.statistics.keep()
    step(loop, images)
    assert result.watch.anomalous_steps == 1
    assert {anomaly.kind for anomaly in result.watch.anomalies} >= {"non-finite gradient"}
    assert result.skipped_steps == 1
    assert all(torch.equal(now, before) for now, before in zip(learner.parameters, trained))
    assert weights_digest(learner.network) == result.initial_weights
    assert learner.average.updates == 0
    assert learner.optimizer.state == {}


def test_a_parameter_that_no_gradient_reaches_neither_moves_nor_gains_a_state(loop):
    learner = loop.learner
    first, *others = learner.parameters
    before = first.detach().clone()
    for _ in range(2):
        first.requires_grad_(False)
        step(loop, torch.rand(2, 3, 64, 64))
    assert torch.equal(first, before)
    assert set(learner.optimizer.state) == set(others)
    assert loop.result.norms[-1] > 0


def test_training_goes_on_after_an_anomaly(loop):
    loop.learner.statistics.keep()
    step(loop, torch.full((2, 3, 64, 64), math.inf))
    assert weights_digest(loop.learner.network) == loop.result.initial_weights
    step(loop, torch.rand(2, 3, 64, 64))
    assert weights_digest(loop.learner.network) != loop.result.initial_weights
    assert math.isfinite(loop.result.norms[-1])


def test_a_branch_that_is_cut_off_is_found(loop):
    for layer in loop.learner.network.model[22:29]:
        layer.register_forward_hook(lambda module, inputs, output: output.detach() * 0)
    step(loop, torch.rand(2, 3, 64, 64))
    assert ("dead branch", "auxiliary neck") in [(one.kind, one.parameter) for one in loop.result.watch.anomalies]


class Two(Hook):
    """Ends a training after two steps."""

    def after_update(self, loop, following):
        return following.step < 2


def test_a_hook_ends_a_training_after_a_step_without_the_rest_of_the_epoch_and_an_evaluation(tiny, shapes):
    result = train(tiny, shapes, SILENT, Two())
    assert len(result.losses) == result.stream.batches == 2
    assert (result.epoch_seconds, result.scores) == ([], [])
    assert result.final_weights != result.initial_weights


def test_a_hook_is_called_around_every_optimiser_step_and_every_evaluation(tiny, shapes):
    class Looking(Hook):
        def __init__(self):
            self.seen = []

        def before_update(self, loop):
            self.seen.append("before step")

        def feed(self, loop, batch, position):
            self.seen.append(position.step)
            return [batch]

        def after_update(self, loop, following):
            self.seen.append("after step")
            return True

        def before_evaluation(self, loop):
            self.seen.append(f"before evaluation {len(loop.result.scores)} of {len(loop.result.epoch_seconds)}")

        def after_epoch(self, loop, epoch):
            self.seen.append(f"after evaluation {len(loop.result.scores)}")
            return epoch == 0

    recipe = msgspec.structs.replace(tiny.recipe, nominal_batch=2 * tiny.train.batch, warmup_steps=0)
    hook = Looking()
    train(msgspec.structs.replace(tiny, recipe=recipe), shapes, SILENT, hook)
    first, second = ["before step", 0, 1, "after step"], ["before step", 2, "after step"]
    evaluated = [[f"before evaluation {epoch} of {epoch + 1}", f"after evaluation {epoch + 1}"] for epoch in (0, 1)]
    assert hook.seen == [*first, *second, *evaluated[0], *first, *second, *evaluated[1]]


def test_the_loop_without_instruments_makes_the_same_updates_and_looks_at_nothing(tiny, shapes):
    loops = [make_loop(msgspec.structs.replace(tiny, instruments=one), shapes, SILENT, Two()) for one in (True, False)]
    begun = [parameter.detach().clone() for parameter in loops[0].learner.parameters]
    watched, plain = map(train_loop, loops)
    pairs = list(zip(*(loop.learner.parameters for loop in loops)))
    assert all(torch.allclose(one, other, rtol=1e-3, atol=1e-5) for one, other in pairs)
    assert not all(torch.allclose(one, other, rtol=1e-3, atol=1e-5) for one, (other, _) in zip(begun, pairs))
    assert (len(watched.norms), plain.norms, plain.losses, plain.terms) == (2, [], [], {})
    assert loops[0].learner.average.updates == loops[1].learner.average.updates == 2


@pytest.mark.parametrize(
    ("begun", "values", "settled"),
    [
        ([0], [9.0, 1.0, 2.0], [1.0, 2.0]),
        ([0, 2], [9.0, 1.0, 9.0, 2.0], [1.0, 2.0]),
        ([0, 1, 1], [9.0, 8.0, 2.0], [2.0]),  # resumed twice in one epoch
        ([0, 1, 2], [9.0, 8.0, 7.0], [9.0, 8.0, 7.0]),
        ([0], [9.0], [9.0]),
        ([0], [], []),
    ],
)
def test_the_epochs_in_which_a_process_began_are_apart_unless_one_began_in_each(begun, values, settled, measured_for):
    result = Training(None, None, "", begun=begun, epoch_seconds=values, epoch_cpu_seconds=values)
    assert result.settled(values) == settled
    measured = measured_for("train")
    keep_times(measured, result)
    starts = [value for epoch, value in enumerate(values) if epoch in begun] if settled != values else []
    assert [(metric.samples, metric.warmup) for metric in measured.metrics] == [(settled, starts)] * 2
    assert ("epoch_time" in measured.notes) == (settled == values)


def test_terms_of_a_step_that_has_none_are_not_a_number_also_where_they_come_later(loop):
    result = loop.result
    result.keep_step(math.nan, {}, math.nan)
    result.keep_step(3.0, {"box": 1.0, "class": 2.0}, 1.0)
    result.keep_step(math.nan, {}, math.nan)
    assert {name: values[1] for name, values in result.terms.items()} == {"box": 1.0, "class": 2.0}
    assert [math.isnan(value) for value in result.terms["class"]] == [True, False, True]


def test_boxes_go_back_to_the_pixels_of_the_original_picture(shapes):
    with EvaluationBatches(shapes.val, 128, 4) as batches:
        place = next(iter(batches)).placements[0]
    assert place.to_original(numpy.array([[32.0, 32.0, 64.0, 96.0]])).tolist() == [[16.0, 16.0, 32.0, 48.0]]


def test_the_index_on_disk_is_what_the_generator_returned(shapes, folder):
    assert read_index(folder / "index.json") == shapes


def test_a_nudged_training_begins_one_rounding_away_and_says_from_which_weights(tiny, shapes):
    plain, nudged = (make_learner(msgspec.structs.replace(tiny, nudged=one), len(shapes.classes)) for one in (0, 1))
    assert nudged.initial_weights == plain.initial_weights == weights_digest(plain.network)
    assert weights_digest(nudged.network) != nudged.initial_weights
    assert weights_digest(nudged.average.network) != weights_digest(plain.average.network)
    apart = [(one - other).abs().max() for one, other in zip(nudged.parameters, plain.parameters)]
    assert 0 < max(apart) < 1e-6
