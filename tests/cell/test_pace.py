"""The case `pace`, in this environment's torch: turns come over standard input, a time of a step goes back."""

import io
import json
import os
import sys

import msgspec
import pytest
import torch

from cases import pace
from cases.pace import BATCHES, Walker, run
from harness.cell import __main__ as cell
from harness.cell.data.shapes import make_shapes
from harness.cell.progress import Progress
from harness.cell.schedule import Schedule
from harness.cell.train import make_learner, start_training, training_batches
from harness.cell.yolov9.loss import DetectionLoss
from harness.core.record import read_record
from harness.core.settings import Shapes
from harness.core.spec import AMBIENT, Data, Pin
from harness.core.turns import END, NO_ROOM, TURN

CLASSES = 3


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pace") / "set"
    return make_shapes(folder, Shapes(images=24, validation=8, size=64)), folder / "index.json"


@pytest.fixture
def tiny(pace_spec, shapes):
    """Two steps a turn after one to warm up, in whatever interpreter runs these tests."""
    torch.set_num_threads(1)
    index, path = shapes
    return msgspec.structs.replace(
        pace_spec,
        pin=Pin(AMBIENT, None, None, None, None),
        data=Data(name=index.name, digest=index.digest, index=str(path)),
        settings=msgspec.structs.replace(pace_spec.settings, steps=2, warmup_steps=1),
    )


@pytest.fixture
def orders(monkeypatch):
    """Put lines on standard input."""

    def put(*lines):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"".join(lines))))

    return put


@pytest.fixture
def pipe():
    """A progress pipe, and what went through it."""
    reading, writing = os.pipe()

    class Pipe:
        progress = Progress(writing)
        descriptor = writing

        def events(self):
            os.close(writing)
            with os.fdopen(reading) as lines:
                return [json.loads(line) for line in lines]

    return Pipe()


def pace_of(measured):
    (metric,) = measured.metrics
    assert metric.name == "pace"
    return metric


def test_every_turn_is_one_sample_and_the_warm_up_is_kept_apart(tiny, orders, tmp_path):
    orders(TURN, TURN, END)
    measured = run(tiny, Progress(None), tmp_path / "0.json")
    metric = pace_of(measured)
    assert (metric.unit, metric.better) == ("s", "lower")
    assert (len(metric.samples), len(metric.warmup)) == (2, 1)
    assert min(metric.samples) > 0
    assert measured.measuring == pytest.approx(2 * sum(metric.samples))
    assert measured.notes["pace"] == "host clock"
    assert measured.anomalies == []


def test_the_conductor_hears_that_it_is_ready_and_then_every_turns_time(tiny, orders, pipe, tmp_path):
    orders(TURN, TURN, TURN, END)
    samples = pace_of(run(tiny, pipe.progress, tmp_path / "0.json")).samples
    ready, *turns = pipe.events()
    assert ready == {"phase": "ready"}
    assert turns == [{"phase": "turn", "lap": lap, "seconds": each} for lap, each in enumerate(samples, start=1)]


def test_the_hashes_say_what_was_trained_on_and_from_and_what_came_out(tiny, orders, shapes, tmp_path):
    orders(TURN, END)
    hashes = run(tiny, Progress(None), tmp_path / "0.json").hashes
    assert hashes.data == shapes[0].digest
    assert len({hashes.initial_weights, hashes.final_weights, hashes.batch_stream}) == 3
    orders(TURN, END)
    assert run(tiny, Progress(None), tmp_path / "0.json").hashes == hashes
    orders(TURN, TURN, END)
    assert run(tiny, Progress(None), tmp_path / "0.json").hashes.final_weights != hashes.final_weights


def test_the_last_word_before_any_turn_leaves_no_samples(tiny, orders, tmp_path):
    orders(END)
    assert pace_of(run(tiny, Progress(None), tmp_path / "0.json")).samples == []


@pytest.mark.parametrize("last", [b"", b"tur", b"something else\n"])
def test_a_conductor_that_is_gone_ends_the_run_without_a_record(tiny, orders, monkeypatch, tmp_path, last):
    orders(msgspec.json.encode(tiny) + b"\n", TURN, last)
    monkeypatch.setattr(sys, "argv", ["cell", "--record", str(tmp_path / "0.json"), "--sitting", "x"])
    with pytest.raises(SystemExit, match="conductor is gone"):
        cell.main()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["the sitting", None])
def test_the_record_names_the_sitting_or_says_that_there_was_none(tiny, orders, monkeypatch, tmp_path, name):
    orders(msgspec.json.encode(tiny) + b"\n", TURN, END)
    together = ["--sitting", name] if name else []
    monkeypatch.setattr(sys, "argv", ["cell", "--record", str(tmp_path / "0.json"), *together])
    assert cell.main() == 0
    record = read_record(tmp_path / "0.json")
    assert (record.status, record.sitting, record.identity) == ("ok", name, tiny.identity())
    assert ("not taken in turns" in record.notes["pace"]) == (name is None)


@pytest.mark.parametrize(("reason", "phases"), [("CUDA out of memory. Tried to", [NO_ROOM]), ("another reason", [])])
def test_a_device_without_room_is_told_and_no_other_mishap(tiny, orders, pipe, monkeypatch, tmp_path, reason, phases):
    def fails(*_, **__):
        raise RuntimeError(reason)

    monkeypatch.setattr(pace, "backward", fails)
    orders(TURN, END)
    with pytest.raises(RuntimeError, match=reason):
        run(tiny, pipe.progress, tmp_path / "0.json")
    assert [event["phase"] for event in pipe.events()] == phases


def walker_of(spec, shapes):
    index, _ = shapes
    with training_batches(spec, index) as stream:
        batches = [batch for batch, _ in zip(stream.epoch(0), range(BATCHES))]
    schedule = Schedule(spec.recipe, spec.train.epochs, len(batches), spec.train.batch)
    learner = make_learner(spec, CLASSES)
    learner.model.train()
    return Walker(spec, learner, start_training(learner), batches, schedule, DetectionLoss(CLASSES))


def test_the_loop_without_instruments_makes_the_same_updates_and_looks_at_nothing(tiny, shapes):
    plain_spec = msgspec.structs.replace(tiny, instruments=False)
    watched, plain = walker_of(tiny, shapes), walker_of(plain_spec, shapes)
    begun = [parameter.detach().clone() for parameter in watched.learner.parameters]
    for walker in (watched, plain):
        assert len(walker.walk(4)) == 4
    pairs = list(zip(watched.learner.parameters, plain.learner.parameters))
    assert all(torch.allclose(one, other, rtol=1e-3, atol=1e-5) for one, other in pairs)
    assert not all(torch.allclose(one, other, rtol=1e-3, atol=1e-5) for one, (other, _) in zip(begun, pairs))
    assert (len(watched.result.norms), len(plain.result.norms)) == (4, 0)
    assert (len(watched.result.memory.series["rss"]), plain.result.memory.series) == (1, {})
    assert watched.learner.average.updates == plain.learner.average.updates == 4


def test_steps_go_in_circles_over_the_batches(tiny, shapes, monkeypatch):
    walker = walker_of(tiny, shapes)
    seen = []

    def backward(learner, criterion, batch):
        seen.append([each is batch for each in walker.batches].index(True))
        return original(learner, criterion, batch)

    original = pace.backward
    monkeypatch.setattr(pace, "backward", backward)
    walker.walk(2)
    walker.walk(3)
    assert seen == [0, 1, 2, 0, 1]
