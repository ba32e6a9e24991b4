"""The same loop on a GPU: mixed precision, allocator and NVML memory, times, waits for the device."""

import warnings

import msgspec
import pytest
import torch

from cases.inference.body import Server
from harness.cell.data.batches import StreamDigest
from harness.cell.data.shapes import make_shapes
from harness.cell.environment import set_flags
from harness.cell.gradients import Gradients
from harness.cell.kernels import kernels_of, traced
from harness.cell.model import make_network
from harness.cell.preflight import unsupported_here
from harness.cell.progress import Progress
from harness.cell.train import train
from harness.cell.weights import weights_digest
from harness.cell.weights_file import About, write_weights
from harness.core.settings import Shapes
from harness.core.spec import Data, Place, Weights

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")

IMAGES, EPOCHS, BATCH = 32, 2, 8
STEPS = EPOCHS * IMAGES // BATCH
OURS = ("probes.py", "gradients.py", "average.py")


@pytest.fixture
def on_gpu(spec, tmp_path):
    if reason := unsupported_here("cuda:0"):
        pytest.skip(reason)
    index = make_shapes(tmp_path / "set", Shapes(images=IMAGES, validation=8, size=64))
    data = Data(name=index.name, digest=index.digest)
    made = msgspec.structs.replace(spec, device="cuda:0", precision="amp", data=data)
    set_flags(made)
    return made, index


def test_a_run_with_mixed_precision_fills_memory_times_and_skips(on_gpu, train_at_once, tmp_path):
    measured = train_at_once(on_gpu[0], tmp_path / "set" / "index.json", tmp_path / "0.json")
    metrics = {metric.name: metric for metric in measured.metrics}
    assert metrics["peak_reserved"].samples[0] >= metrics["peak_allocated"].samples[0] > 0
    assert ("nvml_process" in metrics) != ("nvml_process" in measured.not_measured)
    steps = metrics["step_time"]
    assert len(steps.samples) + len(steps.warmup) == STEPS
    assert min(steps.samples) > 0
    assert metrics["scaler_skips"].samples[0] <= STEPS
    assert metrics["gradient_anomalies"].samples == [0.0]
    if "gpu_busy" in metrics:
        assert 0 < metrics["gpu_busy"].samples[0] <= 1
    else:
        assert "profiler" in measured.not_measured["gpu_busy"]


def test_the_norms_of_all_gradients_are_those_of_each_and_take_few_launches(on_gpu):
    parameters = [torch.nn.Parameter(torch.zeros(3, number, 7, device="cuda:0")) for number in range(1, 400)]
    for parameter in parameters[1:]:
        parameter.grad = torch.randn_like(parameter)
    gradients = Gradients(parameters)
    events = traced(gradients.norms)
    exact = [0.0 if one.grad is None else one.grad.double().norm().item() for one in parameters]
    assert gradients.norms().tolist() == pytest.approx(exact, rel=1e-6)
    if kernels_of(events):  # the profiler may not be let look
        assert len(kernels_of(events)) < 40


def test_a_step_waits_for_the_device_at_most_once_beyond_the_scalers_own_wait(on_gpu):
    spec, index = on_gpu
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            train(spec, index, Progress(None))
        finally:
            torch.cuda.set_sync_debug_mode("default")
    loop = [one for one in caught if "synchronizing" in str(one.message) and one.filename.endswith(OURS)]
    assert len(loop) == STEPS


def test_both_precisions_find_the_same_objects_and_half_precision_takes_less_memory(on_gpu, run_of, tmp_path):
    settings = {"precisions": ["fp32", "fp16"], "sizes": [64], "batches": [4], "laps": 1, "sittings": 1}
    given, index = on_gpu
    network, file = make_network(given, len(index.classes)), tmp_path / "w.safetensors"
    write_weights(file, network.state_dict(), About(given.model.name, tuple(index.classes)))
    weights = Weights(given.model.name, weights_digest(network))
    spec = msgspec.structs.replace(given, case="inference", precision="fp32", settings=settings, weights=weights)
    place = Place("a sitting", 0, 2, leave=str(tmp_path / "1.checkpoint"))
    index_file, record = tmp_path / "set" / "index.json", tmp_path / "0.part"
    server = Server(run_of(spec, index_file, record, place=place, weights=str(file)))
    at = {"precision": "fp32", "size": 64, "batch": 4}
    assert min(server.detect(at, 0)) > 0
    server.take_peaks()
    whole, half = (peaks[0] for peaks in server.taken.peaks.values())
    assert 0.4 * whole < half < 0.8 * whole
    found = {key["precision"]: rows for key, rows in server.detections(StreamDigest())}
    assert len(found["fp16"]) == pytest.approx(len(found["fp32"]), rel=0.1)
