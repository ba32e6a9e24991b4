"""The process of a cell: its label, its refusals, its record."""

import io
import json
import os
import shutil
import subprocess
import sys

import msgspec
import pytest

from harness.cell import __main__ as cell
from harness.cell import label
from harness.cell.data.shapes import make_shapes
from harness.cell.variables import variables_kept
from harness.core.files import ROOT
from harness.core.record import Hashes, read_record, scratch_of
from harness.core.settings import Shapes
from harness.core.spec import AMBIENT, Data, Order, Pin


@pytest.fixture
def ambient(alone_spec):
    """A training by itself in whatever interpreter runs these tests."""
    return msgspec.structs.replace(alone_spec, pin=Pin(AMBIENT, None, None, None, None))


def test_an_unsupported_gpu_gives_a_record_with_the_reason_and_nothing_is_trained(ambient, run_of, monkeypatch):
    monkeypatch.setattr(cell, "unsupported_here", lambda _: "The wheel has no code for sm_90.")
    record = cell.record_of(run_of(ambient, "index.json"))
    assert (record.status, record.reason) == ("unsupported", "The wheel has no code for sm_90.")
    assert record.metrics == []
    assert record.environment.torch


def test_an_environment_that_differs_from_its_lock_is_refused_and_the_difference_named(spec, run_of, monkeypatch):
    monkeypatch.setattr(label, "installed_packages", lambda: {"numpy": "0.1"})
    record = cell.record_of(run_of(spec, "index.json"))
    assert record.status == "failed"
    assert "numpy is 0.1, the lock says 1.26.4" in record.reason


def test_a_data_index_that_is_gone_ends_with_a_sentence_and_exit_code_2(ambient, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(msgspec.json.encode(Order(ambient, "index.json")))))
    monkeypatch.setattr(sys, "argv", ["cell", "--record", str(tmp_path / "0.json")])
    assert cell.main() == 2
    assert "index.json" in capsys.readouterr().err
    assert not (tmp_path / "0.json").exists()


def test_a_picture_that_changed_after_the_check_ends_the_run_with_a_sentence_and_exit_code_2(
    ambient, tmp_path, monkeypatch, capsys
):
    index = make_shapes(tmp_path / "set", Shapes(images=8, validation=4, size=64))
    shutil.copy(index.train[0].path, index.train[1].path)  # as large as before, and can be read
    order = msgspec.json.encode(Order(ambient, str(tmp_path / "set" / "index.json")))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(order)))
    monkeypatch.setattr(sys, "argv", ["cell", "--record", str(tmp_path / "0.json")])
    assert cell.main() == 2
    (said,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert f"The picture {index.train[1].path} has changed since the data set was checked" in said
    assert not (tmp_path / "0.json").exists()


def test_the_ambient_interpreter_runs_a_cell_and_says_that_its_label_was_not_checked(ambient, tmp_path):
    index = make_shapes(tmp_path / "set", Shapes(images=8, validation=4, size=64))
    data = Data(name=index.name, digest=index.digest)
    spec = msgspec.structs.replace(ambient, data=data, train=msgspec.structs.replace(ambient.train, epochs=1))
    reading, writing = os.pipe()
    command = [
        sys.executable,
        "-m",
        "harness.cell",
        "--record",
        str(tmp_path / "0.json"),
        "--progress-fd",
        str(writing),
    ]
    order = Order(spec, str(tmp_path / "set" / "index.json"))
    subprocess.run(command, input=msgspec.json.encode(order), cwd=ROOT, pass_fds=[writing], check=True)
    os.close(writing)
    with os.fdopen(reading) as events:
        phases = [json.loads(line)["phase"] for line in events]
    record = read_record(tmp_path / "0.json")
    assert phases[-1] == "epoch done"
    assert record.status == "ok"
    assert record.identity == spec.identity()
    assert "not checked" in record.environment.label
    assert record.environment.threads == 1
    assert record.data == index.summary
    assert set(record.branches) == {"loss scaler", "suppression"}


def test_a_case_has_a_folder_that_is_gone_afterwards_whatever_happens(spec, run_of, tmp_path):
    run = run_of(spec, "index.json", tmp_path / "0.part")
    with run.scratch() as folder:
        (folder / "file").write_text("")
        assert folder == scratch_of(run.record)
    with pytest.raises(RuntimeError), run.scratch():
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_run_knows_the_python_of_every_peer_whose_environment_was_built(spec, run_of):
    run = run_of(spec, "index.json", interpreters={"1.13.1": "/python"})
    assert run.interpreter_of(spec.pin) == "/python"
    assert run.interpreter_of(msgspec.structs.replace(spec.pin, name="9.9.9")) == ""


def test_what_a_case_has_measured_says_on_which_data_and_of_what_it_does_without_nothing(spec, run_of, tmp_path):
    index = make_shapes(tmp_path / "set", Shapes(images=2, validation=1, size=64))
    run = run_of(spec, tmp_path / "set" / "index.json")
    assert run.measured().hashes == Hashes(index.digest)
    assert run.measured("a", "b").hashes == Hashes(index.digest, "a", "b")
    assert run.measured().spec == spec


def test_what_changes_the_variables_of_the_environment_while_it_is_imported_leaves_them_as_they_were(monkeypatch):
    monkeypatch.setenv("KEPT", "before")
    with variables_kept():
        os.environ["KEPT"] = "after"
        os.environ["LD_LIBRARY_PATH"] = "/somewhere"
    assert os.environ["KEPT"] == "before"
    assert os.environ.get("LD_LIBRARY_PATH") != "/somewhere"
