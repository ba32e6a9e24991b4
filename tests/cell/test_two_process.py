"""The case `two-process` in this environment's torch: real torchruns, their workers really killed."""

import contextlib
import time
from pathlib import Path
from types import SimpleNamespace

import msgspec
import psutil
import pytest
import torch

from cases.two_process import body
from cases.two_process.body import Sharing, alive, measure, missing_gpus, require_steps
from harness.cell.data.index import read_index
from harness.cell.data.shapes import make_shapes
from harness.cell.distributed import workers_of
from harness.cell.errand import STEP, Answer
from harness.core.errors import UsageError
from harness.core.settings import Shapes
from harness.core.spec import AMBIENT, Data, Pin

SHARED_MEMORY = Path("/dev/shm")
GONE = SimpleNamespace(kill=lambda: None, status=lambda: psutil.STATUS_ZOMBIE)
"""A worker that has ended."""


@pytest.fixture(scope="module")
def index_file(tmp_path_factory):
    """The index of a small data set."""
    folder = tmp_path_factory.mktemp("shapes")
    make_shapes(folder, Shapes(images=16, validation=2, size=64))
    return folder / "index.json"


@pytest.fixture(scope="module")
def tiny(spec, index_file):
    """One epoch of four batches of four pictures, in whatever interpreter runs these tests."""
    torch.set_num_threads(1)
    index = read_index(index_file)
    return msgspec.structs.replace(
        spec,
        case="two-process",
        pin=Pin(AMBIENT, None, None, None, None),
        data=Data(name=index.name, digest=index.digest),
        train=msgspec.structs.replace(spec.train, epochs=1, batch=4),
        settings={"processes": 2, "compared_steps": 3, "allowed": 1e-3, "checkpoint_steps": 1},
    )


@pytest.fixture(scope="module")
def measured(tiny, index_file, run_of, tmp_path_factory):
    """A whole run. It leaves nothing but what it returns: not beside the record, not in the system's folders."""
    record = tmp_path_factory.mktemp("runs") / "0.part"
    temporary = tmp_path_factory.mktemp("temporary")
    shared_memory = set(SHARED_MEMORY.iterdir())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(temporary))
        patch.setenv("OMP_NUM_THREADS", "1")  # as the conductor sets it
        measured = measure(run_of(tiny, index_file, record))
    assert list(record.parent.iterdir()) == []
    assert list(temporary.iterdir()) == []
    assert set(SHARED_MEMORY.iterdir()) <= shared_memory
    return measured


@pytest.fixture
def sharing(tiny, index_file, run_of, tmp_path):
    return Sharing(run_of(tiny, index_file), tmp_path)


@pytest.fixture
def empty(measured_for):
    """A result that holds nothing yet."""
    return measured_for("two-process")


@pytest.fixture
def answer():
    return Answer(
        initial_weights="a", final_weights="b", batch_stream="c", losses=[4.0, 3.0, 2.0, 1.0], map50=[0.5], used=[1.0],
        memory={}, went_on=(0, 0), earlier_steps=0, ready_seconds=1.0, seconds=2.0, norms=[8.0, 8.0, 8.0, 8.0],
    )  # fmt: skip


def found(measured):
    """Of each check its outcome and what was said."""
    return {check.name: (check.outcome, check.said) for check in measured.checks}


def test_two_processes_train_bit_for_bit_as_one_that_is_fed_the_same_shares(measured):
    outcome, said = found(measured)["same"]
    assert outcome == "held"
    assert "in the first 3 steps they differ by 0 at most, 1.0e-03 is allowed; over all 4 steps" in said
    assert measured.series["loss_difference"] == [0.0] * 4
    assert min(measured.series["loss_difference_undivided"]) > 1e-3


def test_a_killed_worker_is_reported_within_seconds_whichever_it_is(measured):
    outcome, said = found(measured)["reported"]
    assert outcome == "held"
    assert "worker 2 killed after step 1: torchrun ended" in said
    assert "worker 1 killed after step 2: torchrun ended" in said
    (metric,) = measured.metrics
    assert (metric.name, metric.unit, len(metric.samples)) == ("death_report_time", "s", 2)
    assert 0 < max(metric.samples) < 30


def test_a_training_whose_workers_were_killed_ends_bit_for_bit_as_one_that_was_not(measured):
    outcome, said = found(measured)["resumed"]
    assert outcome == "held"
    assert said in {f"gone on at epoch 1, step {step}; losses differ by 0 at most" for step in (3, 4)}


def test_a_worker_that_hangs_is_said_to_be_waited_for_and_nothing_of_it_stays(sharing, monkeypatch):
    seen = {}

    def workers(child):
        seen.update(workers_of(child))
        return seen

    monkeypatch.setattr(body, "workers_of", workers)
    monkeypatch.setattr(psutil.Process, "kill", psutil.Process.suspend)  # to the others it is neither there nor gone
    monkeypatch.setattr(body, "PATIENCE", 1)
    death = sharing.death(sharing.errand("hanging", 2), rank=1, after=1)
    assert death == ("worker 2 killed after step 1: torchrun was still waiting 1 s later", None, False)
    assert len(seen) == 2
    deadline = time.monotonic() + 10
    while any(map(alive, seen.values())) and time.monotonic() < deadline:  # a kill takes a moment
        time.sleep(0.02)
    assert not any(map(alive, seen.values()))


