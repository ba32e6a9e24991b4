"""A training that torchrun has several processes share: what belongs to which, and that none outlives the run."""

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import msgspec
import numpy
import psutil
import pytest
import torch
from torch import distributed

from harness.cell.compat import grad_scaler
from harness.cell.data.batches import Batch
from harness.cell.data.index import read_index
from harness.cell.data.shapes import make_shapes
from harness.cell.distributed import Processes, Shared, lower_scale, own_gpu, reserved_port
from harness.cell.errand import STEP, Errand, Errands
from harness.cell.model import Losses, table_of
from harness.cell.progress import Progress
from harness.cell.shares import shares_of
from harness.cell.train import Position, train
from harness.core.files import ROOT
from harness.core.settings import Shapes
from harness.core.spec import AMBIENT, Data, Pin

STARTS = """
import sys, time
from pathlib import Path
import msgspec
from harness.cell.distributed import torchrun
from harness.cell.errand import Errand
scratch = Path(sys.argv[1])
with torchrun(msgspec.json.decode(sys.stdin.buffer.read(), type=Errand), scratch) as child:
    for event in child.events():
        print(event["phase"], flush=True)
"""
"""A run that does nothing but start an errand in several processes and listen to it."""


@pytest.fixture(scope="module")
def index_file(tmp_path_factory):
    """The index of a small data set."""
    folder = tmp_path_factory.mktemp("shapes")
    make_shapes(folder, Shapes(images=8, validation=2, size=64))
    return folder / "index.json"


@pytest.fixture(scope="module")
def tiny(spec, index_file):
    """One epoch of four batches of two pictures, in whatever interpreter runs these tests."""
    torch.set_num_threads(1)
    index = read_index(index_file)
    return msgspec.structs.replace(
        spec,
        pin=Pin(AMBIENT, None, None, None, None),
        data=Data(name=index.name, digest=index.digest),
        train=msgspec.structs.replace(spec.train, epochs=1, batch=2),
    )


@pytest.mark.parametrize("moment", ["starting", "training"])
def test_a_run_that_is_killed_leaves_no_process_and_no_file_but_in_its_scratch_folder(
    tiny, index_file, tmp_path, moment
):
    temporary, scratch = tmp_path / "temporary", tmp_path / "scratch"
    temporary.mkdir()
    scratch.mkdir()
    errand = Errand(tiny, str(index_file), answer=str(scratch / "answer.json"), shares=2)
    variables = {**os.environ, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", STARTS, str(scratch)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
        )
    process.stdin.write(msgspec.json.encode(errand))
    process.stdin.close()
    if moment == "training":
        assert any(line.strip() == STEP.encode() for line in process.stdout)
    started = workers_seen(process.pid, 2)
    if moment == "training":  # stopped, they cannot notice by themselves that the others are gone
        for each in started:
            each.suspend()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert all_end(started)
    assert not (scratch / "answer.json").exists()
    noticed = (tmp_path / "log").read_text().count("The run that this process belongs to is gone.")
    assert noticed == 0 or moment == "starting"  # or else the kernel has ended them
    assert list(temporary.iterdir()) == []


def alive(process):
    """Whether it runs: what is only not yet buried does not."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def all_end(processes):
    """Whether they do, within some seconds: one that is killed takes a moment."""
    deadline = time.monotonic() + 20
    while any(map(alive, processes)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(alive, processes))


def workers_seen(pid, count):
    """All that the process has started, as soon as there are so many workers among it."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        started = psutil.Process(pid).children(recursive=True)
        if len(started) == count + 1:  # and torchrun
            return started
        time.sleep(0.01)
    raise AssertionError("torchrun started no workers")


