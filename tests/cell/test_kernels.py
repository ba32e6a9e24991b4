"""How busy a GPU is, from traces made by hand: there is none here."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from msgspec.structs import replace

from harness.cell import kernels
from harness.cell.data.shapes import make_shapes
from harness.cell.kernels import covered, events_of, keep_gpu_busy, kernels_of, seconds_of_kernels, some_batches
from harness.cell.progress import Progress
from harness.cell.train import Hook, Training, make_loop
from harness.cell.weights import weights_digest
from harness.core.settings import Shapes


def event(kind: str, began: float, seconds: float, name: str = "gemm") -> dict[str, Any]:
    return {"ph": "X", "cat": kind, "name": name, "ts": began, "dur": seconds}


@pytest.mark.parametrize("kind", ["Kernel", "kernel"])
def test_only_kernels_count_whatever_the_version_calls_them(kind: str) -> None:
    others = [
        event("gpu_memcpy", 0, 50),
        event("gpu_user_annotation", 0, 100, "Optimizer.step"),
        {"ph": "M", "name": ""},
    ]
    found = kernels_of(events_of({"traceEvents": [*others, event(kind, 10, 5), event("cuda_runtime", 0, 3)]}))
    assert [(one.began, one.ended) for one in found] == [(10.0, 15.0)]


def test_kernels_that_run_at_once_are_counted_once() -> None:
    spans = [event("kernel", 30, 10), event("kernel", 0, 10), event("kernel", 5, 10), event("kernel", 7, 2)]
    assert covered(events_of({"traceEvents": spans})) == pytest.approx(25e-6)
    assert covered([]) == 0.0


@pytest.fixture(scope="module")
def loop(spec, tmp_path_factory):
    torch.set_num_threads(1)
    index = make_shapes(tmp_path_factory.mktemp("set"), Shapes(images=8, validation=2, size=64))
    few = replace(spec, train=replace(spec.train, batch=2))
    return make_loop(few, index, Progress(None), Hook())


def test_a_whole_optimiser_step_is_looked_at_where_one_takes_many_batches(loop, matrix, monkeypatch) -> None:
    assert len(some_batches(loop)) == kernels.PROFILED
    monkeypatch.setattr(loop, "spec", replace(loop.spec, recipe=replace(loop.spec.recipe, nominal_batch=24)))
    batches = some_batches(loop)
    assert len(batches) == 12
    assert batches[4].digest == batches[0].digest != batches[1].digest


def test_what_a_training_has_left_is_not_changed_by_looking_on(loop, monkeypatch) -> None:
    def trace(work):
        work()
        return events_of({"traceEvents": [event("kernel", 0, 4e6)]})

    monkeypatch.setattr(kernels, "PROFILED", 2)
    monkeypatch.setattr(kernels, "traced", trace)
    assert seconds_of_kernels(loop) == pytest.approx(2.0)
    assert (loop.result.losses, loop.result.norms, loop.gathered.batches) == ([], [], 0)
    assert weights_digest(loop.learner.network) != loop.result.initial_weights


@pytest.mark.parametrize(
    ("begun", "epochs", "kernels", "busy"),
    [
        ([0], [40.0, 1.0, 2.0], 0.1, 0.4),
        ([0, 1], [40.0, 50.0, 2.0], 0.1, 0.3),
        ([0, 1, 2], [3.0, 3.0, 3.0], 0.1, 0.2),
        ([0], [40.0, 1.0, 2.0], 9.0, 1.0),
    ],
)
def test_the_gpu_is_busy_for_the_share_of_its_kernels_in_epochs_that_have_no_start_in_them(
    measured_for, spec, monkeypatch, begun, epochs, kernels, busy
) -> None:
    result = Training(None, None, "", begun=begun, epoch_seconds=epochs)
    loop = SimpleNamespace(learner=SimpleNamespace(device=torch.device("cuda")), result=result, batches=6)
    monkeypatch.setattr("harness.cell.kernels.seconds_of_kernels", lambda _: kernels)
    measured = measured_for("train", replace(spec, device="cuda:0"))
    keep_gpu_busy(measured, loop)
    assert [(one.name, one.samples) for one in measured.metrics] == [("gpu_busy", [pytest.approx(busy)])]


def test_a_profiler_that_fails_or_sees_nothing_is_a_reason(loop, monkeypatch) -> None:
    def fail(work):
        raise RuntimeError("CUPTI_ERROR_INSUFFICIENT_PRIVILEGES")

    monkeypatch.setattr(kernels, "PROFILED", 1)
    monkeypatch.setattr(kernels, "traced", lambda work: [])
    assert seconds_of_kernels(loop) == "the profiler saw no kernel"
    monkeypatch.setattr(kernels, "traced", fail)
    assert "CUPTI_ERROR_INSUFFICIENT_PRIVILEGES" in str(seconds_of_kernels(loop))
