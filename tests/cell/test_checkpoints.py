"""The case `checkpoints` in this environment's torch: files are really saved, and loaded by processes of their own."""

import os
import pickle
import signal
import sys
import time
import warnings

import numpy as np
import pytest
import torch
from msgspec.structs import replace
from torch import nn

from cases.checkpoints import CASE, Settings, desk
from cases.checkpoints.bench import Bench, Came, Feed, NotHereError, make_optimizer, read_feeds, share, write_feeds
from cases.checkpoints.body import Exchange, measure
from cases.checkpoints.desk import Result, Task, carry_out, in_own_process, in_short
from cases.checkpoints.kinds import KINDS, Kind, largest_scriptable
from harness.cell import compat
from harness.cell.data.index import read_index
from harness.cell.data.shapes import make_shapes
from harness.cell.model import load_model
from harness.cell.progress import Progress
from harness.core.settings import Shapes
from harness.core.spec import AMBIENT, Data, Model, Pin

OTHER = "9.9.9"
MISSING = "9.9.10"
ALLOWED = 1e-2


@pytest.fixture(scope="module")
def index_file(tmp_path_factory):
    """The index of a small data set."""
    folder = tmp_path_factory.mktemp("shapes")
    make_shapes(folder, Shapes(images=4, validation=2, size=64))
    return folder / "index.json"


@pytest.fixture(scope="module")
def own_spec(spec, index_file):
    """A small detector in whatever interpreter runs these tests; of two peers one is built."""
    torch.set_num_threads(1)
    index = read_index(index_file)
    own = Pin(AMBIENT, None, None, None, None)
    other, missing = (Pin(name, name, None, None, None) for name in (OTHER, MISSING))
    return replace(
        spec,
        case="checkpoints",
        pin=own,
        model=Model(name="small", package="tests.cell.small_detector"),
        data=Data(name=index.name, digest=index.digest),
        train=replace(spec.train, epochs=1, batch=2),
        settings={"steps": 2, "allowed": ALLOWED, "patience_seconds": 60},
        peers=[own, other, missing],
    )


@pytest.fixture(scope="module")
def measured(own_spec, index_file, run_of, tmp_path_factory):
    record = tmp_path_factory.mktemp("runs") / "0.part"
    interpreters = {AMBIENT: sys.executable, OTHER: sys.executable}
    measured = measure(run_of(own_spec, index_file, record, interpreters=interpreters))
    assert list(record.parent.iterdir()) == []
    return measured


@pytest.fixture
def exchange(own_spec, index_file, run_of, tmp_path):
    return Exchange(run_of(own_spec, index_file), tmp_path)


@pytest.fixture
def empty(measured_for):
    return measured_for("checkpoints")


@pytest.fixture
def bench(own_spec):
    """A small detector and three batches."""
    random = np.random.RandomState(0)
    targets = np.array([[[0, 4, 4, 40, 40]], [[1, 8, 8, 60, 60]]], dtype=np.float32)
    feeds = [Feed(random.rand(2, 3, 64, 64).astype(np.float32), targets) for _ in range(3)]
    model = load_model(own_spec.model)
    network = model.build(2)
    model.draw(network, 0)
    return Bench(own_spec, model, network, 2, feeds)


@pytest.fixture
def task(own_spec, tmp_path):
    made = dict.fromkeys(("feeds", "folder", "answer"), str(tmp_path))
    return Task(spec=own_spec, classes=2, kinds=[], loads=True, patience=30, **made)


def outcomes(measured, pin):
    return {check.name.partition(":")[0]: check.outcome for check in measured.checks if check.name.endswith(f":{pin}")}


def test_every_kind_that_a_case_declares_is_saved_or_is_loaded_from_anothers_file():
    assert [check.name for check in CASE.checks] == [*KINDS]
    assert all(kind.save or KINDS[kind.of].save for kind in KINDS.values())


@pytest.mark.parametrize("pin", [AMBIENT, OTHER])
def test_a_version_reads_all_that_it_has_saved_and_gets_the_same_bits(measured, pin):
    found = outcomes(measured, pin)
    assert set(found) == set(KINDS)
    must = {"state", "state_legacy", "module_trusted", "sgd", "adam", "adamw", "traced", "scripted"}
    assert {kind: found[kind] for kind in must} == dict.fromkeys(must, "held")
    assert {check.apart for check in measured.checks if check.outcome == "held"} == {0.0}


