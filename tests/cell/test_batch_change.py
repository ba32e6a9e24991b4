"""A training whose batch size changes: what is trained, what is told of it, and what a crash at one size leaves."""

import math

import msgspec
import pytest
import torch
from msgspec.structs import replace

import cases.batch_change.body as case
from cases.batch_change import Settings
from cases.batch_change.body import Phase, check_back, keep_memory, train_phases
from harness.cell import train
from harness.cell.data.batches import StreamDigest
from harness.cell.data.index import read_index
from harness.cell.data.shapes import make_shapes
from harness.cell.errand import Answer
from harness.cell.progress import Progress
from harness.cell.train import Hook, make_loop, training_batches
from harness.core.errors import UsageError
from harness.core.faults import Fault
from harness.core.record import scratch_of
from harness.core.settings import Shapes
from harness.core.spec import Data

SILENT = Progress(None)
IMAGES = 4
SIZES = [4, 1, 4]
EPOCHS = 2


class Watching(Hook):
    """Keeps what every batch has, and with which rate its step was done."""

    def __init__(self):
        self.fed = []

    def feed(self, loop, batch, position):
        self.fed.append((position, len(batch.images)))
        return [batch]

    def after_update(self, loop, following):
        self.fed[-1] += (loop.learner.optimizer.param_groups[0]["lr"],)
        return True


@pytest.fixture(scope="module")
def index_file(tmp_path_factory):
    """The index of a small data set."""
    folder = tmp_path_factory.mktemp("shapes") / "set"
    make_shapes(folder, Shapes(images=IMAGES, validation=2, size=64))
    return folder / "index.json"


@pytest.fixture(scope="module")
def index(index_file):
    return read_index(index_file)


@pytest.fixture(scope="module")
def planned(spec, index):
    """A run of three sizes, the last of them the first again, that does not warm up."""
    torch.set_num_threads(1)
    return replace(
        spec,
        case="batch-change",
        pin=replace(spec.pin, torch=None, lock=None),
        data=Data(name=index.name, digest=index.digest),
        recipe=replace(spec.recipe, warmup_steps=0),
        settings={"sizes": SIZES, "epochs": EPOCHS},
    )


@pytest.fixture(scope="module")
def done(planned, index_file, run_of, tmp_path_factory):
    """A whole run, and the place of its record."""
    record = tmp_path_factory.mktemp("done") / "0.part"
    return case.measure(run_of(planned, index_file, record)), record


@pytest.fixture(scope="module")
def harmed(planned, index):
    """The loop, the phases and the watcher of a training with one bad gradient, in a step of the second size."""
    steps_before = EPOCHS * IMAGES // SIZES[0]
    watching = Watching()
    spec = replace(planned, fault=Fault(kind="nan-gradient", size=steps_before + 3))
    return (*trained(spec, index, watching), watching)


@pytest.fixture(scope="module")
def small(planned):
    """The same with pictures so small that a batch of one leaves BatchNorm a single value a channel."""
    return replace(planned, train=replace(planned.train, image_size=32))


@pytest.fixture(scope="module")
def crashed(small, index_file, run_of, tmp_path_factory):
    """A run of that."""
    return case.measure(run_of(small, index_file, tmp_path_factory.mktemp("crashed") / "0.part"))


@pytest.fixture
def measured(measured_for):
    return measured_for("batch-change")


def trained(spec, index, hook=None):
    """A loop that went through all sizes, and its phases."""
    loop = make_loop(spec, index, SILENT, hook or Hook())
    return loop, train_phases(loop, spec.settings_as(Settings))


def stream_of(spec, index):
    """The digest of all batches that are due."""
    stream = StreamDigest()
    for place, size in enumerate(SIZES):
        settings = replace(spec.train, batch=size, epochs=len(SIZES) * EPOCHS)
        with training_batches(replace(spec, train=settings), index) as batches:
            for epoch in range(place * EPOCHS, (place + 1) * EPOCHS):
                for batch in batches.epoch(epoch):
                    stream.update(batch)
    return stream.hexdigest()


def answer(**memory):
    """What a fresh process left."""
    empty = {"initial_weights": "", "final_weights": "", "batch_stream": "", "losses": [], "map50": [], "used": []}
    return msgspec.convert(
        {**empty, "memory": memory, "went_on": (0, 0), "earlier_steps": 0, "ready_seconds": 0.0, "seconds": 0.0},
        Answer,
        strict=False,
    )


def outcomes(measured):
    return {check.name: check.outcome for check in measured.checks}


def said(measured, name):
    return next(check.said for check in measured.checks if check.name == name)


