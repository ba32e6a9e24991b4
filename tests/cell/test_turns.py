"""The case `train` by turns, in this environment's torch: they come over standard input, and who waits does nothing."""

import io
import json
import math
import os
import sys
import time
from types import SimpleNamespace

import msgspec
import psutil
import pytest
import torch

from cases.train.body import ALONE, keep_turns, measure
from harness.cell import __main__ as cell
from harness.cell import train
from harness.cell.data.batches import Batches
from harness.cell.data.shapes import make_shapes
from harness.cell.progress import Progress
from harness.cell.train import Stopwatch, make_loop, train_loop
from harness.cell.turns import TakingTurns, Turns, end_of_part
from harness.core.checkpoints import read_header
from harness.core.record import Sitting, read_record
from harness.core.settings import Shapes
from harness.core.spec import AMBIENT, Data, Model, Order, Pin, Place
from harness.core.turns import NO_ROOM, READY, TURN, TURN_DONE

SILENT = Progress(None)
EPOCHS, BATCHES = 3, 3
LOADING, WAITING = 1e3, 1e6
"""Seconds, so many that no machine is busy enough to blur them."""
NEAR = {"abs": 1e2, "rel": 0}


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("turns") / "set"
    return make_shapes(folder, Shapes(images=24, validation=8, size=64)), folder / "index.json"


@pytest.fixture(scope="module")
def tiny(spec, shapes):
    """Three epochs of three batches for a small detector, in whatever interpreter runs these tests."""
    torch.set_num_threads(1)
    index, _ = shapes
    return msgspec.structs.replace(
        spec,
        pin=Pin(AMBIENT, None, None, None, None),
        model=Model("small", "tests.cell.small_detector"),
        data=Data(name=index.name, digest=index.digest),
        train=msgspec.structs.replace(spec.train, epochs=EPOCHS, workers=0, warmup_batches=2),
    )


class Conductor:
    """Stands for standard input: gives turns, after doing something else."""

    def __init__(self, meanwhile=lambda: None):
        self.meanwhile = meanwhile
        self.given = 0

    @property
    def buffer(self):
        return self

    def readline(self):
        self.meanwhile()
        self.given += 1
        return TURN


@pytest.fixture
def conductor(monkeypatch):
    """Gives every turn that is asked for."""
    made = Conductor()
    monkeypatch.setattr(sys, "stdin", made)
    return made


@pytest.fixture
def clock(monkeypatch):
    """All clocks of this process, which go on when they are told to besides."""
    made = SimpleNamespace(ahead=0.0)

    def moved(real):
        return lambda: real() + made.ahead

    for name in ("perf_counter", "process_time"):
        monkeypatch.setattr(time, name, moved(getattr(time, name)))
    return made


@pytest.fixture
def pipe():
    """A progress pipe, and the phases that went through it."""
    reading, writing = os.pipe()

    class Pipe:
        progress = Progress(writing)

        def phases(self, *, but=("training", "evaluating")):
            os.close(writing)
            with os.fdopen(reading) as lines:
                found = [json.loads(line)["phase"] for line in lines]
            return [phase for phase in found if phase not in but]

    return Pipe()


def place_of(folder, part=0, seats=2):
    """The place of a process that does part `part` of a run."""
    left = [str(folder / f"{number}.checkpoint") for number in (part, part + 1)]
    return Place(f"sitting {part}", seat=part % 2, seats=seats, leave=left[1], source=left[0] if part else "")


@pytest.fixture
def train_by(tiny, shapes, tmp_path):
    """A training by turns of so many steps, all in one process; what it leaves."""

    def trained(steps, progress=SILENT, **changed):
        spec = msgspec.structs.replace(tiny, **changed)
        hook = TakingTurns(place_of(tmp_path), Turns(progress), steps=steps, epochs=spec.train.epochs)
        return train_loop(make_loop(spec, shapes[0], progress, hook))

    return trained