def test_only_the_first_process_evaluates_keeps_checkpoints_and_tells_how_far_it_is(tiny, index_file, tmp_path):
    def train_as(rank):
        told, writing = os.pipe()
        errand = Errand(tiny, str(index_file), answer="", checkpoint=str(tmp_path / f"{rank}"), every=1, shares=1)
        hook = Errands(errand) if rank == 0 else Follower(errand)
        result = train(tiny, read_index(index_file), Progress(writing), hook)
        os.close(writing)
        with os.fdopen(told, "rb") as events:
            steps = sum(msgspec.json.decode(line)["phase"] == STEP for line in events)
        return len(result.scores), (tmp_path / f"{rank}").exists(), steps

    class Follower(Shared):
        def __init__(self, errand):
            super().__init__(errand, rank=0)

        def begin(self, loop):
            loop.learner.group = Processes(1, 1)
            loop.learner.group.agreed = lambda losses: losses
            return Position(0, 0)

    assert train_as(0) == (1, True, 4)
    assert train_as(1) == (0, False, 0)


def test_shares_are_the_pictures_in_order_each_with_its_own_boxes():
    images = numpy.arange(4 * 3 * 2 * 2, dtype=numpy.uint8).reshape(4, 3, 2, 2)
    targets = numpy.zeros((4, 6), dtype=numpy.float32)
    targets[:, 0] = 0, 2, 3, 3
    targets[:, 2] = 0.1, 0.2, 0.3, 0.4
    first, second = shares_of(Batch(images, targets.copy(), "digest"), 2)
    assert (first.images == images[:2]).all()
    assert (second.images == images[2:]).all()
    assert first.targets[:, [0, 2]].tolist() == targets[:1, [0, 2]].tolist()
    assert second.targets[:, 0].tolist() == [0, 1, 1]
    assert second.targets[:, 2].tolist() == targets[1:, 2].tolist()


def test_every_process_learns_that_a_picture_could_not_be_read():
    unreadable = Batch(numpy.empty((0, 3, 2, 2), "u1"), numpy.empty((0, 6), "f4"), "digest", "a.png is gone")
    assert [share.problem for share in shares_of(unreadable, 3)] == ["a.png is gone"] * 3


def test_a_reserved_port_is_nobody_elses_and_torchs_store_can_still_listen_there():
    with reserved_port() as one, reserved_port() as other:
        assert one != other
        store = distributed.TCPStore("127.0.0.1", one, 1, True)
        store.set("key", "value")
        assert store.get("key") == b"value"


def test_every_rank_has_another_gpu_in_the_place_of_the_one_that_was_asked_for():
    orders = [own_gpu(["4", "5", "6", "7"], 1, rank) for rank in range(4)]
    assert [order[1] for order in orders] == ["5", "6", "7", "4"]
    assert all(sorted(order) == ["4", "5", "6", "7"] for order in orders)


def test_the_loss_scaler_begins_as_much_lower_as_the_loss_is_higher():
    kept = {}
    scaler = SimpleNamespace(state_dict=lambda: {"scale": 65536.0, "growth_factor": 2.0}, load_state_dict=kept.update)
    lower_scale(SimpleNamespace(scaler=scaler), 2)
    assert kept == {"scale": 32768.0, "growth_factor": 2.0}
    plain = grad_scaler(enabled=False)
    lower_scale(SimpleNamespace(scaler=plain), 2)
    assert plain.state_dict() == {}


def test_processes_agree_on_the_means_of_totals_terms_and_what_was_reached(monkeypatch):
    def losses(total, term, reached):
        return Losses(torch.tensor(total), {"place": torch.tensor(term)}, {"boxes": torch.tensor(reached)})

    def other_process(table):
        table += table_of([losses(3.0, 5.0, 7.0)] * 2)

    monkeypatch.setattr(distributed, "all_reduce", other_process)
    first, second = Processes(2, 0).agreed([losses(1.0, 2.0, 0), losses(2.0, 4.0, 1)])
    assert first == (2.0, {"place": 3.5}, {"boxes": 3.5})
    assert second == (2.5, {"place": 4.5}, {"boxes": 4.0})