def test_a_training_that_goes_on_at_every_size_holds_the_checks(done):
    measured, _ = done
    assert [check.name for check in measured.checks] == ["goes_on", "single_picture", "learns_on"]
    assert outcomes(measured)["goes_on"] == outcomes(measured)["single_picture"] == "held"
    assert outcomes(measured)["learns_on"] in ("held", "failed")  # so few steps need not teach anything
    assert said(measured, "single_picture").startswith(f"batch 1: {EPOCHS * IMAGES} steps, loss ")
    assert said(measured, "goes_on").count("steps, loss") == len(SIZES)
    assert measured.not_measured == {}


def test_memory_is_held_against_a_fresh_process_at_the_same_size(done):
    measured, _ = done
    by_phase, fresh = measured.series["rss_by_phase"], measured.series["rss_fresh"]
    metric = next(metric for metric in measured.metrics if metric.name == "retained_memory")
    assert metric.samples == [max(by_phase[1] / fresh[1], by_phase[2] / fresh[2])]
    assert fresh[0] == fresh[2] != fresh[1]
    # nothing has changed there yet; but this process has other tests behind it, and what these have left in the heap
    assert by_phase[0] == pytest.approx(fresh[0], rel=0.3)
    for now, peak in zip(by_phase, measured.series["peak_rss_by_phase"]):
        assert 0 < now <= peak * 1.01


def test_nothing_is_left_in_the_scratch_folder(done):
    _, record = done
    assert not scratch_of(record).exists()


def test_the_hashes_are_those_of_all_batches_and_of_what_was_trained(done, planned, index):
    measured, _ = done
    assert measured.hashes.batch_stream == stream_of(planned, index)
    (final,) = (one.value for one in measured.fingerprints if one.name == "final_weights")
    assert len({measured.hashes.initial_weights, final, ""}) == 3


