"""The case `attribution`: what a part of a step is, what one process leaves for the next, what comes out."""

import sys
import time
from types import SimpleNamespace

import msgspec
import pytest
import torch
from torch import nn

from cases.attribution.body import measure
from cases.attribution.memory import OUTSIDE, Change, at_peak, memory_of_step
from cases.attribution.tracing import ADDED_UP, BETWEEN, Part, Tracing, blocks_of, clock_of, seconds_of, summed
from harness.cell.data.index import read_index
from harness.cell.data.shapes import make_shapes
from harness.cell.faults import Planted
from harness.cell.progress import Progress
from harness.cell.train import Hook, Position, gather, make_loop, training_batches, update
from harness.cell.turns import ALONE
from harness.core.faults import Fault
from harness.core.settings import Shapes
from harness.core.spec import AMBIENT, Data, Model, Pin, Place
from harness.core.turns import TURN

SILENT = Progress(None)
LAPS, SITTINGS = 2, 2
LONG = 1e3
"""Seconds, so many that no machine is busy enough to blur them."""
NEAR = {"abs": 1e2, "rel": 0}


@pytest.fixture(scope="module")
def index_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("attribution") / "set"
    make_shapes(folder, Shapes(images=24, validation=2, size=64))
    return folder / "index.json"


@pytest.fixture(scope="module")
def looked_into(spec, index_file):
    """The small detector, in whatever interpreter runs these tests."""
    torch.set_num_threads(1)
    index = read_index(index_file)
    return msgspec.structs.replace(
        spec,
        case="attribution",
        pin=Pin(AMBIENT, None, None, None, None),
        model=Model("small", "tests.cell.small_detector"),
        data=Data(name=index.name, digest=index.digest),
        train=msgspec.structs.replace(spec.train, workers=0, warmup_batches=1),
        settings={"laps": LAPS, "sittings": SITTINGS},
    )


@pytest.fixture
def loop(looked_into, index_file):
    """A training that has not begun, and a batch for it."""
    index = read_index(index_file)
    made = make_loop(looked_into, index, SILENT, Hook())
    made.learner.network.train()
    with training_batches(looked_into, index) as batches:
        made.first = next(batches.epoch(0))
    return made


@pytest.fixture
def clock(monkeypatch):
    """The clock of this process, which goes on when it is told to besides."""
    made = SimpleNamespace(ahead=0.0)
    real = time.perf_counter
    monkeypatch.setattr(time, "perf_counter", lambda: real() + made.ahead)
    return made


@pytest.fixture
def conductor(monkeypatch):
    """Gives every turn that is asked for."""
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=SimpleNamespace(readline=lambda: TURN)))


@pytest.fixture
def parts_measured(looked_into, index_file, run_of, tmp_path, conductor):
    """What each of the processes of a run hands back."""

    def measured(seats=2, **changed):
        spec = msgspec.structs.replace(looked_into, **changed)
        found = []
        for part in range(SITTINGS):
            left = [str(tmp_path / f"{number}.checkpoint") for number in (part, part + 1)]
            source = left[0] if part else ""
            place = Place(f"sitting {part}", seat=part, seats=seats, leave=left[1], source=source)
            found.append(measure(run_of(spec, index_file, tmp_path / "0.part", place=place)))
        return found

    return measured


def step(loop):
    gather(loop, [loop.first])
    update(loop, Position(0, 0))


def seconds_in(loop):
    """The seconds of a traced step by part."""
    tracing = Tracing(loop, clock_of(loop.learner.device))
    with tracing.traced() as pieces:
        step(loop)
    return seconds_of(pieces, loop.learner.device)


def module_of(loop, kind, place=0):
    return [one for one in loop.learner.network.modules() if isinstance(one, kind)][place]


