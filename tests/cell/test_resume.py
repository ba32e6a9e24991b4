"""The case `resume` in this environment's torch: real trainings, really killed."""

import os
import shutil
import signal
import subprocess
import sys
import time

import msgspec
import numpy as np
import psutil
import pytest
import torch

from cases.resume import body
from cases.resume.body import Ending, Resumption, measure
from harness.cell.checkpoint import CheckpointError
from harness.cell.children import Child
from harness.cell.data.index import read_index
from harness.cell.data.shapes import make_shapes
from harness.cell.errand import Answer
from harness.core.errors import UsageError
from harness.core.files import ROOT
from harness.core.record import scratch_of
from harness.core.settings import Shapes
from harness.core.spec import AMBIENT, Data, Order, Pin

ACROSS = "exchanged:9.9.9"
INTERPRETERS = {AMBIENT: sys.executable, "9.9.9": sys.executable}


@pytest.fixture(scope="module")
def index_file(tmp_path_factory):
    """The index of a small data set."""
    folder = tmp_path_factory.mktemp("shapes")
    make_shapes(folder, Shapes(images=8, validation=2, size=64))
    return folder / "index.json"


@pytest.fixture(scope="module")
def tiny(spec, index_file):
    """One epoch of eight batches of one picture, in whatever interpreter runs these tests; one peer is built."""
    torch.set_num_threads(1)
    index = read_index(index_file)
    own = Pin(AMBIENT, None, None, None, None)
    other, missing = (Pin(name, name, None, None, None) for name in ("9.9.9", "9.9.10"))
    return msgspec.structs.replace(
        spec,
        case="resume",
        pin=own,
        data=Data(name=index.name, digest=index.digest),
        train=msgspec.structs.replace(spec.train, epochs=1, batch=1),
        settings={"kills": 1, "kills_while_writing": 1, "kill_epochs": 1, "checkpoint_steps": 2},
        peers=[own, other, missing],
    )


@pytest.fixture(scope="module")
def measured(tiny, index_file, run_of, tmp_path_factory):
    record = tmp_path_factory.mktemp("runs") / "0.part"
    measured = measure(run_of(tiny, index_file, record, interpreters=INTERPRETERS))
    assert list(record.parent.iterdir()) == []
    return measured


@pytest.fixture
def trainings(tiny, index_file, run_of, tmp_path):
    return Resumption(run_of(tiny, index_file, interpreters=INTERPRETERS), tmp_path)


@pytest.fixture
def empty(measured_for):
    """A result that holds nothing yet."""
    return measured_for("resume")


@pytest.fixture
def whole():
    return Answer(
        initial_weights="a", final_weights="b", batch_stream="c", losses=[3.0, 2.0], map50=[0.5], used=[100.0],
        memory={}, went_on=(0, 1), earlier_steps=1, ready_seconds=1.0, seconds=2.0,
    )  # fmt: skip


def outcomes(measured):
    return {check.name: check.outcome for check in measured.checks}


def test_trainings_that_are_killed_end_bit_for_bit_as_one_that_is_not(measured):
    found = outcomes(measured)
    assert (found["killed"], found["torn"], found["second_process"]) == ("held", "held", "held")
    said = {check.name: check.said for check in measured.checks}
    assert said["killed"].startswith("1 of 1 equal; ready to go on after ")
    assert "differs by more than 0.0e+00" in said["second_process"]


def test_a_checkpoint_of_another_pin_goes_on_and_one_of_a_pin_that_was_not_built_is_open(measured):
    found = outcomes(measured)
    assert found[ACROSS] == found[ACROSS.replace("9.9.9", AMBIENT)] == "held"
    assert found[ACROSS.replace("9.9.9", "9.9.10")] == "open"


def test_the_time_and_the_memory_of_resuming_are_measured_for_every_kill(measured):
    samples = {metric.name: metric.samples for metric in measured.metrics}
    assert len(samples["resume_time"]) == len(samples["resumed_memory"]) == 2
    assert 0.5 < samples["resumed_memory"][0] < 3
    assert min(samples["resume_time"]) > 0


def test_a_resumed_training_that_ends_otherwise_fails_and_says_how_far_apart(trainings, whole, monkeypatch, empty):
    other = msgspec.structs.replace(whole, final_weights="x", losses=[3.0, 2.5], went_on=(0, 1))
    monkeypatch.setattr(trainings, "ask", lambda *_: other)
    trainings.judge(empty, "killed", [trainings.resumed(trainings.killable("killed"), whole, "step 1.5")])
    (check,) = empty.checks
    assert check.outcome == "failed"
    assert "0 of 1 equal" in check.said
    assert "killed at step 1.5, gone on at epoch 1, step 2: losses differ by up to 5.0e-01" in check.said


