"""What is kept, what is done again, and what is recorded when there is nothing to run with."""

import shutil
from collections import namedtuple
from pathlib import Path

import msgspec
import pytest

from harness.conduct import rounds
from harness.conduct.board import PlainBoard
from harness.conduct.launch import Outcome
from harness.conduct.rounds import do_rounds
from harness.core.errors import UsageError
from harness.core.plan import PLAN_FILE, SCHEMA, Plan, read_plan
from harness.core.record import Record, read_record, record_path, write_record
from harness.core.spec import Data


class Silent:
    """A console that prints nothing."""

    def print(self, *_, **__):
        pass


@pytest.fixture
def plan(spec, matrix):
    pins = [msgspec.structs.replace(spec.pin, name=name) for name in ("1.10.0", "1.13.1")]
    runs = [msgspec.structs.replace(spec, pin=pin, data=Data("", "", "")) for pin in pins]
    return Plan(
        schema=SCHEMA, name="x", machine="cpu", reason="", profile="smoke", rounds=1, pins=pins, cases=["train"],
        data=None, shapes=matrix.profiles["smoke"].shapes, runs=runs,
    )  # fmt: skip


@pytest.fixture
def stage(monkeypatch, tmp_path, plan):
    """Rounds in which no process is started: each run writes the record that it is told to."""

    class Stage:
        started: list[str] = []
        ends = Outcome(0, None, None)
        built = {"1.10.0", "1.13.1"}
        on_start = staticmethod(lambda: True)
        seen: list[bool] = []

        def run(self, made=plan):
            self.started, self.seen = [], []
            with PlainBoard(made.runs, Silent()) as board:
                do_rounds(tmp_path, made, board)
            return {spec.pin.name: read_record(record_path(tmp_path, spec)) for spec in made.runs}

    stage = Stage()

    def run_process(command, *, stdin, **_):
        spec = msgspec.json.decode(stdin, type=type(plan.runs[0]))
        stage.started.append(spec.pin.name)
        stage.seen.append(stage.on_start())
        if stage.ends.good:
            times = {"started": "2026-01-01", "ended": "2026-01-01"}
            done = Record(schema=1, spec=spec, identity=spec.identity(), status="ok", **times)
            write_record(Path(command[-1]), done)
        return stage.ends

    monkeypatch.setattr(rounds, "run_process", run_process)
    monkeypatch.setattr(rounds, "prepare_data", lambda *_: Data("shapes", "digest", "index.json"))
    monkeypatch.setattr(rounds, "interpreter_of", lambda pin: Path("python") if pin.name in stage.built else None)
    return stage


def test_every_planned_run_is_done_and_the_plan_then_names_the_data(stage, tmp_path):
    records = stage.run()
    assert stage.started == ["1.10.0", "1.13.1"]
    assert {record.status for record in records.values()} == {"ok"}
    assert {spec.data.digest for spec in read_plan(tmp_path / PLAN_FILE).runs} == {"digest"}


def test_a_valid_record_is_kept(stage):
    first = stage.run()
    assert stage.run() == first
    assert stage.started == []


def test_a_record_of_another_spec_is_stale_and_done_again(stage, plan):
    stage.run()
    other = [msgspec.structs.replace(spec, harness="changed code") for spec in plan.runs]
    stage.run(msgspec.structs.replace(plan, runs=other))
    assert stage.started == ["1.10.0", "1.13.1"]


def test_a_failed_record_is_done_again(stage):
    stage.ends = Outcome(1, None, None)
    assert {record.status for record in stage.run().values()} == {"failed"}
    stage.ends = Outcome(0, None, None)
    assert {record.status for record in stage.run().values()} == {"ok"}
    assert stage.started == ["1.10.0", "1.13.1"]


def test_fresh_does_again_what_is_valid_and_keeps_the_old_record_until_there_is_a_new_one(stage, plan, tmp_path):
    stage.run()
    old = record_path(tmp_path, plan.runs[0]).read_bytes()
    fresh = msgspec.structs.replace(plan, fresh=True)
    stage.on_start = lambda: record_path(tmp_path, plan.runs[0]).read_bytes() == old
    stage.run(fresh)
    assert stage.started == ["1.10.0", "1.13.1"]
    assert stage.seen[0]


def test_a_record_that_cannot_be_read_is_found_before_the_first_run(stage, plan, tmp_path):
    path = record_path(tmp_path, plan.runs[1])
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    with pytest.raises(UsageError, match=r"0\.json is not a whole record"):
        stage.run()
    assert stage.started == []


def test_data_that_cannot_be_used_leave_the_last_plan_and_its_records_alone(stage, plan, tmp_path, monkeypatch):
    before = stage.run()

    def refuse(*_):
        raise UsageError("bad data")

    monkeypatch.setattr(rounds, "prepare_data", refuse)
    with pytest.raises(UsageError, match="bad data"):
        stage.run(msgspec.structs.replace(plan, fresh=True))
    assert {spec.data.digest for spec in read_plan(tmp_path / PLAN_FILE).runs} == {"digest"}
    assert read_record(record_path(tmp_path, plan.runs[0])) == before["1.10.0"]


def test_a_pin_without_environment_fails_with_the_reason_and_the_others_go_on(stage):
    stage.built = {"1.13.1"}
    records = stage.run()
    assert (records["1.10.0"].status, records["1.13.1"].status) == ("failed", "ok")
    assert "nox -s pin-1.10.0" in records["1.10.0"].reason


def test_a_process_that_ends_well_without_a_record_is_a_failure(stage, monkeypatch):
    monkeypatch.setattr(rounds, "write_record", write_record)
    stage.ends = Outcome(0, None, None)
    monkeypatch.setattr(rounds, "run_process", lambda *_, **__: Outcome(0, None, None))
    assert {record.reason for record in stage.run().values()} == {"The process ended well and left no record."}


def test_a_disk_as_good_as_full_stops_the_matrix_before_anything_is_run(stage, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 10**12, 10**6))
    with pytest.raises(UsageError, match="make room"):
        stage.run()
    assert stage.started == []
