"""The case `fidelity` in this environment's torch: steps from the states of a real training, beside float64."""

import math
import sys

import msgspec
import pytest
import torch

from cases.fidelity import Settings
from cases.fidelity.body import EXPLAINED, KINDS, Comparison, measure, suspect
from cases.fidelity.states import begin_at, digest_of, states_of
from cases.fidelity.steps import FINEST, ROUNDING, Stepper, Trace, nudge_exactly
from harness.cell.data.index import read_index
from harness.cell.data.shapes import make_shapes
from harness.cell.progress import Progress
from harness.cell.train import Hook, make_loop
from harness.core.errors import UsageError
from harness.core.faults import PLANTABLE, Fault
from harness.core.settings import Shapes
from harness.core.spec import AMBIENT, Data, Model, Pin

SETTINGS = {
    "states": [0, 5],
    "trained_size": 64,
    "trained_batch": 4,
    "pictures": 8,
    "precisions": ["fp32", "amp"],
    "sizes": [64, 96],
    "batches": [2],
}
OWN = Pin(AMBIENT, None, None, None, None)
INTERPRETERS = {AMBIENT: sys.executable}
AT = {"precision": "fp32", "size": 64, "batch": 2}


@pytest.fixture(scope="module")
def index_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    make_shapes(folder, Shapes(images=24, validation=8, size=64))
    return folder / "index.json"


@pytest.fixture(scope="module")
def small(spec, index_file):
    torch.set_num_threads(1)
    index = read_index(index_file)
    return msgspec.structs.replace(
        spec,
        case="fidelity",
        pin=OWN,
        peers=[OWN],
        model=Model(name="small", package="tests.cell.small_detector"),
        data=Data(name=index.name, digest=index.digest),
        train=msgspec.structs.replace(spec.train, epochs=1),
        settings=SETTINGS,
    )


@pytest.fixture(scope="module")
def measured(small, index_file, run_of, tmp_path_factory):
    record = tmp_path_factory.mktemp("runs") / "0.part"
    measured = measure(run_of(small, index_file, record, interpreters=INTERPRETERS))
    assert list(record.parent.iterdir()) == []
    return measured


@pytest.fixture(scope="module")
def states(small, index_file, run_of, tmp_path_factory):
    return states_of(run_of(small, index_file, interpreters=INTERPRETERS), tmp_path_factory.mktemp("states"))


@pytest.fixture(scope="module")
def compare(small, index_file, run_of, states):
    """What a run with a fault, or without, comes to from these states."""

    def made(kind=None, size=0.0):
        fault = Fault(kind=kind, size=size) if kind else None
        comparison = Comparison(run_of(msgspec.structs.replace(small, fault=fault), index_file), states)
        comparison.take({"size": 64, "batch": 2})
        return comparison.measured()

    return made


@pytest.fixture(scope="module")
def clean(compare):
    return compare()


def prints(measured):
    return {one.name: one for one in measured.fingerprints}


def value(measured, name):
    return next(one.samples[0] for one in measured.metrics if (one.name, one.at) == (name, AT))


def test_every_kind_of_result_has_an_error_of_single_precision_at_every_size(measured):
    found = {(one.name, one.at["size"]): one.samples for one in measured.metrics if one.name != "map50_error"}
    assert set(found) == {(f"{kind}_error", size) for kind in KINDS for size in (64, 96)}
    assert all(0 < error < 1e-3 for errors in found.values() for error in errors)
    states = {len(errors) for (name, _), errors in found.items() if name != "output_error"}
    assert states == {2}


def test_mixed_precision_is_said_not_to_be_measured_on_a_cpu(measured):
    assert measured.not_measured["gradient_error[precision=amp,size=64,batch=2]"] == "mixed precision is for a GPU"
    assert {one.at["precision"] for one in measured.metrics} == {"fp32"}