def test_every_epoch_has_the_same_number_of_pictures_and_rates_follow_the_epochs(harmed, planned):
    *_, watching = harmed
    pictures = [0] * (len(SIZES) * EPOCHS)
    recipe = planned.recipe
    for position, size, rate in watching.fed:
        assert size == SIZES[position.epoch // EPOCHS]
        pictures[position.epoch] += size
        share = (position.epoch + position.step / (IMAGES // size)) / len(pictures)
        remaining = (1 + math.cos(math.pi * share)) / 2
        final = recipe.final_fraction
        assert rate == pytest.approx(recipe.learning_rate * (final + (1 - final) * remaining))
    assert pictures == [IMAGES] * len(pictures)


def test_a_step_with_an_anomaly_fails_the_check_and_is_told_with_its_size(harmed, run_of, index_file):
    loop, phases, _ = harmed
    assert [phase.anomalous_steps for phase in phases] == [0, 1, 0]
    run = run_of(loop.spec, index_file)
    measured = case.measured_by_phase(run, loop, phases, {size: answer(rss=[1.0]) for size in SIZES})
    assert outcomes(measured)["goes_on"] == "failed"
    assert f"batch 1: {EPOCHS * IMAGES} steps, 1 of them with an anomaly, loss " in said(measured, "goes_on")


def test_a_batch_size_that_crashes_is_a_failed_check_with_the_error_and_the_training_goes_on(crashed):
    assert outcomes(crashed)["goes_on"] == outcomes(crashed)["single_picture"] == "failed"
    assert "batch 1 crashed in epoch 3, batch 1: ValueError: Expected more than 1 value" in said(
        crashed, "single_picture"
    )
    assert said(crashed, "goes_on").count(f"{EPOCHS * IMAGES // 4} steps, loss") == 2
    assert all(value is not None for value in crashed.series["loss"])
    assert len(crashed.series["loss"]) == 2 * EPOCHS * IMAGES // 4


def test_where_a_size_crashes_the_memory_after_changes_is_not_measured_and_the_reason_is_given(crashed):
    assert crashed.not_measured["retained_memory"].startswith("a fresh process fails at batch 1: it ended with exit")
    by_phase = crashed.series["rss_by_phase"]
    assert by_phase[1] is crashed.series["rss_fresh"][1] is None
    assert by_phase[0] > 0
    assert by_phase[2] > 0


def test_a_pin_on_which_a_size_crashes_was_given_the_same_batches_and_stays_comparable(crashed, small, index):
    assert crashed.hashes.batch_stream == stream_of(small, index)


def test_a_step_that_crashes_leaves_no_gradients_and_no_statistics_behind(small, index):
    loop = make_loop(small, index, SILENT, Hook())
    before = [block.clone() for block in loop.learner.statistics.blocks]
    (phase,) = train_phases(loop, Settings(sizes=[1, 1], epochs=1))[:1]
    assert phase.failed
    assert all(map(torch.equal, loop.learner.statistics.blocks, before))
    assert all(parameter.grad is None for parameter in loop.learner.parameters)
    assert not loop.gathered.batches


def test_an_evaluation_that_crashes_takes_nothing_back_of_the_steps_before_it(planned, index, monkeypatch):
    def crash(_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(train, "evaluate", crash)
    settings = Settings(sizes=[4, 4], epochs=1)
    loop = make_loop(planned, index, SILENT, Hook())
    before = loop.learner.statistics.blocks[0].clone()
    phases = train_phases(loop, settings)
    assert [phase.failed for phase in phases] == [
        f"epoch {number}, its evaluation: RuntimeError: out of memory" for number in (1, 2)
    ]
    assert not torch.equal(loop.learner.statistics.blocks[0], before)


def test_after_a_crash_the_loss_scaler_has_its_factor_and_no_memory_of_the_step(small, index, monkeypatch):
    class Scaler:
        state = {"scale": 65536.0}

        def scale(self, value):
            return value

        def state_dict(self):
            return self.state

        def load_state_dict(self, state):
            self.state = dict(state)

    loop = make_loop(small, index, SILENT, Hook())
    loop.learner.scaler = before = Scaler()
    before.state = {"scale": 2.0}
    monkeypatch.setattr(case.compat, "grad_scaler", lambda enabled: Scaler())
    train_phases(loop, Settings(sizes=[1, 1], epochs=1))
    assert loop.learner.scaler is not before
    assert loop.learner.scaler.state_dict() == {"scale": 2.0}


def test_data_that_are_gone_end_the_run_at_whatever_size(planned, index, monkeypatch):
    def gone(*_):
        raise UsageError("The pictures are gone.")

    monkeypatch.setattr(case, "train_epochs", gone)
    with pytest.raises(UsageError, match="The pictures are gone"):
        trained(planned, index)


def test_a_set_smaller_than_the_largest_batch_is_refused_before_anything_is_trained(
    planned, index_file, run_of, tmp_path
):
    record = tmp_path / "0.part"
    settings = {"sizes": [1, IMAGES + 1], "epochs": 1}
    with pytest.raises(UsageError, match="has 4 pictures, and the case batch-change wants a batch of 5"):
        case.measure(run_of(replace(planned, settings=settings), index_file, record))
    assert not scratch_of(record).exists()


def test_what_stays_of_a_larger_batch_is_a_ratio_above_one(measured):
    phases = [
        Phase(8, range(1), memory={"reserved": [500.0], "peak_allocated": [400.0]}),
        Phase(1, range(1, 3), memory={"reserved": [510.0, 520.0], "peak_allocated": [210.0, 200.0]}),
    ]
    fresh = {8: answer(reserved=[490.0], peak_allocated=[400.0]), 1: answer(reserved=[200.0], peak_allocated=[200.0])}
    keep_memory(measured, phases, fresh, "reserved")
    assert [metric.samples for metric in measured.metrics] == [[520 / 200]]
    phases += [Phase(8, range(3, 4), memory={"reserved": [490.0], "peak_allocated": [400.0]})]
    keep_memory(measured, phases, fresh, "reserved")
    assert measured.metrics[-1].samples == [520 / 200]  # the worst of the changes
    keep_memory(measured, phases[:2], fresh, "reserved")
    assert measured.series["reserved_by_phase"] == [500.0, 520.0]
    assert measured.series["peak_allocated_by_phase"] == [400.0, 210.0]
    assert measured.series["peak_allocated_fresh"] == [400.0, 200.0]


@pytest.mark.parametrize(
    ("sizes", "losses", "outcome"),
    [
        ((8, 8), ([9.0, 7.0], [3.0, 2.0]), "held"),
        ((8, 8), ([9.0, 7.0], [9.0, 7.0]), "failed"),
        ((8, 8), ([9.0, 7.0], [3.0, math.nan]), "failed"),
        ((8, 4), ([9.0, 7.0], [3.0, 2.0]), "open"),
    ],
)
def test_learning_on_is_a_finite_loss_below_that_of_the_first_epochs_at_the_same_size(measured, sizes, losses, outcome):
    phases = [Phase(size, range(1), losses=values) for size, values in zip(sizes, losses)]
    check_back(measured, phases, [0.1])
    assert outcomes(measured) == {"learns_on": outcome}


def test_sizes_without_a_single_picture_leave_that_check_open(measured):
    case.check_single(measured, [Phase(8, range(1)), Phase(4, range(1, 2))])
    assert outcomes(measured) == {"single_picture": "open"}