def test_where_two_trainings_need_not_be_alike_a_difference_is_open_and_a_failure_is_not(
    trainings, whole, monkeypatch, empty
):
    trainings.exact = False
    answers = iter([msgspec.structs.replace(whole, final_weights="x"), "it ended with exit code 1"])
    monkeypatch.setattr(trainings, "ask", lambda *_: next(answers))
    for _ in range(2):
        trainings.judge(empty, "killed", [trainings.resumed(trainings.killable("killed"), whole, "step 1")])
    assert [check.outcome for check in empty.checks] == ["open", "failed"]
    assert "only on a CPU with one thread" in empty.checks[0].said


def test_kills_that_never_strike_a_checkpoint_in_writing_leave_the_check_open(trainings, whole, monkeypatch, empty):
    monkeypatch.setattr(trainings, "strike_writing", lambda *_: (False, ""))
    monkeypatch.setattr(body, "start", lambda _: Child([shutil.which("true")]))
    trainings.kill_while_writing(msgspec.structs.replace(whole, losses=[1.0] * 8), empty)
    (check,) = empty.checks
    assert check.outcome == "open"
    assert "1 kill came too late" in check.said


@pytest.mark.parametrize("exact", [True, False])
def test_a_kill_that_came_too_late_hides_no_other_that_failed(trainings, exact, empty):
    trainings.exact = exact
    trainings.judge(empty, "torn", [Ending("a checkpoint is torn", broken=True), Ending()], missed=1)
    (check,) = empty.checks
    assert check.outcome == "failed"
    assert "1 of 2 equal" in check.said
    assert "a checkpoint is torn; 1 kill came too late" in check.said


def test_a_training_that_ends_by_itself_is_no_kill_that_was_survived(trainings, whole, monkeypatch, empty):
    monkeypatch.setattr(body, "start", lambda _: Child([shutil.which("false")]))
    whole = msgspec.structs.replace(whole, losses=[1.0] * 8)
    for kill in (trainings.kill_at_random, trainings.kill_while_writing):
        empty.checks.clear()
        kill(whole, empty)
        (check,) = empty.checks
        assert check.outcome == "failed"
        assert "it ended with exit code 1" in check.said


def test_a_training_that_begins_anew_after_a_kill_was_not_resumed(trainings, whole, monkeypatch):
    monkeypatch.setattr(trainings, "ask", lambda *_: msgspec.structs.replace(whole, earlier_steps=0))
    ending = trainings.resumed(trainings.killable("killed"), whole, "step 1")
    assert ending.broken
    assert "began anew" in ending.said
    assert trainings.ready == []


def test_a_step_of_the_pin_that_wrote_a_checkpoint_is_not_laid_to_the_one_that_goes_on(
    trainings, whole, monkeypatch, empty
):
    spoilt = msgspec.structs.replace(whole, losses=[None, 2.0])
    monkeypatch.setattr(trainings, "write_half", lambda _: spoilt)
    monkeypatch.setattr(trainings, "ask", lambda *_: spoilt)
    monkeypatch.setattr(body, "read_weights", lambda _: np.zeros(1))
    trainings.exchange(empty)
    assert outcomes(empty)[ACROSS] == "held"


def test_a_checkpoint_that_a_kill_has_torn_fails_the_check(trainings, whole, monkeypatch, empty):
    def torn(path):
        raise CheckpointError(f"{path} is torn")

    monkeypatch.setattr(trainings, "strike_writing", lambda *_: (True, ""))
    monkeypatch.setattr(body, "start", lambda _: Child([shutil.which("true")]))
    monkeypatch.setattr(body, "read_checkpoint", torn)
    trainings.kill_while_writing(msgspec.structs.replace(whole, losses=[1.0] * 8), empty)
    (check,) = empty.checks
    assert (check.name, check.outcome) == ("torn", "failed")
    assert "is torn" in check.said


def test_trainings_too_short_to_be_killed_are_refused_with_what_to_do(tiny, whole):
    with pytest.raises(UsageError, match=r"2 steps, with a checkpoint every 2.*\[profiles\.smoke\.resume\]"):
        body.require_steps(whole, tiny)


def test_a_run_that_is_killed_leaves_no_process(tiny, index_file, tmp_path):
    command = [sys.executable, "-m", "harness.cell", "--record", str(tmp_path / "0.part")]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    process.stdin.write(msgspec.json.encode(Order(tiny, str(index_file))) + b"\n")
    process.stdin.close()
    deadline = time.monotonic() + 60
    while not (children := psutil.Process(process.pid).children(recursive=True)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert children
    time.sleep(0.5)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []
    assert scratch_of(tmp_path / "0.part").exists()  # the conductor removes it