def test_the_states_are_those_of_the_baselines_training_and_the_same_in_every_run(measured, states):
    assert measured.hashes.initial_weights == digest_of(states)
    assert digest_of(states[:1]) != digest_of(states[1:])


def test_no_tensor_is_further_from_float64_than_rounding_explains(measured):
    assert [(one.name, one.outcome) for one in measured.checks] == [("no_tensor", "held")]


def test_a_step_of_one_run_is_bit_for_bit_that_of_another(clean, compare):
    assert compare().fingerprints == clean.fingerprints


def test_modules_are_named_in_the_order_in_which_they_end_and_gradients_the_other_way_round(measured):
    found = prints(measured)
    assert found["forward"].places == [
        *(f"body.{place}" for place in range(9)),
        "body",
        "boxes",
        "classes",
        "the whole network",
        "the loss place",
        "the loss kind",
        "the loss",
    ]
    assert found["statistics"].places[:2] == ["body.1.running_mean", "body.1.running_var"]
    assert found["backward"].places[:4] == ["classes.bias", "classes.weight", "boxes.bias", "boxes.weight"]
    assert found["backward"].places[-1] == "body.0.weight"
    (shared,) = (one for one in set(found["forward"].value) if found["forward"].value.count(one) > 1)
    assert (
        shared == found["forward"].value[found["forward"].places.index("body")]
    )  # it puts out what its last part does


def test_what_float64_comes_to_is_told_by_size_batch_and_state(measured):
    found = prints(measured)
    assert "64 px, batch 2, state 5: gradient" in found["exact_steps"].places
    assert "96 px, batch 2, state 0: place" in found["exact_steps"].places
    assert "64 px, batch 2, state 5: mAP50" in found["exact_detections"].places
    assert all(math.isfinite(one) for one in found["exact_steps"].value)


@pytest.mark.parametrize(
    ("kind", "size", "first"),
    [
        ("norm-momentum", 0.01, "statistics"),
        ("norm-epsilon", 1e-3, "loss"),
        ("loss-term", 0.001, "loss"),
        ("average-decay", 0.98, "average"),
    ],
)
def test_a_step_that_means_something_else_differs_in_float64(clean, compare, kind, size, first):
    assert PLANTABLE[kind].alters == ("exact_steps",)
    before, after = prints(clean)["exact_steps"], prints(compare(kind, size))["exact_steps"]
    apart = [
        place for place, one, other in zip(before.places, before.value, after.value) if abs(one / other - 1) > 1e-9
    ]
    assert apart[0] == f"64 px, batch 2, state 0: {first}"


def test_another_suppression_changes_what_is_detected_and_no_step(clean, compare):
    before, after = prints(clean), prints(compare("suppression", 0.69))
    assert after["exact_steps"] == before["exact_steps"]
    assert after["exact_detections"] != before["exact_detections"]


def test_one_coarse_convolution_breaks_the_check_and_leaves_float64_alone(clean, compare):
    found = compare("coarse-convolution", 10)
    (check,) = found.checks
    assert check.outcome == "failed"
    assert "times as far" in check.said
    assert prints(found)["exact_steps"] == prints(clean)["exact_steps"]
    assert value(found, "gradient_error") > 10 * value(clean, "gradient_error")


def test_a_tensor_is_held_against_how_far_it_moves_and_at_least_the_share_by_which_half_move_more():
    exact = {name: torch.ones(4, dtype=torch.float64) for name in ("a", "b", "c")}
    moved = {name: one * (1 + by) for (name, one), by in zip(exact.items(), (1e-6, 2e-6, 0.0))}
    own = {**exact, "c": exact["c"] * (1 + 3e-5)}
    found = suspect(own, exact, [moved], exact, "here")
    assert found.times == pytest.approx(30, rel=1e-3)
    assert "c by 3.0e-05 (here)" in found.said
    assert found.times > EXPLAINED["cpu"]