def ended(events=(), code=1):
    """In place of torchrun one that tells these events and has ended with this code."""
    process = SimpleNamespace(poll=lambda: code, returncode=code)
    child = SimpleNamespace(events=lambda: iter(events), process=process, end=lambda: f"it ended with exit code {code}")
    return lambda *_: contextlib.nullcontext(child)


@pytest.mark.parametrize(
    ("code", "other", "clear", "said"),
    [
        (1, GONE, True, "with exit code 1"),
        (0, GONE, False, "with exit code 0"),
        (1, psutil.Process(), False, "with exit code 1, and worker 1 was still there"),
    ],
)
def test_a_report_is_clear_if_torchrun_fails_and_no_other_worker_stays(sharing, monkeypatch, code, other, clear, said):
    monkeypatch.setattr(body, "torchrun", ended([{"phase": STEP, "done": 1}], code))
    monkeypatch.setattr(body, "workers_of", lambda _: {0: other, 1: GONE})
    death = sharing.death(sharing.errand("dying", 2), rank=1, after=1)
    assert death.clear == clear
    assert death.said == f"worker 2 killed after step 1: torchrun ended 0.0 s later {said}"


def test_a_training_that_fails_before_the_kill_is_no_report_of_it(sharing, monkeypatch, empty):
    monkeypatch.setattr(body, "torchrun", ended())
    sharing.kill(sharing.errand("dying", 2), 3, empty)
    assert found(empty)["reported"] == (
        "failed",
        "before step 1 it ended with exit code 1; before step 2 it ended with exit code 1",
    )
    assert empty.not_measured == {"death_report_time": "a kill was not reported"}


def test_what_fails_in_the_processes_is_a_failed_check_that_says_how_they_ended(sharing, answer, monkeypatch):
    monkeypatch.setattr(sharing, "alone", lambda *_: answer)
    monkeypatch.setattr(sharing, "together", lambda *_: "it ended with exit code 1, the run's log has why")
    measured = sharing.measured()
    why = "training in 2 processes failed: it ended with exit code 1, the run's log has why"
    assert found(measured)["same"] == ("failed", why)
    assert {found(measured)[name] for name in ("reported", "resumed")} == {("open", "training in 2 processes failed")}
    assert measured.not_measured == {"death_report_time": "training in 2 processes failed"}
    assert measured.hashes.initial_weights == answer.initial_weights


def test_fewer_gpus_than_processes_leave_all_checks_open_and_say_so(sharing, answer, monkeypatch):
    sharing.spec = msgspec.structs.replace(sharing.spec, device="cuda:0")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(sharing, "alone", lambda *_: answer)
    measured = sharing.measured()
    why = "nccl needs a GPU for each of 2 processes, and torch sees 1"
    assert found(measured) == dict.fromkeys(("same", "reported", "resumed"), ("open", why))
    assert measured.not_measured == {"death_report_time": why}
    assert missing_gpus(sharing.spec, 1) == ""


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, "held"),
        ({"losses": [4.0, 3.0, 2.001, 1.5]}, "held"),
        ({"losses": [4.0, 3.0, 2.01, 1.0]}, "failed"),
        ({"norms": [8.1, 8.0, 8.0, 8.0]}, "failed"),
        ({"losses": [4.0, None, 2.0, 1.0]}, "failed"),
        ({"losses": [4.0, 3.0, 2.0]}, "failed"),
    ],
)
def test_losses_and_norms_of_the_first_steps_may_differ_by_what_is_allowed(sharing, answer, changes, outcome, empty):
    sharing.compare(msgspec.structs.replace(answer, **changes), answer, answer, empty)
    assert [check.outcome for check in empty.checks] == [outcome]


def test_losses_of_undivided_batches_are_compared_by_picture_and_their_failure_is_only_said(sharing, answer, empty):
    undivided = msgspec.structs.replace(answer, losses=[2 * loss for loss in answer.losses])
    sharing.compare(answer, answer, undivided, empty)
    assert empty.series["loss_difference_undivided"] == [0.0] * 4
    sharing.compare(answer, answer, "it ended with exit code 1", empty)
    assert [check.outcome for check in empty.checks] == ["held", "held"]
    assert empty.checks[1].said.endswith("training on undivided batches failed: it ended with exit code 1")


def test_a_resumed_training_that_ends_otherwise_fails_only_where_it_can_be_exact(sharing, answer, monkeypatch, empty):
    other = msgspec.structs.replace(answer, losses=[4.0, 3.0, 2.0, 1.5])
    monkeypatch.setattr(sharing, "together", lambda *_: other)
    sharing.resume(None, answer, empty)
    sharing.spec = msgspec.structs.replace(sharing.spec, threads=2)
    sharing.resume(None, answer, empty)
    sharing.resume(None, other, empty)
    assert [check.outcome for check in empty.checks] == ["failed", "open", "held"]
    assert "losses differ by 5.0e-01 at most; only two processes on a CPU" in empty.checks[1].said


def test_a_batch_without_equal_shares_and_a_training_without_checkpoints_are_refused(
    tiny, index_file, run_of, tmp_path
):
    odd = msgspec.structs.replace(tiny, train=msgspec.structs.replace(tiny.train, batch=3))
    with pytest.raises(UsageError, match="A batch of 3 has no equal shares for 2 processes"):
        measure(run_of(odd, index_file, tmp_path / "0.part"))
    with pytest.raises(UsageError, match=r"trains 2 steps and needs 3.*\[profiles\.smoke\.two-process\]"):
        require_steps(2, tiny)
    assert list(tmp_path.iterdir()) == []