@pytest.fixture
def measured_by(tiny, shapes, tmp_path, run_of, conductor):
    """The case by turns of so many steps: what each of the processes hands back that do so many epochs each."""

    def measured(steps, epochs):
        spec = msgspec.structs.replace(tiny, settings={"steps": steps, "epochs": epochs})
        folder = tmp_path / f"{steps} {epochs}"
        folder.mkdir()
        parts = range(math.ceil(EPOCHS / epochs))
        runs = [run_of(spec, shapes[1], folder / "0.part", place=place_of(folder, part)) for part in parts]
        return [measure(run) for run in runs], folder

    return measured


def metric_of(measured, name):
    return next(metric for metric in measured.metrics if metric.name == name)


def test_a_turn_has_loading_in_it_and_the_time_of_waiting_is_in_nothing(train_by, conductor, clock, monkeypatch):
    batches_of = Batches.epoch

    def slow(batches, *place):
        for batch in batches_of(batches, *place):
            clock.ahead += LOADING
            yield batch

    def wait():
        clock.ahead += WAITING

    monkeypatch.setattr(Batches, "epoch", slow)
    conductor.meanwhile = wait
    result = train_by(2)
    assert result.turns == [pytest.approx(LOADING, **NEAR)] * 2 * EPOCHS
    assert result.epoch_seconds == [pytest.approx(BATCHES * LOADING, **NEAR)] * EPOCHS
    assert result.epoch_cpu_seconds == [pytest.approx(BATCHES * LOADING, **NEAR)] * EPOCHS
    assert result.waited_seconds == [pytest.approx(BATCHES * LOADING, **NEAR)] * EPOCHS
    assert result.evaluation_seconds == [pytest.approx(0, **NEAR)] * EPOCHS
    assert conductor.given == EPOCHS * (2 + 1)


def test_the_conductor_hears_that_it_is_ready_and_then_of_every_turn_but_the_last(train_by, conductor, pipe):
    train_by(2, pipe.progress)
    evaluated = [TURN_DONE, TURN_DONE, "epoch done"]
    assert pipe.phases() == [READY, *evaluated, *[TURN_DONE, *evaluated] * (EPOCHS - 1)]
    assert conductor.given == EPOCHS * 3


def test_a_turn_is_so_many_optimiser_steps_however_many_batches_these_take(train_by, conductor, tiny):
    recipe = msgspec.structs.replace(tiny.recipe, nominal_batch=2 * tiny.train.batch, warmup_steps=0)
    result = train_by(1, recipe=recipe)
    assert len(result.losses) == len(result.turns) == 2 * EPOCHS
    assert conductor.given == 3 * EPOCHS


