import math
import mmap

import numpy
import pytest
import torch

from harness.cell import resident
from harness.cell.model import Losses
from harness.cell.probes import (
    KEPT_ANOMALIES,
    GradientWatch,
    MemoryProbe,
    growth,
)

BRANCHES = {"body": ["a", "b"], "boxes": ["c"]}


def loss_of(total=1.0, reached=5.0, place=0.1):
    terms = {"place": torch.tensor(place), "kind": torch.tensor(0.2)}
    return Losses(torch.tensor(total), terms, {"boxes": torch.tensor(reached)})


@pytest.fixture
def watch():
    return GradientWatch(["a", "b", "c"], BRANCHES)


def read(watch, norms, *, losses=None, scale=1.0, targets=3, step=7):
    losses = losses or [loss_of()]
    return watch.read(torch.tensor(norms), losses, torch.tensor(scale), epoch=2, step=step, targets=targets)


def test_healthy_gradients_leave_no_anomaly(watch):
    reading = read(watch, [3.0, 4.0, 12.0])
    assert reading.finite
    assert reading.norm == pytest.approx(13.0)
    assert (watch.anomalies, watch.anomalous_steps) == ([], 0)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_is_kept_with_epoch_step_and_parameter(watch, value):
    reading = read(watch, [1.0, value, 1.0])
    assert not reading.finite
    (anomaly,) = watch.anomalies
    assert (anomaly.kind, anomaly.epoch, anomaly.step, anomaly.parameter, anomaly.value) == (
        "non-finite gradient",
        2,
        7,
        "b",
        str(value),
    )
    assert (watch.anomalous_steps, watch.nonfinite_gradients) == (1, 1)


def test_a_loss_that_is_not_finite_is_an_anomaly_also_under_a_scaler(watch):
    reading = read(watch, [1.0, math.nan, 1.0], losses=[loss_of(total=math.nan)], scale=65536.0)
    assert not reading.finite
    assert [anomaly.kind for anomaly in watch.anomalies] == ["non-finite loss", "non-finite gradient"]
    assert watch.scaler_skips == 0


def test_a_loss_that_is_not_finite_in_any_batch_of_a_step_is_an_anomaly(watch):
    read(watch, [math.nan, 1.0, 1.0], losses=[loss_of(total=math.nan), loss_of()], scale=65536.0)
    assert (watch.scaler_skips, watch.anomalous_steps) == (0, 1)


def test_the_loss_of_a_step_and_its_terms_are_the_means_over_its_batches(watch):
    reading = read(watch, [1.0, 1.0, 1.0], losses=[loss_of(total=1.0, place=1.0), loss_of(total=4.0, place=2.0)])
    assert reading.loss == 2.5
    assert reading.terms == {"place": 1.5, "kind": pytest.approx(0.2)}


def test_an_overflow_under_a_large_scale_is_the_scalers_and_no_anomaly(watch):
    reading = read(watch, [math.inf, 1.0, 1.0], scale=65536.0)
    assert not reading.finite
    assert (watch.scaler_skips, watch.anomalies, watch.anomalous_steps) == (1, [], 0)


def test_an_overflow_that_no_scale_explains_is_an_anomaly(watch):
    read(watch, [math.inf, 1.0, 1.0], scale=1.0)
    assert (watch.scaler_skips, watch.anomalous_steps) == (0, 1)


def test_a_branch_without_gradients_is_dead_when_there_were_targets(watch):
    read(watch, [0.0, 0.0, 1.0])
    assert [(anomaly.kind, anomaly.parameter) for anomaly in watch.anomalies] == [("dead branch", "body")]


def test_a_branch_without_gradients_is_not_dead_without_targets(watch):
    read(watch, [0.0, 0.0, 1.0], targets=0)
    assert watch.anomalies == []


def test_a_branch_rests_where_the_model_says_that_nothing_reached_it(watch):
    read(watch, [1.0, 1.0, 0.0], losses=[loss_of(reached=0.0)])
    assert watch.anomalies == []
    read(watch, [1.0, 1.0, 0.0])
    assert [anomaly.parameter for anomaly in watch.anomalies] == ["boxes"]


def test_the_list_of_anomalies_is_bounded_and_the_counts_are_whole(watch):
    for step in range(KEPT_ANOMALIES):
        read(watch, [math.nan, math.nan, 1.0], step=step)
    assert len(watch.anomalies) == KEPT_ANOMALIES
    assert (watch.anomalous_steps, watch.nonfinite_gradients) == (KEPT_ANOMALIES, 2 * KEPT_ANOMALIES)