def test_what_torch_refuses_by_default_fails_and_what_it_does_not_have_is_open(measured, tmp_path):
    found = outcomes(measured, AMBIENT)
    torch.save(nn.Linear(1, 1), tmp_path / "module")
    try:
        expected = "held" if torch.load(tmp_path / "module") else ""
    except pickle.UnpicklingError:
        expected = "failed"
    assert found["state_weights_only"] == ("held" if compat.has_weights_only() else "open")
    assert {found[kind] for kind in ("module", "module_legacy", "checkpoint")} == {expected}
    has_scaler = compat.grad_scaler(enabled=True, device="cpu").is_enabled()
    assert found["scaler"] == ("held" if has_scaler else "open")


def test_a_pin_that_was_not_built_leaves_its_files_open(measured):
    assert set(outcomes(measured, MISSING).values()) == {"open"}
    assert {check.said for check in measured.checks if check.name.endswith(MISSING)} == {
        f"{MISSING} saved none: its environment was not built"
    }


def test_loading_is_timed_once_and_the_branches_of_the_loading_process_are_kept(measured):
    (metric,) = measured.metrics
    assert metric.name == "load_time"
    assert len(metric.samples) == 1
    assert "weights_only" in measured.fields()["branches"]


# --- what comes of a file ------------------------------------------------------------------------------------------


def test_a_state_that_was_lost_or_moved_by_a_step_is_beyond_what_is_allowed(bench, tmp_path):
    KINDS["adam"].save(bench, tmp_path / "adam").write(tmp_path / "kept.npz")
    state = compat.load_file(tmp_path / "adam", "cpu")
    for lost, moved, least in ((False, 0, 0.0), (True, 0, 0.3), (False, 1, 3 * ALLOWED)):
        bench.network.load_state_dict(state["network"])
        optimizer = make_optimizer("adam", bench.network)
        if not lost:
            optimizer.load_state_dict(state["optimizer"])
        for values in optimizer.state.values():
            values["step"] = values["step"] + moved
        apart = bench.next_step(bench.network, optimizer).apart(tmp_path / "kept.npz")
        assert apart["outputs"] == 0
        assert apart["the next step"] >= least
        assert (apart["the next step"] == 0) == (least == 0)


def test_weights_that_were_not_loaded_are_beyond_what_is_allowed(bench, tmp_path):
    KINDS["state"].save(bench, tmp_path / "file").write(tmp_path / "kept.npz")
    bench.model.draw(bench.network, 1)
    assert Came(bench.outputs(bench.network)).apart(tmp_path / "kept.npz")["outputs"] > 10 * ALLOWED


def test_a_share_is_none_where_nothing_can_be_compared_and_0_only_for_equal_bits():
    ones, start = [np.ones(4, np.float32)], [np.zeros(4, np.float32)]
    assert share(ones, ones, start) == 0
    assert share([np.full(4, 1.5, np.float32)], ones, start) == 0.5
    assert share([np.ones(3, np.float32)], ones, start) is None
    assert share([np.full(4, np.nan, np.float32)], ones, start) is None
    assert share(ones, ones, ones) is None
    assert share([], ones, start) is None


def test_feeds_come_back_in_order(bench, tmp_path):
    write_feeds(tmp_path / "feeds.npz", bench.feeds)
    for one, other in zip(read_feeds(tmp_path / "feeds.npz"), bench.feeds):
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.targets, other.targets)


class Starred(nn.Module):
    """What the compiler refuses."""

    def __init__(self) -> None:
        super().__init__()
        self.small, self.large = nn.Linear(4, 4), nn.Linear(4, 40)

    def forward(self, *images):
        return self.large(self.small(*images))


def test_of_a_network_that_cannot_be_compiled_the_largest_part_is_and_it_is_said_why():
    name, scripted, why = largest_scriptable(Starred(), {"", "small", "large"})
    assert name == "large"
    assert scripted(torch.zeros(1, 4)).shape == (1, 40)
    assert "variable number of arguments" in why
    with pytest.raises(NotHereError, match="no part of the network can be compiled"):
        largest_scriptable(Starred(), {""})


# --- what goes wrong -----------------------------------------------------------------------------------------------


def one_kind(monkeypatch, load):
    monkeypatch.setitem(KINDS, "odd", Kind(load, of="odd"))