@pytest.mark.parametrize(("steps", "epochs"), [(1, 1), (2, 1), (1, 2), (1, 0.5), (2, 0.5)])
def test_a_training_of_several_processes_ends_as_one_that_was_not_interrupted(measured_by, steps, epochs):
    (whole,), _ = measured_by(steps, EPOCHS)
    (*left, split), folder = measured_by(steps, epochs)
    assert left == [None] * len(left) != []
    assert split.fingerprints == whole.fingerprints
    assert split.hashes == whole.hashes
    for name in ("loss", "loss:place", "loss:kind", "gradient_norm", "map50", "map50_95"):
        assert split.series[name] == whole.series[name]
    assert {name: len(values) for name, values in split.series.items()} == {
        name: len(values) for name, values in whole.series.items()
    }
    turns = [metric_of(one, "step_time") for one in (split, whole)]
    assert {len(metric.warmup) + len(metric.samples) for metric in turns} == {EPOCHS * -(-BATCHES // steps)}
    assert split.files == whole.files
    assert (folder / split.files["detections"]).exists()


def test_the_sittings_of_a_record_are_those_of_its_processes_and_the_start_of_each_is_apart(measured_by):
    (*_, split), _ = measured_by(1, 1)
    assert split.sittings == [Sitting(f"sitting {part}", part % 2, laps=1) for part in range(EPOCHS)]
    steps = metric_of(split, "step_time")
    assert (len(steps.samples), len(steps.warmup)) == (EPOCHS, 2 * EPOCHS)
    epochs = metric_of(split, "epoch_time")
    assert (len(epochs.samples), len(epochs.warmup)) == (EPOCHS, 0)
    assert split.notes["epoch_time"] == "a process began in every epoch, so its start-up is in it"


def test_of_one_process_the_first_epoch_is_apart(measured_by):
    (whole,), _ = measured_by(1, EPOCHS)
    assert whole.sittings == [Sitting("sitting 0", 0, laps=EPOCHS * BATCHES - 2)]
    epochs = metric_of(whole, "epoch_time")
    assert (len(epochs.samples), len(epochs.warmup)) == (EPOCHS - 1, 1)
    assert whole.notes == {}


def test_a_checkpoint_is_left_after_its_epochs_and_none_after_the_last(measured_by, tiny):
    _, folder = measured_by(1, 2)
    header = read_header(folder / "1.checkpoint")
    assert (header.epoch, header.step) == (2, 0)
    assert [path.name for path in folder.glob("*.checkpoint")] == ["1.checkpoint"]
    _, folder = measured_by(2, EPOCHS)
    assert [*folder.glob("*.checkpoint")] == []


def test_a_checkpoint_is_left_within_an_epoch_where_a_process_does_a_part_of_one(measured_by):
    _, folder = measured_by(1, 0.5)
    headers = [read_header(folder / f"{part}.checkpoint") for part in range(1, 2 * EPOCHS)]
    assert [(header.epoch, header.step) for header in headers] == [(0, 2), (1, 0), (1, 1), (2, 0), (2, 2)]


@pytest.mark.parametrize(
    ("batches", "ends"), [(30, [30, 60, 90]), (15, [15, 30, 45]), (7.5, [8, 15, 22, 30]), (0.3, [1, 2, 3])]
)
def test_parts_of_a_training_are_equally_long_and_every_whole_one_ends_where_it_should(batches, ends):
    done = [0, *ends]
    assert [end_of_part(batches, start) for start in done[:-1]] == ends


@pytest.mark.parametrize(
    ("laps", "warmup", "samples", "starts", "kept"),
    [
        ([5, 3, 1, 0], 2, [3, 4, 5, 8, 9], [1, 2, 6, 7], [3, 1, 1, 0]),
        ([4, 5], 0, [*range(1, 10)], [], [4, 5]),
        ([2], 9, [2], [1], [1]),
        ([], 2, [], [], []),
    ],
)
def test_every_lap_is_a_sample_or_warm_up_of_its_process_and_one_at_least_is_a_sample(
    measured_for, laps, warmup, samples, starts, kept
):
    sittings = [{"name": f"s{number}", "seat": number, "laps": each} for number, each in enumerate(laps)]
    turns = [float(lap) for lap in range(1, sum(laps) + 1)]
    measured = measured_for("train")
    keep_turns(measured, SimpleNamespace(turns=turns, sittings=sittings), warmup)
    (metric,) = measured.metrics
    assert (metric.name, metric.samples, metric.warmup) == ("step_time", samples, starts)
    assert measured.sittings == [Sitting(f"s{number}", number, each) for number, each in enumerate(kept)]


@pytest.fixture
def measured_beside(tiny, shapes, tmp_path, run_of, conductor):
    """The case in one process, which is one of so many."""

    def measured(seats, progress=SILENT):
        spec = msgspec.structs.replace(tiny, settings={"steps": 3, "epochs": EPOCHS})
        place = place_of(tmp_path, seats=seats)
        return measure(run_of(spec, shapes[1], tmp_path / "0.part", progress=progress, place=place))

    return measured


@pytest.mark.parametrize(("seats", "notes"), [(1, {"step_time": ALONE}), (2, {})])
def test_that_it_had_the_device_to_itself_is_noted(measured_beside, seats, notes):
    assert measured_beside(seats).notes == notes


FULL = RuntimeError("CUDA out of memory. Tried to allocate")


@pytest.mark.parametrize("where", ["cases.train.body.make_loop", "harness.cell.train.backward"])
@pytest.mark.parametrize(
    ("seats", "error", "told"),
    [(2, FULL, True), (2, MemoryError(), True), (2, RuntimeError("another reason"), False), (1, FULL, False)],
)
def test_a_device_without_room_beside_others_is_told_and_no_other_mishap(
    measured_beside, pipe, monkeypatch, where, seats, error, told
):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(where, fail)
    with pytest.raises(type(error)):
        measured_beside(seats, pipe.progress)
    assert pipe.phases(but=(READY,)) == [NO_ROOM] * told


@pytest.fixture
def cell_of(tiny, shapes, monkeypatch, tmp_path):
    """The process of a cell with these lines on its standard input after the order."""

    def main(part, epochs, *lines):
        spec = msgspec.structs.replace(tiny, settings={"steps": 3, "epochs": epochs})
        order = Order(spec, str(shapes[1]), place=place_of(tmp_path, part))
        said = b"".join([msgspec.json.encode(order), b"\n", *lines])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(said)))
        monkeypatch.setattr(sys, "argv", ["cell", "--record", str(tmp_path / "0.json")])
        return cell.main()

    return main


