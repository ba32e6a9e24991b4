"""The case `broken-images` in this environment's torch: what a broken picture does to a step, and to the training."""

import math

import msgspec
import numpy
import pytest
import torch

from cases.broken_images.body import KINDS, Broken, Kind, changing, equal, finite, judge, measure, told
from harness.cell.data.batches import training_batch
from harness.cell.data.shapes import make_shapes
from harness.cell.probes import GradientWatch
from harness.cell.progress import Progress
from harness.cell.train import Hook, Training, make_loop, train, training_batches
from harness.core.cases import read_case
from harness.core.errors import UsageError
from harness.core.record import scratch_of
from harness.core.settings import Shapes
from harness.core.spec import Data

SILENT = Progress(None)
KIND = {kind.name: kind for kind in KINDS}
START = KIND["black_batch_at_start"]
PIXEL = KIND["non_finite_pixel"]
TORN = KIND["torn_file"]
EMPTY = KIND["empty_file"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("shapes")


@pytest.fixture(scope="module")
def shapes(folder):
    return make_shapes(folder, Shapes(images=8, validation=2, size=64))


@pytest.fixture(scope="module")
def tiny(spec, shapes):
    """Two epochs of two batches of four; the broken picture comes in the third batch."""
    torch.set_num_threads(1)
    return msgspec.structs.replace(
        spec,
        case="broken-images",
        data=Data(name=shapes.name, digest=shapes.digest),
        train=msgspec.structs.replace(spec.train, epochs=2, batch=4),
        settings={"step": 2, "allowed": 0.2},
    )


@pytest.fixture(scope="module")
def measured(tiny, folder, run_of, tmp_path_factory):
    record = tmp_path_factory.mktemp("runs") / "0.part"
    measured = measure(run_of(tiny, folder / "index.json", record))
    assert not scratch_of(record).exists()
    return measured


@pytest.fixture(scope="module")
def said(measured):
    """What was said of each kind."""
    return {check.name: check.said for check in measured.checks}


def struck(tiny, shapes, kind, tmp_path):
    """A training that begins with the broken batch, and the hook that looked at its step."""
    at_start = Kind(kind.name, kind.change, at_start=True)
    hook = Broken(at_start, tmp_path, tmp_path / "none")
    return train(tiny, shapes, SILENT, hook), hook


def test_every_kind_of_broken_picture_has_its_check_and_none_failed_to_be_handled(measured):
    assert (
        [check.name for check in measured.checks]
        == [kind.name for kind in KINDS]
        == [one.name for one in read_case("broken-images").checks]
    )
    # so short a training learns nothing, so whether it recovers is open
    assert {check.outcome for check in measured.checks} == {"open"}


def test_an_all_black_batch_spoils_hundreds_of_gradients_of_a_fresh_model_and_none_of_a_trained_one(said):
    fresh, later = said[START.name], said["black_batch"]
    assert int(fresh.split("; ")[1].split()[0]) > 200
    assert "step left out, nothing of it stays" in fresh
    assert "all gradients finite; step done" in later


def test_a_pixel_that_is_not_finite_spoils_nearly_every_gradient_and_the_step_is_left_out_whole(said, tiny, shapes):
    trained = len(make_loop(tiny, shapes, SILENT, Hook()).learner.names)
    assert int(said[PIXEL.name].split("; ")[1].split()[0]) > 0.9 * trained
    assert "step left out, nothing of it stays" in said[PIXEL.name]


@pytest.mark.parametrize("kind", [TORN, EMPTY], ids=["torn", "empty"])
def test_a_file_that_cannot_be_read_is_an_anomaly_and_its_step_is_left_out_whole(tiny, shapes, tmp_path, kind):
    result, hook = struck(tiny, shapes, kind, tmp_path)
    (anomaly,) = result.watch.anomalies
    assert (anomaly.kind, anomaly.epoch, anomaly.step) == ("unreadable picture", 0, 0)
    assert "torn.png" in anomaly.value
    assert (hook.skipped, hook.unharmed, result.skipped_steps) == (True, True, 1)
    assert math.isnan(result.losses[0])
    assert told(hook, result) == ["the file cannot be read", "step left out, nothing of it stays"]
    assert all(map(math.isfinite, result.losses[1:]))
    assert {len(values) for values in result.terms.values()} == {len(result.losses)}


def test_a_step_that_is_not_left_out_whole_is_noticed(tiny, shapes, tmp_path, monkeypatch):
    monkeypatch.setattr("harness.cell.learner.RunningStatistics.restore", lambda _: None)
    _, hook = struck(tiny, shapes, PIXEL, tmp_path)
    assert hook.skipped
    assert not hook.unharmed


def test_weights_that_are_no_longer_finite_are_noticed(tiny, shapes, tmp_path, monkeypatch):
    read = GradientWatch.read
    monkeypatch.setattr(GradientWatch, "read", lambda *a, **k: read(*a, **k)._replace(finite=True))
    _, hook = struck(tiny, shapes, PIXEL, tmp_path)
    assert not hook.skipped
    assert not hook.unharmed


def test_a_training_that_ends_below_the_clean_one_fails_the_check(tiny, shapes, tmp_path, measured_for):
    result, hook = struck(tiny, shapes, KIND["label_outside"], tmp_path)
    measured = measured_for("broken-images")
    clean, low = (with_score(result, value) for value in (0.6, 0.3))
    for reached in (clean, low):
        judge(measured, START, hook, reached, clean, allowed=0.2)
    assert [check.outcome for check in measured.checks] == ["held", "failed"]
    assert "final mAP50 0.300, clean 0.600, 0.2 less is allowed" in measured.checks[1].said


def with_score(result, map50):
    """The same training with another final mAP50."""
    copy = Training(**vars(result))
    copy.scores = [result.scores[-1]._replace(map50=map50)]
    return copy


def test_the_metrics_of_the_run_are_the_clean_trainings(measured, tiny, shapes):
    clean = train(tiny, shapes, SILENT)
    assert measured.hashes.initial_weights == clean.initial_weights
    assert {one.name: one.value for one in measured.fingerprints}["final_weights"] == clean.final_weights
    values = {metric.name: metric.samples for metric in measured.metrics}
    assert values["gradient_anomalies"] == [0.0]
    assert len(values["map50_after_faults"]) == 1
    assert measured.notes["map50_after_faults"].startswith("of the worst kind: a")
    assert measured.anomalies == clean.watch.anomalies


@pytest.mark.parametrize("step", [4, 99])  # the training has four batches
def test_a_broken_picture_that_comes_after_the_last_step_is_refused(tiny, folder, run_of, tmp_path, step):
    late = msgspec.structs.replace(tiny, settings={"step": step, "allowed": 0.2})
    with pytest.raises(UsageError, match=rf"no step after batch {step}.*\[profiles\.smoke\.broken-images\]"):
        measure(run_of(late, folder / "index.json", tmp_path / "0.part"))
    assert list(tmp_path.iterdir()) == []


def test_a_step_that_the_loss_scaler_leaves_out_is_told_as_such_and_may_lower_its_factor(tiny, shapes, tmp_path):
    hook = Broken(START, tmp_path, tmp_path / "none")
    hook.skipped, hook.scaler_skips, hook.loss = True, 1, 3.0
    loop = make_loop(tiny, shapes, SILENT, Hook())
    assert "scaler" not in changing(loop)
    loop.result.losses.append(3.0)
    assert told(hook, loop.result) == [
        "loss 3",
        "gradients overflow in float16, which the loss scaler is there for",
        "step left out, nothing of it stays",
    ]


def test_each_change_breaks_what_it_says_and_nothing_else(tiny, shapes, tmp_path):
    loop = make_loop(tiny, shapes, SILENT, Hook())
    position = (0, 0)
    with training_batches(tiny, shapes) as batches:
        plain = training_batch(batches.order(*position))
    changed = {kind.name: kind.change(loop, plain, position, tmp_path) for kind in KINDS}
    assert not changed[START.name].images.any()
    assert (changed["black_picture"].images[1:] == plain.images[1:]).all()
    assert not changed["black_picture"].images[0].any()
    assert numpy.isnan(changed[PIXEL.name].images).sum() == 1
    assert set(changed["unlabelled_picture"].targets[:, 0]) == set(plain.targets[:, 0]) - {0.0}
    assert len(changed["unlabelled_batch"].targets) == 0
    outside = changed["label_outside"].targets
    assert (outside[1:] == plain.targets).all()
    assert (outside[0, 2:4] - outside[0, 4:6] / 2 > 1).all()
    assert all(changed[kind.name].problem for kind in (TORN, EMPTY))


def test_states_are_compared_bit_for_bit_and_searched_for_what_is_not_finite(tiny, shapes):
    state = changing(make_loop(tiny, shapes, SILENT, Hook()))
    assert equal(state, state)
    assert finite(state)
    other = {**state, "network": {**state["network"]}}
    name = next(iter(other["network"]))
    other["network"][name] = other["network"][name] + 1e-7
    assert not equal(state, other)
    other["network"][name] = other["network"][name] * math.nan
    assert not finite(other)
