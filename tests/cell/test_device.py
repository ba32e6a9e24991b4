"""The device that is trained on: what passes one over, what is said of it, and that none is taken unasked."""

import io
import sys

import msgspec
import pynvml
import pytest
import torch
from msgspec.structs import replace

import cases.device.body as case
from cases.device import Settings
from harness.cell import __main__ as cell
from harness.cell import devices
from harness.cell.data.index import read_index
from harness.cell.data.shapes import make_shapes
from harness.cell.devices import (
    UnusableError,
    before_choice,
    first_usable,
    least_memory,
    look,
    on_device,
    out_of_memory_is_full,
)
from harness.cell.progress import Progress
from harness.core.cases import read_case
from harness.core.errors import UsageError
from harness.core.settings import Shapes
from harness.core.spec import AMBIENT, Data, Order, Pin

SILENT = Progress(None)
GIB = 2**30


@pytest.fixture(scope="module")
def index_file(tmp_path_factory):
    """The index of a small data set."""
    folder = tmp_path_factory.mktemp("shapes") / "set"
    make_shapes(folder, Shapes(images=8, validation=2, size=64))
    return folder / "index.json"


@pytest.fixture(scope="module")
def planned(spec, index_file):
    """A run as it is planned on a machine with a GPU: two steps on the first device of two, in mixed precision."""
    index = read_index(index_file)
    return replace(
        spec,
        case="device",
        pin=Pin(AMBIENT, None, None, None, None),
        device="cuda:0",
        precision="amp",
        data=Data(name=index.name, digest=index.digest),
        train=replace(spec.train, batch=2, epochs=1),
        settings={"wanted": ["cuda:0", "cpu"], "steps": 2},
    )


@pytest.fixture
def gpu(monkeypatch):
    """One GPU, as torch and its wheel report it; a test changes what it wants otherwise."""

    def report(capability=(8, 6), free=8 * GIB):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
        monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_70", "sm_86"])
        monkeypatch.setattr(torch.cuda, "mem_get_info", free if callable(free) else lambda _: (free, 16 * GIB))

    return report


@pytest.fixture
def passed_over(monkeypatch):
    """Have a look at any GPU end so."""

    def simulate(kind, why):
        def looked(device, needed):
            if device != "cpu":
                raise UnusableError(kind, why)

        monkeypatch.setattr(case, "look", looked)

    return simulate


def wanting(spec, device):
    """The run with only that device wanted."""
    return replace(spec, settings={**spec.settings, "wanted": [device]})


def raising(error):
    def refuse(*_):
        raise error

    return refuse


def refused(device, needed=GIB):
    with pytest.raises(UnusableError) as found:
        look(device, needed)
    return found.value.kind, str(found.value)


def test_a_gpu_that_the_driver_does_not_report_is_absent(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(devices, "nvml_handle", raising(pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)))
    assert refused("cuda:0") == ("absent", "absent: the NVIDIA driver reports no such GPU")


def test_a_gpu_on_which_the_wheels_cuda_cannot_start_is_absent_and_the_reason_is_another_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(devices, "nvml_handle", lambda *_: None)
    monkeypatch.setattr(torch.version, "cuda", "10.2")
    assert refused("cuda:0") == (
        "absent",
        "absent: CUDA 10.2 of this torch cannot start with this machine's GPU and driver",
    )


def test_a_gpu_beyond_those_that_torch_sees_is_absent(gpu):
    gpu()
    assert refused("cuda:1") == ("absent", "absent: torch sees 1 GPU(s), counted from cuda:0")


def test_a_gpu_for_which_the_wheel_has_no_code_is_unsupported(gpu):
    gpu(capability=(9, 0))
    kind, said = refused("cuda:0")
    assert kind == "unsupported"
    assert "the GPU is sm_90, for which it has no code" in said


def test_a_device_with_less_memory_free_than_is_needed_is_full(gpu):
    gpu(free=100 * 2**20)
    assert refused("cuda:0") == (
        "full",
        "full: 100 MiB are free, and a training step needs 1024 MiB at the least",
    )
    assert refused("cpu", needed=2**50)[0] == "full"