@pytest.mark.parametrize("last", [b"", b"tur", b"something else\n"])
def test_a_conductor_that_is_gone_ends_the_run_without_a_record_or_a_checkpoint(cell_of, tmp_path, last):
    with pytest.raises(SystemExit, match="conductor is gone"):
        cell_of(0, 1, TURN, last)
    assert list(tmp_path.iterdir()) == []


def test_a_cell_that_another_goes_on_from_leaves_no_record_and_the_last_one_does(cell_of, tmp_path):
    assert cell_of(0, 2, TURN * 4) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["1.checkpoint"]
    assert cell_of(1, 2, TURN * 2) == 0
    record = read_record(tmp_path / "0.json")
    assert record.status == "ok"
    assert [sitting.name for sitting in record.sittings] == ["sitting 0", "sitting 1"]
    assert read_header(tmp_path / "1.checkpoint").run == record.identity


def test_its_workers_stand_while_it_waits_and_go_on_with_it(train_by, conductor, tiny):
    before = {child.pid for child in psutil.Process().children()}
    seen = []

    def look():
        workers = [child for child in psutil.Process().children() if child.pid not in before]
        wait_until(lambda: all(worker.status() == psutil.STATUS_STOPPED for worker in workers))
        spent = [worker.cpu_times()[:2] for worker in workers]
        time.sleep(0.05)
        seen.append((len(workers), [worker.cpu_times()[:2] for worker in workers] == spent))

    conductor.meanwhile = look
    result = train_by(1, train=msgspec.structs.replace(tiny.train, workers=2))
    assert seen[0] == (0, True)  # they are started for the first batch
    assert seen[1:] == [(2, True)] * (EPOCHS * (BATCHES + 1) - 1)
    assert len(result.turns) == EPOCHS * BATCHES
    assert {child.pid for child in psutil.Process().children()} == before


def test_workers_that_stand_end_with_a_training_whose_conductor_is_gone(train_by, conductor, tiny):
    before = {child.pid for child in psutil.Process().children()}

    def leave():
        if conductor.given == 2:
            raise SystemExit

    conductor.meanwhile = leave
    with pytest.raises(SystemExit):
        train_by(1, train=msgspec.structs.replace(tiny.train, workers=2))
    assert {child.pid for child in psutil.Process().children()} == before


def wait_until(true, seconds=60):
    """Wait for something that must become true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_stopwatch_counts_neither_seconds_nor_those_of_the_processor_while_it_stands(clock):
    clock.ahead = WAITING  # before it was made
    watch = Stopwatch()
    clock.ahead += LOADING
    for _ in range(2):
        with watch.stopped():
            clock.ahead += WAITING
    clock.ahead += LOADING
    assert (watch.seconds, watch.cpu_seconds) == (pytest.approx(2 * LOADING, **NEAR),) * 2
    assert train.time.perf_counter is time.perf_counter  # or the test would have shown nothing