def gradients_before_a_norm(dtype, nudge=0, share=ROUNDING):
    """Those of a small network, among them one of a bias that the normalisation takes out again: it is 0."""
    torch.manual_seed(1)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Conv2d(8, 1, 3))
    images = torch.randn(4, 3, 16, 16)
    network.to(dtype)
    if nudge:
        nudge_exactly([*network.parameters()], nudge, share)
    network(images.to(dtype)).square().sum().backward()
    return {name: one.grad.double() for name, one in network.named_parameters()}


def test_a_gradient_that_is_0_but_for_rounding_is_held_against_how_coarsely_float32_rounds():
    torch.set_num_threads(1)
    exact, own = gradients_before_a_norm(torch.float64), gradients_before_a_norm(torch.float32)
    moves = [gradients_before_a_norm(torch.float64, nudge) for nudge in (1, 2)]
    finest = gradients_before_a_norm(torch.float64, 1, FINEST)
    size = float(exact["0.bias"].norm())
    assert float((own["0.bias"] - exact["0.bias"]).norm()) > 1e6 * size
    assert suspect(own, exact, moves, finest, "here").times < EXPLAINED["cpu"]
    wrong = {**own, "0.bias": own["0.bias"] + 1e-3 * float(exact["0.weight"].norm())}
    assert suspect(wrong, exact, moves, finest, "here").times > 10 * EXPLAINED["cpu"]
    assert "0.bias" in suspect(wrong, exact, moves, finest, "here").said
    wrong = {**own, "0.weight": own["0.weight"] * (1 + 1e-3)}
    assert "0.weight" in suspect(wrong, exact, moves, finest, "here").said


def test_a_tensor_that_is_no_number_is_as_far_as_can_be():
    exact = {"a": torch.ones(2, dtype=torch.float64), "b": torch.zeros(2, dtype=torch.float64)}
    assert suspect({**exact, "a": exact["a"] * math.nan}, exact, [exact], exact, "here").times == math.inf
    assert suspect(exact, exact, [exact], exact, "here").times == 0.0


def test_a_state_is_put_into_float64_without_a_change_and_what_the_optimiser_is_told_stays_its_own(
    small, index_file, states
):
    wide = Stepper(make_loop(small, read_index(index_file), Progress(None), Hook()), wide=True)
    learner = wide.loop.learner
    learner.optimizer.param_groups[0]["eps"] = 0.5
    begin_at(states[1], learner)
    assert learner.optimizer.param_groups[0]["eps"] == 0.5
    for name, tensor in learner.network.state_dict().items():
        assert torch.equal(tensor, states[1]["network"][name].to(tensor.dtype))
    moments = learner.optimizer.state[learner.parameters[0]]["exp_avg"]
    assert moments.dtype == torch.float64
    assert float(moments.abs().sum()) > 0


def test_a_trace_leaves_no_hook_behind(small, index_file):
    network = make_loop(small, read_index(index_file), Progress(None), Hook()).learner.network
    with Trace(network) as trace:
        network(torch.zeros(1, 3, 64, 64))
    seen = len(trace.forward)
    network(torch.zeros(1, 3, 64, 64))
    assert len(trace.forward) == seen == 13


def test_a_training_that_is_too_short_for_a_state_is_said(small, index_file, run_of, tmp_path):
    spec = msgspec.structs.replace(small, settings={**SETTINGS, "states": [0, 7]})
    with pytest.raises(UsageError, match="6 steps, and a state is asked for after 7"):
        states_of(run_of(spec, index_file, interpreters=INTERPRETERS), tmp_path)


def test_states_that_do_not_rise_are_refused(small):
    train = small.train
    assert Settings(**SETTINGS).problem(train) is None
    for states in ([5, 0], [0, 0]):
        assert "name each once, rising" in Settings(**{**SETTINGS, "states": states}).problem(train)


def test_without_the_baselines_environment_nothing_can_be_compared(small, index_file, run_of, tmp_path):
    with pytest.raises(RuntimeError, match="which all pins begin at"):
        states_of(run_of(small, index_file, interpreters={}), tmp_path)
