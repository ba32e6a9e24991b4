"""The case `inference`: what a turn is, what is timed as what, what one process leaves for the next, what comes out."""

import json
import os
import sys
import time
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
import torch

from cases.inference import deployment
from cases.inference.body import DRAWS, ON_GPU_ONLY, Server, Taken, halves_of, measure
from cases.inference.deployment import Seconds, batch_of, deployment_of
from harness.cell.checkpoint import CheckpointError
from harness.cell.data.batches import EvaluationBatches, StreamDigest
from harness.cell.data.index import read_index
from harness.cell.data.shapes import make_shapes
from harness.cell.evaluate import detect
from harness.cell.model import load_model, make_network
from harness.cell.progress import Progress
from harness.cell.scoring import score
from harness.cell.turns import ALONE
from harness.cell.weights import weights_digest
from harness.cell.weights_file import About, write_weights
from harness.core.checkpoints import read_header
from harness.core.faults import Fault
from harness.core.record import Sitting
from harness.core.settings import Shapes
from harness.core.spec import AMBIENT, Data, Model, Pin, Place, Weights
from harness.core.turns import READY, TURN, TURN_DONE

SILENT = Progress(None)
WEIGHTS = "w.safetensors"
WARMUP, LAPS, SITTINGS = 1, 2, 3
SIZES, BATCHES = [32, 64], [1, 2]
PICTURES = 7
TURNS = WARMUP + LAPS + 1
"""Of a process: its laps, and one for peak memory."""
SETTINGS = {
    "precisions": ["fp32"],
    "sizes": SIZES,
    "batches": BATCHES,
    "laps": LAPS,
    "sittings": SITTINGS,
    "pictures": PICTURES,
}
KINDS = [(size, batch) for size in SIZES for batch in BATCHES]
LONG, WAITING = 1e3, 1e6
"""Seconds, so many that no machine is busy enough to blur them."""
NEAR = {"abs": 1e2, "rel": 0}


@pytest.fixture(scope="module")
def index_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inference") / "set"
    make_shapes(folder, Shapes(images=4, validation=10, size=64))
    return folder / "index.json"


@pytest.fixture(scope="module")
def served(spec, index_file):
    """The small detector, served in whatever interpreter runs these tests, with the weights of a seed."""
    torch.set_num_threads(1)
    index = read_index(index_file)
    spec = msgspec.structs.replace(spec, model=Model("small", "tests.cell.small_detector"))
    network = make_network(spec, len(index.classes))
    write_weights(index_file.with_name(WEIGHTS), network.state_dict(), About("small", tuple(index.classes)))
    return msgspec.structs.replace(
        spec,
        weights=Weights("small", weights_digest(network)),
        case="inference",
        pin=Pin(AMBIENT, None, None, None, None),
        data=Data(name=index.name, digest=index.digest),
        train=msgspec.structs.replace(spec.train, workers=0, warmup_batches=WARMUP),
        settings=SETTINGS,
    )


@pytest.fixture
def conductor(monkeypatch):
    """Stands for standard input: gives every turn that is asked for, after doing something else."""
    made = SimpleNamespace(given=0, meanwhile=lambda: None)

    def readline():
        made.meanwhile()
        made.given += 1
        return TURN

    made.buffer = SimpleNamespace(readline=readline)
    monkeypatch.setattr(sys, "stdin", made)
    return made


@pytest.fixture
def clock(monkeypatch):
    """The clock of this process, which goes on when it is told to besides."""
    made = SimpleNamespace(ahead=0.0)
    real = time.perf_counter
    monkeypatch.setattr(time, "perf_counter", lambda: real() + made.ahead)
    return made


@pytest.fixture
def part_of(served, index_file, run_of, tmp_path):
    """The run of one part, as the process gets it that does it."""

    def made(part=0, seats=2, progress=SILENT, **changed):
        spec = msgspec.structs.replace(served, **changed)
        left = [str(tmp_path / f"{number}.checkpoint") for number in (part, part + 1)]
        place = Place(f"sitting {part}", seat=part % 2, seats=seats, leave=left[1], source=left[0] if part else "")
        weights = str(index_file.with_name(WEIGHTS))
        return run_of(spec, index_file, tmp_path / "0.part", progress=progress, place=place, weights=weights)

    return made


@pytest.fixture
def measured_by(part_of, conductor):
    """What each of the processes of a run hands back."""

    def measured(**changed):
        return [measure(part_of(part, **changed)) for part in range(SITTINGS)]

    return measured


@pytest.fixture
def server_of(part_of, conductor):
    """One process at work, which has done nothing yet."""
    return lambda **changed: Server(part_of(**changed))


def samples_of(measured, name):
    """The metrics of that name by size and batch."""
    found = [metric for metric in measured.metrics if metric.name == name]
    return {(metric.at["size"], metric.at.get("batch")): metric for metric in found}


def test_a_lap_is_a_turn_and_so_are_the_peaks_of_a_process_and_the_accuracy_of_a_run(part_of, conductor):
    for part in range(SITTINGS - 1):
        assert measure(part_of(part)) is None
        assert conductor.given == TURNS * (part + 1)
    assert measure(part_of(SITTINGS - 1)) is not None
    assert conductor.given == TURNS * SITTINGS + 1