@pytest.mark.parametrize(
    ("error", "kind"),
    [("CUDA error: out of memory", "full"), ("CUDA error: all devices are busy or unavailable", "absent")],
)
def test_a_gpu_on_which_cuda_cannot_start_is_full_or_absent_by_its_error(gpu, error, kind):
    gpu(free=raising(RuntimeError(f"{error}\nFor debugging consider passing CUDA_LAUNCH_BLOCKING=1.")))
    assert refused("cuda:0") == (kind, f"{kind}: CUDA cannot start there ({error})")


def test_a_device_that_can_be_used_is_let_pass(gpu):
    gpu()
    assert look("cuda:0", GIB) is None
    assert look("cpu", 1) is None


@pytest.mark.parametrize(
    "error",
    [
        "CUDA out of memory. Tried to allocate 2.00 GiB (GPU 0; 7.79 GiB total capacity)",
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other API call",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    ],
)
def test_every_way_in_which_a_gpu_says_that_it_is_out_of_memory_means_full(error):
    with pytest.raises(UnusableError) as found, out_of_memory_is_full():
        raise RuntimeError(error)
    assert found.value.kind == "full"
    assert str(found.value).endswith(f"({error.splitlines()[0]})")


def test_memory_that_this_torch_cannot_have_means_full():
    with pytest.raises(UnusableError, match="full: a training step ran out of memory"), out_of_memory_is_full():
        torch.empty(2**50)


def test_an_error_that_is_no_matter_of_memory_stays_what_it_is():
    with pytest.raises(RuntimeError, match=r"shape|size"), out_of_memory_is_full():
        torch.ones(2, 3) @ torch.ones(2, 3)


def test_devices_are_tried_in_order_until_one_can_be_used():
    tried = []

    def attempt(device):
        tried.append(device)
        if device == "cuda:1":
            return "trained"
        raise UnusableError("full", f"no room on {device}")

    assert first_usable(["cuda:0", "cuda:1", "cpu"], attempt) == (
        "cuda:1",
        "trained",
        {"cuda:0": "full: no room on cuda:0"},
    )
    assert tried == ["cuda:0", "cuda:1"]


def test_where_no_wanted_device_can_be_used_all_reasons_are_one_sentence():
    with pytest.raises(UsageError, match=r"^No device .* trained on: cuda:1 is full: a; cpu is full: a\.$"):
        first_usable(["cuda:1", "cpu"], raising(UnusableError("full", "a")))


def test_only_names_of_devices_can_be_wanted():
    for wanted in (["cuda"], ["auto"], ["cuda:0 "], []):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({"wanted": wanted, "steps": 1}, Settings)


def test_a_run_that_finds_its_device_begins_on_the_cpu_and_any_other_where_it_was_planned(planned):
    case = read_case("device")
    assert before_choice(planned, case).device == "cpu"
    assert before_choice(wanting(planned, "cpu"), case).device == "cpu"
    other = replace(planned, case="train", settings=None)
    assert before_choice(other, read_case("train")) is other


@pytest.mark.parametrize(
    ("torch_sees", "driver_knows", "begins_on"), [(1, True, "cuda:0"), (0, True, "cuda:0"), (0, False, "cpu")]
)
def test_a_device_that_is_named_and_there_is_begun_on_so_that_a_wheel_without_code_for_it_is_unsupported(
    planned, monkeypatch, torch_sees, driver_knows, begins_on
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: torch_sees > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: torch_sees)
    monkeypatch.setattr("harness.cell.devices.is_reported", lambda _: driver_knows)
    case = read_case("device")
    assert before_choice(wanting(planned, "cuda:0"), case).device == begins_on
    # one that torch does not see among others is absent, and the case says so
    assert before_choice(wanting(planned, "cuda:1"), case).device == (
        "cpu" if torch_sees else begins_on.replace("0", "1")
    )


def test_mixed_precision_is_for_gpus(planned):
    assert on_device(planned, "cuda:1").precision == "amp"
    assert on_device(planned, "cpu").precision == "fp32"


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_the_memory_that_a_look_asks_for_is_what_weights_and_optimiser_take(planned, index_file, optimizer):
    spec = on_device(replace(planned, recipe=replace(planned.recipe, optimizer=optimizer)), "cpu")
    index = read_index(index_file)
    loop = case.train_steps(spec, index, SILENT, steps=1)
    pictures = 4 * spec.train.batch * 3 * spec.train.image_size**2
    gradients = sum(4 * parameter.numel() for parameter in loop.learner.parameters)
    held = sum(tensor.numel() * tensor.element_size() for tensor in case.trained(loop)) + gradients
    assert least_memory(spec, len(index.classes)) - pictures == pytest.approx(held, rel=0.02)


@pytest.mark.parametrize(
    ("kind", "why"),
    [("absent", "no such GPU"), ("unsupported", "no code for sm_90"), ("full", "1 MiB is free")],
)
def test_a_run_trains_on_the_next_device_and_its_record_says_what_was_passed_over(
    planned, index_file, run_of, passed_over, kind, why
):
    passed_over(kind, why)
    record = cell.record_of(run_of(planned, index_file))
    assert (record.status, record.spec, record.identity) == ("ok", planned, planned.identity())
    assert record.notes == {"device": "cpu", "cuda:0, passed over": f"{kind}: {why}"}
    assert record.metric("device_time").samples[0] > 0
    found, steps = record.checks
    assert found.outcome == steps.outcome == "held"
    assert found.said == f"trained on cpu; cuda:0 passed over, {kind}: {why}"
    assert steps.said.startswith("2 steps, loss ")
    assert (record.environment.gpu, record.environment.cudnn, record.environment.threads) == (None, None, 1)


def test_a_step_that_runs_out_of_memory_goes_to_the_next_device(planned, index_file, run_of, monkeypatch):
    def train_steps(spec, *rest):
        if spec.device != "cpu":
            torch.empty(2**50)
        return real(spec, *rest)

    real = case.train_steps
    monkeypatch.setattr(case, "look", lambda *_: None)
    monkeypatch.setattr(case, "train_steps", train_steps)
    measured = case.measure(run_of(planned, index_file))
    assert (measured.spec.device, measured.spec.precision) == ("cpu", "fp32")
    assert measured.notes["cuda:0, passed over"].startswith("full: a training step ran out of memory (")


@pytest.mark.parametrize("kind", ["absent", "unsupported", "full"])
def test_a_device_that_was_named_is_never_replaced_the_run_ends_with_a_sentence_and_exit_code_2(
    planned, index_file, tmp_path, passed_over, monkeypatch, capsys, kind
):
    passed_over(kind, "as simulated")
    monkeypatch.setattr(case, "train_steps", raising(AssertionError("trained on another device")))
    order = msgspec.json.encode(Order(wanting(planned, "cuda:0"), str(index_file)))
    path = tmp_path / "0.json"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(order)))
    monkeypatch.setattr(sys, "argv", ["cell", "--record", str(path)])
    assert cell.main() == 2
    said = capsys.readouterr().err
    assert said == f"error: No device that may be used can be trained on: cuda:0 is {kind}: as simulated.\n"
    assert not path.exists()


def test_a_training_that_lies_elsewhere_than_is_said_or_has_an_anomaly_fails_its_check(
    planned, index_file, measured_for
):
    index = read_index(index_file)
    loop = case.train_steps(on_device(planned, "cpu"), index, SILENT, steps=1)
    loop.result.watch.anomalous_steps = 1
    measured = measured_for("device", planned)
    case.check_place(measured, loop, {})
    case.check_steps(measured, loop)
    assert [check.outcome for check in measured.checks] == ["failed", "failed"]
    assert measured.checks[0].said == "trained on cpu"


def test_more_steps_than_the_training_has_are_refused_with_what_to_do(planned, index_file):
    with pytest.raises(UsageError, match=r"trains 5 steps, .* has only 4: .* \[profiles\.smoke\.device\]"):
        case.train_steps(on_device(planned, "cpu"), read_index(index_file), SILENT, steps=5)