def test_a_process_that_crashes_hangs_or_raises_is_a_result_of_its_kind_alone(monkeypatch, task, bench):
    def crash(*_):
        os.write(2, b"the last words\nof a library\nan address\n")
        os.kill(os.getpid(), signal.SIGKILL)

    def fail(*_):
        raise ValueError("no such\n  attribute")

    def absent(*_):
        raise NotHereError("not in this version")

    task = replace(task, patience=1)
    found = []
    for load in (crash, lambda *_: time.sleep(30), lambda *_: os._exit(3), fail, absent):
        one_kind(monkeypatch, load)
        found.append(in_own_process(task, bench, "odd"))
    assert [one.failed for one in found] == [
        "it was ended by SIGKILL: the last words of a library",
        "it did not end within 1 s",
        "it ended with exit code 3",
        "ValueError: no such attribute",
        "",
    ]
    assert found[-1].cannot == "not in this version"
    assert not any(one.whole for one in found)


def test_a_long_message_is_told_by_its_first_sentence_and_the_error_that_it_quotes():
    advice = "Do this. Or do that.\n" + "\tAnd think of what it may do. " * 12
    long = f"It failed. \x1b[1mNow listen\x1b[0m.\n{advice}\n\tInner error: no class Thing.\nSee the manual."
    assert in_short(long) == "It failed. Inner error: no class Thing."
    assert in_short("Errors in loading:\n\tMissing keys: a.b") == "Errors in loading: Missing keys: a.b"
    assert len(in_short("x" * 5000)) == 1000


def test_what_is_warned_of_is_kept_once_for_every_kind_also_where_libraries_warn_once(monkeypatch, task, bench):
    def warn(*_):
        for _ in range(2):
            warnings.warn("this is old", stacklevel=1)
        return Came([np.ones((2, 1))])

    one_kind(monkeypatch, warn)
    Came([np.arange(2.0).reshape(2, 1)]).write(desk.file_of(desk.Path(task.folder), "odd").with_suffix(".npz"))
    for _ in range(2):
        result = in_own_process(task, bench, "odd")
        assert result.warnings == ["this is old"]
        assert result.apart["outputs"] > 0


def test_a_file_that_was_loaded_for_the_last_time_is_removed(monkeypatch, task, tmp_path):
    came = Came([np.arange(2.0)])
    monkeypatch.setitem(KINDS, "own", Kind(lambda *_: came))
    monkeypatch.setitem(KINDS, "again", Kind(lambda _, path: came if path.exists() else None, of="own"))
    (tmp_path / "own.pt").touch()
    came.write(tmp_path / "own.npz")
    monkeypatch.setattr(desk, "make_bench", lambda _: Bench(task.spec, None, None, 2, []))
    results = carry_out(replace(task, kinds=["own", "again"]), Progress(None))
    assert [one.failed for one in results] == ["", ""]
    assert not [*tmp_path.glob("own.*")]


@pytest.mark.parametrize(
    ("result", "outcome", "said"),
    [
        (
            Result("sgd", apart={"outputs": 0.0, "the next step": 1.5}),
            "failed",
            "next step: apart by a share of 1.5e+00",
        ),
        (Result("sgd", apart={"outputs": 1e-7, "the next step": 0.0}), "held", "outputs: apart by a share of 1.0e-07"),
        (Result("sgd", apart={"outputs": None}), "failed", "of other shapes, or not finite"),
        (Result("sgd", failed="KeyError: 'lr'"), "failed", "KeyError: 'lr'"),
        (Result("sgd", cannot="not here"), "open", "not here"),
    ],
)
def test_a_file_holds_only_where_it_loads_and_all_that_comes_of_it_is_within_what_is_allowed(
    exchange, empty, result, outcome, said
):
    exchange.judge("sgd:9.9.9", replace(result, warnings=["old"]), empty)
    (check,) = empty.checks
    assert (check.outcome, check.warnings) == (outcome, ["old"])
    assert said in check.said


def test_a_desk_that_cannot_begin_leaves_all_of_its_kinds_open(exchange, task):
    spec = replace(task.spec, pin=Pin("0.0.0", "2.8.0", None, None, "0" * 64))
    results = exchange.ask(replace(task, spec=spec, kinds=["sgd", "adam"]), "saving")
    assert [one.cannot for one in results] == ["it ended with exit code 2, the run's log has why"] * 2


def test_a_file_is_given_up_before_the_run_is(own_spec):
    train = replace(own_spec.train, silence_seconds=60)
    assert "patience_seconds 60 must be below" in Settings(**own_spec.settings).problem(train)
    assert Settings(**{**own_spec.settings, "patience_seconds": 59}).problem(train) is None