def slow_down(monkeypatch, owner, name, clock):
    """A method takes so much longer, by the clock."""
    work = getattr(owner, name)

    def slow(*arguments, **named):
        clock.ahead += LONG
        return work(*arguments, **named)

    monkeypatch.setattr(owner, name, slow)


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        (nn.BatchNorm2d, Part("BatchNorm2d", "body Sequential", "forward")),
        (nn.ReLU, Part("ReLU", "body Sequential", "forward")),
    ],
)
def test_a_layer_that_is_slow_is_named_with_its_module(loop, clock, monkeypatch, kind, part):
    slow_down(monkeypatch, module_of(loop, kind), "forward", clock)
    seconds = seconds_in(loop)
    assert seconds.pop(part) == pytest.approx(LONG, **NEAR)
    assert sum(seconds.values()) == pytest.approx(0, **NEAR)


class SlowBackward(torch.autograd.Function):
    """Lets everything pass, and takes long backward."""

    clock = None

    @staticmethod
    def forward(context, values):
        return values.clone()

    @staticmethod
    def backward(context, gradient):
        SlowBackward.clock.ahead += LONG
        return gradient


def test_what_is_slow_backward_belongs_to_the_layer_that_did_it_forward(loop, clock, monkeypatch):
    SlowBackward.clock = clock
    layer = loop.learner.network.boxes
    work = layer.forward
    monkeypatch.setattr(layer, "forward", lambda values: SlowBackward.apply(work(values)))
    seconds = seconds_in(loop)
    assert seconds.pop(Part("Conv2d", "boxes Conv2d", "backward")) == pytest.approx(LONG, **NEAR)
    assert sum(seconds.values()) == pytest.approx(0, **NEAR)


@pytest.mark.parametrize(
    ("owner", "method", "name"),
    [
        ("loop", "criterion", "loss, forward"),
        ("learner", "average.update", "average"),
        ("learner", "optimizer.step", "optimiser"),
    ],
)
def test_what_is_slow_outside_of_the_network_is_named_too(loop, clock, monkeypatch, owner, method, name):
    found = loop if owner == "loop" else loop.learner
    *path, last = method.split(".")
    for each in path:
        found = getattr(found, each)
    slow_down(monkeypatch, found, last, clock)
    seconds = summed(seconds_in(loop), lambda part: part.by_layer)
    assert seconds.pop(name) == pytest.approx(LONG, **NEAR)
    assert sum(seconds.values()) == pytest.approx(0, **NEAR)


def test_what_the_hooks_do_is_in_no_part(loop, clock, monkeypatch):
    slow_down(monkeypatch, Tracing, "claim", clock)
    assert sum(seconds_in(loop).values()) == pytest.approx(0, **NEAR)
    assert clock.ahead >= 10 * LONG


def test_every_part_of_the_network_is_there_forward_and_backward(loop):
    names = set(summed(seconds_in(loop), lambda part: part.by_layer))
    layers = {f"{layer}, {phase}" for layer in ("Conv2d", "BatchNorm2d", "ReLU") for phase in ("forward", "backward")}
    assert layers | {f"{BETWEEN}, forward", "cat, backward", f"{ADDED_UP}, backward", "loss, backward"} <= names
    modules = set(summed(seconds_in(loop), lambda part: part.by_module))
    assert {"body Sequential", "boxes Conv2d", "classes Conv2d", "loss", "optimiser"} <= modules


def test_a_step_that_is_traced_comes_to_the_same_and_leaves_nothing_behind(looked_into, index_file, loop):
    other = make_loop(looked_into, read_index(index_file), SILENT, Hook())
    other.learner.network.train()
    other.first = loop.first
    before = set(vars(loop.learner))
    for _ in range(2):
        seconds_in(loop)
        step(other)
    assert set(vars(loop.learner)) == before
    assert loop.result.losses == other.result.losses
    pairs = zip(loop.learner.network.state_dict().values(), other.learner.network.state_dict().values())
    assert all(torch.equal(*pair) for pair in pairs)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in loop.learner.network.modules())


def test_a_list_of_modules_is_no_block_but_what_is_in_it_is():
    network = nn.Module()
    network.model = nn.ModuleList([nn.Sequential(nn.ReLU()), nn.ReLU()])
    network.head = nn.ReLU()
    assert [name for name, _ in blocks_of(network)] == ["model.0", "model.1", "head"]


FIRST, SECOND = Part("a", "a"), Part("b", "b")