def test_the_peak_of_an_epoch_sees_memory_that_is_already_given_back():
    memory = MemoryProbe(torch.device("cpu"))
    memory.start_epoch()
    memory.end_epoch()
    memory.start_epoch()
    # mapped by itself: from the heap it might be memory that earlier tests have left there
    with mmap.mmap(-1, 50_000_000) as block:
        numpy.frombuffer(block, dtype=numpy.uint8).fill(1)
    memory.end_epoch()
    memory.start_epoch()
    memory.end_epoch()
    for name in ("peak_rss", "training_memory"):
        before, during, after = memory.series[name]
        assert during - before > 40_000_000
        assert during - after > 40_000_000


def test_what_training_adds_does_not_count_pages_of_files(tmp_path):
    (tmp_path / "library").write_bytes(bytes(50_000_000))
    memory = MemoryProbe(torch.device("cpu"))
    memory.start_epoch()
    memory.end_epoch()
    with (tmp_path / "library").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as block:
        assert numpy.frombuffer(block, dtype=numpy.uint8).sum() == 0
        memory.start_epoch()
        memory.end_epoch()
    (added, later), (before, during) = memory.series["training_memory"], memory.series["peak_rss"]
    assert during - before > 40_000_000
    assert abs(later - added) < 10_000_000


def test_where_the_system_does_not_tell_what_is_resident_there_is_a_reason(monkeypatch, tmp_path):
    monkeypatch.setattr(resident, "STATUS", tmp_path / "nothing")
    memory = MemoryProbe(torch.device("cpu"))
    memory.fixed = None
    memory.start_epoch()
    memory.end_epoch()
    assert "training_memory" not in memory.series
    assert {"training_memory", "peak_rss"} <= set(memory.reasons)
    assert set(memory.fixed_parts()) == {"fixed_memory", "fixed_files"}
    assert all(isinstance(part, str) for part in memory.fixed_parts().values())


def test_the_fixed_cost_on_a_gpu_is_what_nvml_sees_less_what_torch_reserved_in_the_first_epoch():
    memory = MemoryProbe(torch.device("cpu"))
    memory.device = torch.device("cuda")
    assert memory.fixed_parts() == {"fixed_memory": "no epoch was trained"}
    memory.series.update(nvml_process=[900.0, 990.0], reserved=[400.0, 450.0])
    assert memory.fixed_parts() == {"fixed_memory": 500.0}
    del memory.series["nvml_process"]
    memory.reasons["nvml_process"] = "NVML does not say"
    assert memory.fixed_parts() == {"fixed_memory": "NVML does not say"}


def test_the_fixed_cost_is_looked_at_once():
    first = resident.fixed_cost()
    with mmap.mmap(-1, 50_000_000) as block:
        numpy.frombuffer(block, dtype=numpy.uint8).fill(1)
        assert resident.fixed_cost() is first
        assert resident.resident().own > 50_000_000
    assert first.own > 0
    assert first.files > 10 * 2**20


@pytest.mark.parametrize("used", [[5.0, 1.0, 1.01, 1.01**2], [0.1, 1.0, 1.01, 1.01**2, 1.01**3, 1.01**4]])
def test_growth_is_the_share_that_every_epoch_adds_and_the_first_does_not_count(used):
    assert growth(used) == pytest.approx(math.log(1.01))


def test_growth_counts_no_epoch_of_warm_up_and_nothing_between_one_process_and_the_next():
    steady, resumed = [1.0, 1.01, 1.01**2], [3.0, 3.0 * 1.01, 3.0 * 1.01**2]
    used = [0.1, 0.5, *steady, 9.0, 9.0, *resumed]
    assert growth(used, begun=[0, 5], warmup=2) == pytest.approx(math.log(1.01))
    assert growth(used, begun=[0], warmup=2) > 2 * math.log(1.01)


def test_one_epoch_that_was_larger_is_no_growth():
    assert growth([1.0, 1.0, 1.0, 1.5, 1.0, 1.0]) == 0.0


@pytest.mark.parametrize("used", [[], [1.0], [1.0, 2.0], [1.0, 2.0, 4.0]])
def test_fewer_epochs_than_four_have_no_growth(used):
    assert growth(used) is None


def test_the_growth_of_a_very_long_training_is_told_from_every_so_many_th_epoch():
    assert growth([1.0001**epoch for epoch in range(20_000)]) == pytest.approx(math.log(1.0001))


def test_what_is_in_use_and_the_peak_are_those_of_the_last_epoch():
    memory = MemoryProbe(torch.device("cpu"))
    memory.series.update(rss=[1.0, 2.0], training_memory=[3.0, 4.0])
    assert (memory.in_use(), memory.peak()) == (2.0, 4.0)
    del memory.series["training_memory"]
    assert memory.peak() == 2.0
