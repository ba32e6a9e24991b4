"""The probes: each comes to the same again, and one that crashes, hangs or fails is a result that ends no other."""

import os
import signal
import subprocess
import sys
import time
import warnings

import msgspec
import psutil
import pytest
import torch
from msgspec.structs import replace

from cases.probes import body, trials
from cases.probes.probing import PROBES, attempt, load, message_of, probe, values_of, warned
from cases.probes.trials import Outcome, try_out
from harness.cell.data.shapes import make_shapes
from harness.core.cases import read_case
from harness.core.record import Fingerprint
from harness.core.settings import Shapes

SECONDS = 60.0


@pytest.fixture(scope="module")
def probes():
    """Every probe by its name."""
    return load()


def tried(file):
    """What comes of every probe, by the command: this process may have gone backward before, and none that is forked
    from it then can."""
    subprocess.run([sys.executable, "-m", "cases.probes.trials", str(file), "--seconds", str(SECONDS)], check=True)
    return msgspec.json.decode(file.read_bytes(), type=dict[str, Outcome])


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What comes of every probe."""
    return tried(tmp_path_factory.mktemp("probes") / "outcomes.json")


def test_what_is_declared_is_what_runs(probes):
    declared = {one.name for one in read_case("probes").fingerprints}
    assert set(probes) == declared
    assert len(declared) >= 40


def test_every_probe_comes_to_the_same_twice(outcomes, tmp_path):
    again = tried(tmp_path / "again.json")
    assert [name for name, one in again.items() if one != outcomes[name]] == []
    assert [name for name, one in outcomes.items() if bool(one.values) == bool(one.unable)] == []


def test_only_what_needs_a_gpu_or_torchvision_cannot_run(outcomes):
    unable = {name: one.unable for name, one in outcomes.items() if one.unable}
    lacking = ("NVIDIA", "CUDA", "torchvision")
    assert {name: why for name, why in unable.items() if not any(word in why for word in lacking)} == {}


def test_no_probe_tells_of_this_machine(outcomes):
    said = {name: str(one) for name, one in outcomes.items()}
    telling = ("/tmp/", "/home/", "site-packages", " at 0x")
    assert {name: text for name, text in said.items() if any(word in text for word in telling)} == {}


def test_a_trial_that_returns_is_its_values_with_what_each_is_of():
    outcome = try_out(lambda: {"a": torch.tensor([1.5, 2.0]), "b": {"c": True, "d": [None, 3]}}, SECONDS)
    assert outcome == Outcome([("a", 1.5), ("a", 2.0), ("b, c", "True"), ("b, d", "None"), ("b, d", 3.0)])


def test_a_trial_that_crashes_is_told_by_its_signal():
    assert try_out(lambda: os.kill(os.getpid(), signal.SIGKILL), SECONDS).unable == "its process was ended by SIGKILL"


def test_a_trial_that_hangs_is_killed_in_time_and_leaves_nothing_behind():
    before = {child.pid for child in psutil.Process().children()}
    began = time.monotonic()
    assert try_out(lambda: time.sleep(600), 0.5).unable == "it did not end within 0.5 seconds"
    assert time.monotonic() - began < 60
    assert {child.pid for child in psutil.Process().children()} == before


def test_a_trial_that_ends_its_process_is_told_by_the_exit_code():
    assert try_out(lambda: os._exit(7), SECONDS).unable == "its process ended with exit code 7"


def test_a_trial_that_raises_or_exits_says_why():
    def missing():
        raise ValueError(
            "no such thing\nin /usr/lib/python3/torch/nn.py at 0x7f00aa (Triggered internally at x.cpp:1.)"
        )

    assert try_out(missing, SECONDS).unable == "ValueError: no such thing in nn.py at"
    assert try_out(lambda: sys.exit(3), SECONDS).unable == "SystemExit: 3"


def test_what_a_trial_changes_is_not_seen_by_the_next():
    def change():
        torch.set_default_dtype(torch.float64)
        return str(torch.get_default_dtype())

    assert try_out(change, SECONDS).values == [("", "torch.float64")]
    assert try_out(lambda: str(torch.get_default_dtype()), SECONDS).values == [("", "torch.float32")]


def test_a_trial_runs_on_one_thread():
    assert try_out(torch.get_num_threads, SECONDS).values == [("", 1.0)]


def test_a_value_longer_than_a_pipe_holds_is_whole():
    assert try_out(lambda: "x" * 1_000_000, SECONDS).values == [("", "x" * 1_000_000)]


def test_an_attempt_is_the_result_or_the_name_of_the_exception_where_kinds_of_runtime_error_are_one():
    def fail(kind):
        raise kind

    assert attempt(lambda number: number + 1, 2) == 3
    assert attempt(fail, TypeError) == "raises TypeError"
    assert attempt(fail, NotImplementedError) == "raises RuntimeError"


def test_warnings_are_told_by_their_categories_each_once_and_with_the_exception_after_them():
    def warn():
        for kind in (UserWarning, FutureWarning, UserWarning):
            warnings.warn("soon", kind, stacklevel=1)
        raise TypeError

    assert warned(lambda: None) == "none"
    assert warned(warn) == "UserWarning, FutureWarning, raises TypeError"


def test_an_exception_without_words_is_its_name():
    assert message_of(KeyError()) == "KeyError"


def test_numbers_are_floats_and_all_else_is_text():
    assert [*values_of([1, 2.5, True, None, torch.float32])] == [
        ("", 1.0),
        ("", 2.5),
        ("", "True"),
        ("", "None"),
        ("", "torch.float32"),
    ]


def test_two_probes_of_one_name_are_refused(probes):
    name = next(iter(PROBES))
    with pytest.raises(ValueError, match=f"two probes '{name}'"):
        probe(why="", means="")(probes[name])


@pytest.fixture
def run(spec, run_of, tmp_path):
    """A run of the case."""
    make_shapes(tmp_path / "set", Shapes(images=1, validation=1, size=32))
    spec = replace(spec, case="probes", settings=None)
    return run_of(spec, tmp_path / "set" / "index.json", tmp_path / "0.part")


def test_a_run_keeps_of_each_probe_the_values_or_why_there_are_none(run, monkeypatch):
    ties, policy = Outcome([("argmax", 0.0), ("argmax", float("nan"))]), Outcome(unable="no such thing")
    monkeypatch.setattr(body, "outcomes_of", lambda *_: {"ties": ties, "scaler_policy": policy})
    measured = body.measure(run)
    assert measured.fingerprints == [
        Fingerprint("ties", [0.0, None], ["argmax", "argmax"]),
        Fingerprint("scaler_policy", [], unable="no such thing"),
    ]
    assert [metric.name for metric in measured.metrics] == ["probing_time"]


def test_a_process_that_ends_before_all_are_tried_fails_the_run(run, tmp_path, monkeypatch):
    monkeypatch.setattr(body, "SECONDS", "no number")
    with pytest.raises(RuntimeError, match="did not end well: it ended with exit code 2"):
        body.outcomes_of(run, tmp_path / "outcomes.json")


def test_the_command_writes_what_came_of_every_probe(tmp_path, monkeypatch):
    monkeypatch.setattr(trials, "load", lambda: {"one": lambda: 1, "other": lambda: 1 / 0})
    monkeypatch.setattr("sys.argv", ["trials", str(tmp_path / "out.json"), "--seconds", "60"])
    assert trials.main() == 0
    text = (tmp_path / "out.json").read_text(encoding="utf-8")
    assert "ZeroDivisionError: division by zero" in text