def test_the_conductor_hears_that_it_is_ready_and_then_of_every_turn_but_the_last(part_of, conductor):
    reading, writing = os.pipe()
    measure(part_of(progress=Progress(writing)))
    os.close(writing)
    with os.fdopen(reading) as lines:
        phases = [json.loads(line)["phase"] for line in lines]
    assert [phase for phase in phases if phase != "detecting"] == [READY, *[TURN_DONE] * (TURNS - 1)]


def test_every_lap_is_a_sample_at_every_combination_and_the_start_of_every_process_is_apart(measured_by):
    *left, measured = measured_by()
    assert left == [None] * (SITTINGS - 1)
    assert measured.sittings == [Sitting(f"sitting {part}", part % 2, LAPS) for part in range(SITTINGS)]
    for name in ("network_time", "prepare_time", "suppression_time", "latency", "throughput"):
        found = samples_of(measured, name)
        assert [*found] == KINDS
        assert {len(one.samples) for one in found.values()} == {LAPS * SITTINGS}
        assert {len(one.warmup) for one in found.values()} == {WARMUP * SITTINGS}
    for name in ("latency_p95", "inference_memory"):
        assert {len(one.samples) for one in samples_of(measured, name).values()} == {SITTINGS}
    assert [*samples_of(measured, "deployed_map50")] == [(size, None) for size in SIZES]
    assert measured.not_measured == {}


def test_a_process_leaves_what_all_have_measured_and_says_how_many_they_were(measured_by, served, tmp_path):
    measured_by()
    headers = [read_header(tmp_path / f"{part}.checkpoint") for part in range(1, SITTINGS)]
    assert [(header.run, header.epoch, header.step) for header in headers] == [
        (served.identity(), part, 0) for part in range(1, SITTINGS)
    ]
    assert not (tmp_path / f"{SITTINGS}.checkpoint").exists()


def test_what_another_run_has_left_is_refused_and_so_is_what_is_torn(part_of, conductor, tmp_path):
    measure(part_of())
    with pytest.raises(CheckpointError, match="is of another run"):
        measure(part_of(1, seed=3))
    left = tmp_path / "1.checkpoint"
    left.write_bytes(left.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="is not what was written"):
        measure(part_of(1))


def test_the_time_of_waiting_is_in_nothing(measured_by, conductor, clock):
    def wait():
        clock.ahead += WAITING

    conductor.meanwhile = wait
    *_, measured = measured_by()
    for name in ("network_time", "prepare_time", "suppression_time", "latency", "latency_p95"):
        for metric in samples_of(measured, name).values():
            assert max(metric.samples + metric.warmup) < LONG
    assert measured.measuring < LONG


def test_preparing_network_and_suppression_are_timed_apart_and_are_the_latency_together(server_of, clock, monkeypatch):
    server = server_of()

    def longer(work, seconds):
        def slow(*arguments):
            clock.ahead += seconds
            return work(*arguments)

        return slow

    monkeypatch.setattr(deployment, "letterboxes", longer(deployment.letterboxes, LONG))
    network = server.deployment.networks["fp32"]
    monkeypatch.setattr(network, "forward", longer(network.forward, 2 * LONG))
    monkeypatch.setattr(server.deployment.model, "detections", longer(server.deployment.model.detections, 4 * LONG))
    seconds = server.detect({"precision": "fp32", "size": 32, "batch": 2}, 0)
    assert [*seconds] == [pytest.approx(times * LONG, **NEAR) for times in (1, 2, 4)]
    assert seconds.latency == pytest.approx(7 * LONG, **NEAR)


def test_pictures_a_second_and_percentiles_follow_from_the_laps(server_of, measured_for, served):
    server = server_of()
    laps = [Seconds(9.0, 9.0, 9.0), Seconds(0.1, 0.2, 0.1), Seconds(0.1, 0.5, 0.2)]  # the first is warm-up
    server.taken = Taken([Sitting("a", 0, 3), Sitting("b", 1, 3)], {})
    for size, batch in KINDS:
        server.taken.seconds[f"[precision=fp32,size={size},batch={batch}]"] = [*laps, *laps]
    measured = measured_for("inference", served)
    server.keep_times(measured)
    assert samples_of(measured, "network_time")[64, 2].samples == [0.2, 0.5, 0.2, 0.5]
    assert samples_of(measured, "network_time")[64, 2].warmup == [9.0, 9.0]
    assert samples_of(measured, "latency")[64, 2].samples == pytest.approx([0.4, 0.8, 0.4, 0.8])
    assert samples_of(measured, "throughput")[64, 2].samples == pytest.approx([5.0, 2.5, 5.0, 2.5])
    assert samples_of(measured, "latency_p95")[64, 2].samples == pytest.approx([0.78, 0.78])
    assert measured.sittings == [Sitting("a", 0, 2), Sitting("b", 1, 2)]


