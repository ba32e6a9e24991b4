"""The process of a cell: its label, its refusals, its record."""

import io
import json
import os
import subprocess
import sys

import msgspec
import pytest

from harness.cell import __main__ as cell
from harness.cell import preflight
from harness.cell.data.shapes import make_shapes
from harness.core.files import ROOT
from harness.core.record import read_record
from harness.core.settings import Shapes
from harness.core.spec import AMBIENT, Data, Pin


@pytest.fixture
def ambient(spec):
    """The spec for whatever interpreter runs these tests."""
    return msgspec.structs.replace(spec, pin=Pin(AMBIENT, None, None, None, None))


def test_an_unsupported_gpu_gives_a_record_with_the_reason_and_nothing_is_trained(ambient, tmp_path, monkeypatch):
    monkeypatch.setattr(cell, "unsupported_here", lambda _: "The wheel has no code for sm_90.")
    record = cell.run(ambient, None, tmp_path / "0.json")
    assert (record.status, record.reason) == ("unsupported", "The wheel has no code for sm_90.")
    assert record.metrics == []
    assert record.environment.torch


def test_an_environment_that_differs_from_its_lock_is_refused_and_the_difference_named(spec, tmp_path, monkeypatch):
    monkeypatch.setattr(preflight, "installed_packages", lambda: {"numpy": "0.1"})
    record = cell.run(spec, None, tmp_path / "0.json")
    assert record.status == "failed"
    assert "numpy is 0.1, the lock says 1.26.4" in record.reason


def test_a_data_index_that_is_gone_ends_with_a_sentence_and_exit_code_2(ambient, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(msgspec.json.encode(ambient))))
    monkeypatch.setattr(sys, "argv", ["cell", "--record", str(tmp_path / "0.json")])
    assert cell.main() == 2
    assert "index.json" in capsys.readouterr().err
    assert not (tmp_path / "0.json").exists()


def test_the_ambient_interpreter_runs_a_cell_and_says_that_its_label_was_not_checked(ambient, tmp_path):
    index = make_shapes(tmp_path / "set", Shapes(images=8, validation=4, size=64))
    data = Data(name=index.name, digest=index.digest, index=str(tmp_path / "set" / "index.json"))
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
    subprocess.run(command, input=msgspec.json.encode(spec), cwd=ROOT, pass_fds=[writing], check=True)
    os.close(writing)
    with os.fdopen(reading) as events:
        phases = [json.loads(line)["phase"] for line in events]
    record = read_record(tmp_path / "0.json")
    assert phases[-1] == "epoch done"
    assert record.status == "ok"
    assert record.identity == spec.identity()
    assert "not checked" in record.environment.label
    assert record.environment.threads == 1
    assert set(record.branches) == {"loss scaler", "suppression"}