@pytest.mark.parametrize(
    ("changes", "held"),
    [
        ([(FIRST, 8), (SECOND, 4), (FIRST, -8), (SECOND, 2)], {FIRST: 8, SECOND: 4}),
        ([(FIRST, 8), (FIRST, -8), (SECOND, 9)], {SECOND: 9}),
        ([(FIRST, 8), (SECOND, 8), (FIRST, -8), (FIRST, 1), (SECOND, 8)], {FIRST: 9, SECOND: 8}),
        ([(FIRST, -64), (SECOND, 4)], {SECOND: 4}),
        ([], {}),
    ],
)
def test_what_is_given_back_is_the_latest_of_its_size_and_the_peak_is_where_the_most_is_held(changes, held):
    assert at_peak([Change(*change) for change in changes]) == held


def test_memory_is_given_to_the_layer_that_takes_it_and_to_what_a_training_holds(loop, monkeypatch):
    for _ in range(2):
        step(loop)
    kept = []
    layer = module_of(loop, nn.BatchNorm2d)
    layer.register_forward_hook(lambda *_: kept.append(torch.empty(64 * 2**20, dtype=torch.uint8)))
    held = memory_of_step(loop, lambda: step(loop))
    weights = sum(one.numel() * one.element_size() for one in loop.learner.network.state_dict().values())
    assert held[Part("BatchNorm2d", "body Sequential", "forward")] >= 64 * 2**20
    assert held[Part("weights", "weights")] == weights
    trained = sum(one.numel() * one.element_size() for one in loop.learner.parameters)
    assert 2 * trained <= held[Part("optimiser's state", "optimiser's state")] <= 2 * trained + 4096


def test_a_run_of_several_processes_has_a_row_for_every_lap_and_one_a_process_of_memory(parts_measured):
    *left, measured = parts_measured()
    assert left == [None] * (SITTINGS - 1)
    assert [(one.name, one.laps) for one in measured.sittings] == [
        (f"sitting {part}", LAPS) for part in range(SITTINGS)
    ]
    rows = {one.name: len(one.whole) for one in measured.breakdowns}
    time_, memory = LAPS * SITTINGS, SITTINGS
    assert rows == {
        "time_by_layer": time_,
        "time_by_module": time_,
        "memory_by_layer": memory,
        "memory_by_module": memory,
    }
    assert {one.name: len(one.samples) for one in measured.metrics} == {
        "plain_step_time": time_,
        "traced_step_time": time_,
    }
    assert measured.notes == {}


def test_parts_add_up_to_the_whole_in_every_row(parts_measured):
    *_, measured = parts_measured()
    traced = next(one.samples for one in measured.metrics if one.name == "traced_step_time")
    for one in measured.breakdowns:
        sums = [sum(values) for values in zip(*one.parts.values())]
        assert sums == pytest.approx(one.whole)
        if one.name.startswith("time"):
            assert one.whole == pytest.approx(traced)
        else:
            assert OUTSIDE in one.parts


def test_all_processes_do_the_same_steps_of_the_same_training(
    parts_measured, looked_into, index_file, run_of, tmp_path
):
    *_, measured = parts_measured()
    *_, again = parts_measured()
    assert measured.hashes == again.hashes
    assert measured.hashes.batch_stream
    assert measured.hashes.initial_weights


def test_that_it_had_the_device_to_itself_is_noted(parts_measured):
    *_, measured = parts_measured(seats=1)
    assert measured.notes == {"plain_step_time": ALONE}


def test_a_planted_slow_layer_works_again_within_its_own_part_and_changes_nothing(loop, monkeypatch):
    calls = []
    monkeypatch.setattr(torch.nn.functional, "batch_norm", lambda *_, **__: calls.append(1))
    network = nn.Sequential(nn.BatchNorm2d(3))
    network[0].forward = lambda values: values
    Planted(Fault(kind="slow-layer", size=2), 1, loop.learner.model).build(network)
    pictures = torch.ones(2, 3, 4, 4)
    assert network(pictures) is pictures
    assert len(calls) == 2
