"""The case `soak` in this environment's torch: it ends when it should, goes on where it was, and keeps its series."""

import math

import msgspec
import pytest
import torch

from cases.soak.body import Soaking, fold, measure
from harness.cell.data.shapes import make_shapes
from harness.cell.train import Training
from harness.core.record import checkpoint_of
from harness.core.settings import Shapes
from harness.core.spec import Data


class KilledError(Exception):
    """Stands for a reboot: nothing after it runs."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("shapes")


@pytest.fixture(scope="module")
def tiny(spec, folder):
    """Six epochs of one batch, a checkpoint after every second."""
    torch.set_num_threads(1)
    index = make_shapes(folder, Shapes(images=8, validation=2, size=64))
    return msgspec.structs.replace(
        spec,
        case="soak",
        data=Data(name=index.name, digest=index.digest),
        train=msgspec.structs.replace(spec.train, epochs=6),
        settings={"hours": 1.0, "warmup_epochs": 1, "checkpoint_epochs": 2},
    )


@pytest.fixture(scope="module")
def run(folder, run_of):
    """The case as it is run, with its record at a place."""
    return lambda spec, record: measure(run_of(spec, folder / "index.json", record))


@pytest.fixture
def record(tmp_path):
    return tmp_path / "0.part"


def killed_in(monkeypatch, epoch):
    """The next soak ends as by a reboot after that epoch."""
    plain = Soaking.after_epoch

    def after_epoch(self, loop, done):
        going_on = plain(self, loop, done)
        if done == epoch:
            raise KilledError
        return going_on

    monkeypatch.setattr(Soaking, "after_epoch", after_epoch)
    return lambda: monkeypatch.setattr(Soaking, "after_epoch", plain)


@pytest.fixture(scope="module")
def whole(run, tiny, tmp_path_factory):
    """A soak that nothing happens to."""
    return run(tiny, tmp_path_factory.mktemp("whole") / "0.part")


def test_memory_and_time_are_kept_for_every_epoch(whole):
    expected = {"rss": 6, "training_memory": 6, "peak_rss": 6, "epoch_time": 6, "begun": 1, "map50": 6}
    assert {name: len(whole.series[name]) for name in expected} == expected
    assert whole.series["begun"] == [0.0]


def test_a_soak_that_was_killed_goes_on_from_its_checkpoint_and_ends_as_if_it_had_not(
    run, tiny, whole, record, monkeypatch
):
    lived = killed_in(monkeypatch, epoch=4)
    with pytest.raises(KilledError):
        run(tiny, record)
    lived()
    resumed = run(tiny, record)
    assert resumed.series["begun"] == [0.0, 4.0]  # the fifth epoch was done and not yet kept
    assert resumed.hashes == whole.hashes
    assert resumed.fingerprints == whole.fingerprints
    assert [one.name for one in whole.fingerprints] == ["final_weights"]
    assert resumed.series["loss"] == whole.series["loss"]
    assert len(resumed.series["rss"]) == len(resumed.series["epoch_time"]) == 6
    assert resumed.notes["resumed"] == "cut short and gone on from a checkpoint at epoch 5"


def test_a_soak_that_is_complete_leaves_its_last_checkpoint_until_its_record_is_kept(run, tiny, record):
    run(tiny, record)
    assert list(record.parent.iterdir()) == [checkpoint_of(record)]


def test_a_soak_ends_when_its_hours_are_over_and_may_be_compared_with_one_that_came_further(run, tiny, whole, record):
    short = msgspec.structs.replace(tiny, settings={**tiny.settings, "hours": 1e-9})
    measured = run(short, record)
    assert len(measured.series["rss"]) == 1
    assert list(record.parent.iterdir()) == []
    assert measured.hashes.batch_stream == whole.hashes.batch_stream
    names = {metric.name for metric in measured.metrics}
    assert names == {metric.name for metric in whole.metrics} - {"memory_growth", "throughput_drift"}
    assert "map50" not in names  # of trainings of other lengths
    assert len(measured.series["map50"]) == 1


def test_the_time_before_a_reboot_counts_towards_the_hours(run, tiny, record, monkeypatch):
    lived = killed_in(monkeypatch, epoch=3)
    with pytest.raises(KilledError):
        run(tiny, record)
    lived()
    monkeypatch.setattr(Training, "spent", lambda _: 3600.0)
    assert len(run(tiny, record).series["rss"]) == 5  # four were kept, and one more ends it


def test_a_checkpoint_of_another_run_is_set_aside_and_said(run, tiny, record, monkeypatch):
    lived = killed_in(monkeypatch, epoch=3)
    with pytest.raises(KilledError):
        run(msgspec.structs.replace(tiny, seed=1), record)
    lived()
    assert checkpoint_of(record).exists()
    measured = run(tiny, record)
    assert measured.series["begun"] == [0.0]
    assert "of another run" in measured.notes["checkpoint"]


def test_of_every_epoch_the_mean_of_its_finite_values_is_kept():
    values = [7.0, 8.0, 1.0, math.nan, 3.0]
    fold(values, 2)
    assert values == [7.0, 8.0, 2.0]
    values += [math.nan]
    fold(values, 3)
    assert values[:3] == [7.0, 8.0, 2.0]
    assert math.isnan(values[3])


def test_the_series_by_step_do_not_grow_with_the_steps(run, tiny, record):
    smaller = msgspec.structs.replace(tiny, train=msgspec.structs.replace(tiny.train, batch=2, epochs=2))
    measured = run(smaller, record)
    assert {len(measured.series[name]) for name in ("loss", "loss:dfl", "gradient_norm")} == {2}
    assert "mean" in measured.notes["series by step"]