def test_laps_go_through_the_pictures_and_begin_again_alike_for_every_pin(index_file):
    items = read_index(index_file).val
    orders = [batch_of(items, number, 64, 4) for number in range(3)]
    assert [[items.index(item) for item in order.items] for order in orders] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9, 0, 1],
    ]


def test_a_later_process_goes_on_where_the_pictures_of_the_one_before_it_ended(part_of, conductor, monkeypatch):
    seen = []

    def spy(self, at, number):
        seen.append(number)
        return Seconds(1.0, 1.0, 1.0)

    monkeypatch.setattr(Server, "detect", spy)
    for part in range(2):
        measure(part_of(part))
    numbers = [number for number in seen if number]  # those of the peaks are 0
    assert sorted(set(numbers)) == list(range(1, 2 * (WARMUP + LAPS)))


def test_a_batch_of_more_pixels_takes_more_memory_than_one_of_few(server_of):
    server = server_of(settings={**SETTINGS, "sizes": [32, 256], "batches": [4]})
    server.take_peaks()
    few, many = (peaks[0] for peaks in server.taken.peaks.values())
    first_layer = 4 * 32 * 128 * 128 * 4  # bytes of what it puts out for the larger ones
    assert many - few > first_layer / 2


def test_what_is_found_is_what_the_evaluation_of_a_training_finds_with_the_same_weights(server_of, served):
    server = server_of()
    found = {at["size"]: rows for at, rows in server.detections(StreamDigest())}
    network = make_network(served, len(server.run.data.classes))
    for size in SIZES:
        with EvaluationBatches(server.items, size, 2) as batches:
            rows = detect(load_model(served.model), network, batches, torch.device("cpu"), False, SILENT)
        assert len(rows)
        assert np.array_equal(found[size], rows)


def test_the_accuracy_is_that_of_so_many_pictures_or_of_all_of_them(measured_by, server_of):
    assert [len(server_of(settings={**SETTINGS, "pictures": most}).items) for most in (7, 0, 99)] == [7, 10, 10]
    *_, measured = measured_by()
    server = server_of()
    found = {at["size"]: rows for at, rows in server.detections(StreamDigest())}
    for (size, _), metric in samples_of(measured, "deployed_map50").items():
        assert metric.samples == [score(server.items, server.run.data.classes, found[size]).map50]
    assert {name: len(values) for name, values in measured.series.items()} == {
        f"map50_of_halves:fp32, {size}": DRAWS for size in SIZES
    }
    (detections,) = measured.fingerprints
    assert detections.places == [f"fp32, {size}" for size in SIZES]


def test_a_half_has_half_of_the_pictures_with_what_was_found_in_them_under_their_new_numbers():
    items = [f"picture {number}" for number in range(1, 6)]
    found = np.array([[number, 0, 0, 1, 1, 0.9, label] for number in range(1, 6) for label in range(number)], float)
    drawn = [*halves_of(items, found)]
    assert len(drawn) == DRAWS
    for chosen, rows in drawn:
        assert len(set(chosen)) == 2
        numbers = [int(name.split()[1]) for name in chosen]
        assert [int((rows[:, 0] == place).sum()) for place in (1, 2)] == numbers
    assert len({tuple(chosen) for chosen, _ in drawn}) > 3
    assert [chosen for chosen, _ in halves_of(items, found[:0])] == [chosen for chosen, _ in drawn]
    assert [*halves_of(items[:1], found[:1])] == []


def test_half_precision_is_left_out_on_a_cpu_and_said_so(measured_by):
    *_, measured = measured_by(settings={**SETTINGS, "precisions": ["fp32", "fp16"]})
    halves = {key: why for key, why in measured.not_measured.items() if "fp16" in key}
    assert set(halves.values()) == {ON_GPU_ONLY}
    assert len(halves) == len(KINDS) * 7 + len(SIZES) * 2
    assert {metric.at["precision"] for metric in measured.metrics} == {"fp32"}


def test_a_planted_slowness_is_in_the_time_of_the_network(server_of, monkeypatch):
    server = server_of(fault=Fault("slow", 3.0))
    network = server.deployment.networks["fp32"]
    forward = network.forward

    def slow(images):
        time.sleep(0.02)
        return forward(images)

    monkeypatch.setattr(network, "forward", slow)
    assert server.detect({"precision": "fp32", "size": 32, "batch": 1}, 0).network >= 4 * 0.02


def test_the_control_serves_weights_that_are_one_rounding_away_from_those_it_names(part_of):
    plain, nudged = (deployment_of(part_of(nudged=nudged), ["fp32"]) for nudged in (False, True))
    assert plain.weights == nudged.weights
    pairs = zip(plain.networks["fp32"].parameters(), nudged.networks["fp32"].parameters())
    apart = [(one - other).abs().max().item() for one, other in pairs]
    assert 0 < max(apart) < 1e-6


@pytest.mark.parametrize(("seats", "notes"), [(1, {"network_time": ALONE}), (2, {})])
def test_that_it_had_the_device_to_itself_is_noted(part_of, conductor, seats, notes):
    run = part_of(seats=seats, settings={**SETTINGS, "sittings": 1})
    assert measure(run).notes == notes
