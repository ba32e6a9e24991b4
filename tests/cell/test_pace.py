"""The case `pace`, in this environment's torch: turns come over standard input, a time of a step goes back."""

import io
import json
import os
import sys

import msgspec
import pytest
import torch

from cases.pace.body import BATCHES, Walker, measure
from harness.cell import __main__ as cell
from harness.cell import train
from harness.cell.data.shapes import make_shapes
from harness.cell.progress import Progress
from harness.cell.train import Hook, make_loop, training_batches
from harness.core.record import read_record
from harness.core.settings import Shapes
from harness.core.spec import AMBIENT, Data, Order, Pin
from harness.core.turns import END, NO_ROOM, TURN

SILENT = Progress(None)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pace") / "set"
    return make_shapes(folder, Shapes(images=24, validation=8, size=64)), folder / "index.json"


@pytest.fixture
def tiny(pace_spec, shapes):
    """Two steps a turn after one to warm up, in whatever interpreter runs these tests."""
    torch.set_num_threads(1)
    index, _ = shapes
    return msgspec.structs.replace(
        pace_spec,
        pin=Pin(AMBIENT, None, None, None, None),
        data=Data(name=index.name, digest=index.digest),
        settings={**pace_spec.settings, "steps": 2, "warmup_steps": 1},
    )


@pytest.fixture
def run(tiny, shapes, run_of):
    """The case as it is run."""
    return lambda progress=SILENT: measure(run_of(tiny, shapes[1], progress=progress))


@pytest.fixture
def order(tiny, shapes):
    """What a launcher says first."""
    return msgspec.json.encode(Order(tiny, str(shapes[1]))) + b"\n"


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


def test_every_turn_is_one_sample_and_the_warm_up_is_kept_apart(run, orders):
    orders(TURN, TURN, END)
    measured = run()
    metric = pace_of(measured)
    assert metric.unit == "s"
    assert (len(metric.samples), len(metric.warmup)) == (2, 1)
    assert min(metric.samples) > 0
    assert measured.measuring == pytest.approx(2 * sum(metric.samples))
    assert measured.notes["pace"] == "host clock"
    assert measured.anomalies == []


def test_the_conductor_hears_that_it_is_ready_and_then_every_turns_time(run, orders, pipe):
    orders(TURN, TURN, TURN, END)
    samples = pace_of(run(pipe.progress)).samples
    ready, *turns = pipe.events()
    assert ready == {"phase": "ready"}
    assert turns == [{"phase": "turn", "lap": lap, "seconds": each} for lap, each in enumerate(samples, start=1)]


def test_the_hashes_say_what_was_trained_on_and_from_however_many_turns_there_were(run, orders, shapes):
    orders(TURN, END)
    hashes = run().hashes
    assert hashes.data == shapes[0].digest
    assert len({hashes.initial_weights, hashes.batch_stream, None}) == 3
    orders(TURN, TURN, END)
    assert run().hashes == hashes


def test_the_last_word_before_any_turn_leaves_no_samples(run, orders):
    orders(END)
    assert pace_of(run()).samples == []


@pytest.mark.parametrize("last", [b"", b"tur", b"something else\n"])
def test_a_conductor_that_is_gone_ends_the_run_without_a_record(order, orders, monkeypatch, tmp_path, last):
    orders(order, TURN, last)
    monkeypatch.setattr(sys, "argv", ["cell", "--record", str(tmp_path / "0.json"), "--sitting", "x"])
    with pytest.raises(SystemExit, match="conductor is gone"):
        cell.main()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["the sitting", None])
def test_the_record_names_the_sitting_or_says_that_there_was_none(tiny, order, orders, monkeypatch, tmp_path, name):
    orders(order, TURN, END)
    together = ["--sitting", name] if name else []
    monkeypatch.setattr(sys, "argv", ["cell", "--record", str(tmp_path / "0.json"), *together])
    assert cell.main() == 0
    record = read_record(tmp_path / "0.json")
    assert (record.status, record.sitting, record.identity) == ("ok", name, tiny.identity())
    assert ("not taken in turns" in record.notes["pace"]) == (name is None)


@pytest.mark.parametrize(("reason", "phases"), [("CUDA out of memory. Tried to", [NO_ROOM]), ("another reason", [])])
def test_a_device_without_room_is_told_and_no_other_mishap(run, orders, pipe, monkeypatch, reason, phases):
    def fails(*_, **__):
        raise RuntimeError(reason)

    monkeypatch.setattr(train, "backward", fails)
    orders(TURN, END)
    with pytest.raises(RuntimeError, match=reason):
        run(pipe.progress)
    assert [event["phase"] for event in pipe.events()] == phases


def walker_of(spec, shapes):
    index, _ = shapes
    with training_batches(spec, index) as stream:
        batches = [batch for batch, _ in zip(stream.epoch(0), range(BATCHES))]
    return Walker(make_loop(spec, index, SILENT, Hook()), batches)


def test_the_loop_without_instruments_makes_the_same_updates_and_looks_at_nothing(tiny, shapes):
    plain_spec = msgspec.structs.replace(tiny, instruments=False)
    watched, plain = walker_of(tiny, shapes), walker_of(plain_spec, shapes)
    begun = [parameter.detach().clone() for parameter in watched.loop.learner.parameters]
    for walker in (watched, plain):
        assert len(walker.walk(4)) == 4
    pairs = list(zip(watched.loop.learner.parameters, plain.loop.learner.parameters))
    assert all(torch.allclose(one, other, rtol=1e-3, atol=1e-5) for one, other in pairs)
    assert not all(torch.allclose(one, other, rtol=1e-3, atol=1e-5) for one, (other, _) in zip(begun, pairs))
    assert (len(watched.loop.result.norms), len(plain.loop.result.norms)) == (4, 0)
    assert (len(watched.loop.result.memory.series["rss"]), plain.loop.result.memory.series) == (1, {})
    assert watched.loop.learner.average.updates == plain.loop.learner.average.updates == 4


def test_steps_go_in_circles_over_the_batches(tiny, shapes, monkeypatch):
    walker = walker_of(tiny, shapes)
    seen = []

    def backward(loop, batch):
        seen.append([each is batch for each in walker.batches].index(True))
        return original(loop, batch)

    original = train.backward
    monkeypatch.setattr(train, "backward", backward)
    walker.walk(2)
    walker.walk(3)
    assert seen == [0, 1, 2, 0, 1]


def test_every_batch_is_a_step_also_where_a_training_would_add_up_several(tiny, shapes):
    recipe = msgspec.structs.replace(tiny.recipe, nominal_batch=64, warmup_steps=0)
    walker = walker_of(msgspec.structs.replace(tiny, recipe=recipe), shapes)
    assert walker.schedule.at(0).accumulate > 1
    walker.walk(2)
    assert walker.loop.learner.average.updates == 2
