"""A plan done on this machine: what is kept, what is done again, and what is recorded when there is nothing to run
with."""

import os
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import msgspec
import pytest

from harness.conduct import environments, this_machine
from harness.conduct.board import PlainBoard
from harness.conduct.folder import sole_use
from harness.conduct.process import Exit
from harness.conduct.run import run
from harness.conduct.this_machine import ThisMachine, reason_of
from harness.core.errors import UsageError
from harness.core.faults import Fault
from harness.core.files import ROOT
from harness.core.plan import PLAN_FILE, Plan, read_plan
from harness.core.plan import SCHEMA as PLAN_SCHEMA
from harness.core.preparation import Prepared
from harness.core.record import SCHEMA, Record, checkpoint_of, read_record, record_path, scratch_of, write_record
from harness.core.spec import TWIN, Data, Order

SHAPES = Prepared(Data("shapes", "digest"), "index.json")


class Silent:
    """A console that prints nothing."""

    def print(self, *_, **__):
        pass


@pytest.fixture
def plan(spec, matrix):
    pins = [msgspec.structs.replace(spec.pin, name=name, torch=name) for name in ("1.10.0", "1.13.1")]
    runs = [msgspec.structs.replace(spec, pin=pin, data=Data("", "")) for pin in pins]
    return Plan(
        schema=PLAN_SCHEMA, name="x", machine="cpu", reason="", profile="smoke", rounds=1, pins=pins, cases=["train"],
        data=None, shapes={"train": matrix.profiles["smoke"].shapes}, runs=runs,
    )  # fmt: skip


@pytest.fixture
def pace_plan(plan, pace_spec):
    """One sitting of three pins."""
    pins = [msgspec.structs.replace(plan.pins[0], name=name) for name in ("1.10.0", TWIN, "1.13.1")]
    runs = [msgspec.structs.replace(pace_spec, pin=pin, data=Data("", "")) for pin in pins]
    return msgspec.structs.replace(plan, pins=pins, cases=["pace"], runs=runs, laps_until={"pace": 0.01})


@pytest.fixture
def stage(monkeypatch, tmp_path, plan):
    """Rounds in which no process is started: each run writes the record that it is told to."""

    class Stage:
        started: list[str] = []
        sat: list[list[str]] = []
        until = 0.0
        ends = Exit(0, None, None)
        end_otherwise: dict[str, Exit] = {}
        built = {"1.10.0", TWIN, "1.13.1"}
        on_start = staticmethod(lambda: True)
        seen: list[bool] = []
        orders: list[Order] = []
        outcomes: list = []

        def run(self, made=plan):
            self.started, self.seen, self.sat, self.orders = [], [], [], []
            with PlainBoard(made.runs, Silent()) as board:
                self.outcomes = run(made, ThisMachine(tmp_path, Path("ambient")), board)
            return {spec.pin.name: read_record(record_path(tmp_path, spec)) for spec in made.runs}

    stage = Stage()

    def leave(order, part, name=None):
        spec = order.spec
        stage.orders.append(order)
        stage.started.append(spec.pin.name)
        stage.seen.append(stage.on_start())
        outcome = stage.end_otherwise.get(spec.pin.name, stage.ends)
        if outcome.good:
            times = {"started": "2026-01-01", "ended": "2026-01-01"}
            write_record(part, Record(SCHEMA, spec, spec.identity(), "ok", sitting=name, measuring=0.5, **times))
        return outcome

    def run_process(command, *, stdin, **_):
        return leave(msgspec.json.decode(stdin, type=Order), Path(command[-1]))

    def sit(seats, hear, *, baseline, until):
        stage.sat.append([seat.spec.pin.name for seat in seats])
        stage.until = until
        assert baseline == "1.10.0"
        return [leave(seat.order, seat.part, f"sitting {len(stage.sat)} of {id(stage.sat)}") for seat in seats]

    monkeypatch.setattr(this_machine, "sit", sit)
    monkeypatch.setattr(this_machine, "run_process", run_process)
    monkeypatch.setattr(this_machine, "prepare_data", lambda *_: dict.fromkeys(("train", "pace"), SHAPES))
    built = {True: Path("python"), False: None}
    monkeypatch.setattr(environments, "interpreter_of", lambda pin, _: built[pin.name in stage.built])
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
    stage.ends = Exit(1, None, None)
    assert {record.status for record in stage.run().values()} == {"failed"}
    stage.ends = Exit(0, None, None)
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


def test_a_run_finds_the_interpreters_of_the_pins_that_it_may_call_on(stage, plan, tmp_path):
    stage.built = {"1.10.0"}
    calling = msgspec.structs.replace(plan.runs[0], peers=plan.pins)
    records = stage.run(msgspec.structs.replace(plan, runs=[calling]))
    (order,) = stage.orders
    assert order.interpreters == {"1.10.0": "python", "1.13.1": ""}
    assert records["1.10.0"].spec.peers == plan.pins


def test_where_things_are_is_told_to_the_process_and_no_part_of_what_its_record_answers(stage, plan, monkeypatch):
    first = stage.run()
    assert {order.index for order in stage.orders} == {"index.json"}
    moved = msgspec.structs.replace(SHAPES, index="elsewhere/index.json")
    monkeypatch.setattr(this_machine, "prepare_data", lambda *_: {"train": moved})
    assert stage.run() == first
    assert stage.started == []
    stage.run(msgspec.structs.replace(plan, fresh=True))
    assert {order.index for order in stage.orders} == {"elsewhere/index.json"}


def test_other_data_make_every_record_stale(stage, monkeypatch):
    stage.run()
    other = msgspec.structs.replace(SHAPES, data=Data("shapes", "other digest"))
    monkeypatch.setattr(this_machine, "prepare_data", lambda *_: {"train": other})
    stage.run()
    assert stage.started == ["1.10.0", "1.13.1"]


def test_what_became_of_every_run_is_returned_with_what_was_measured_now(stage):
    stage.end_otherwise = {"1.13.1": Exit(None, "SIGKILL", None)}
    stage.run()
    assert [(one.spec.pin.name, one.status, one.measuring, one.reused) for one in stage.outcomes] == [
        ("1.10.0", "ok", 0.5, False),
        ("1.13.1", "failed", 0.0, False),
    ]
    assert "SIGKILL" in stage.outcomes[1].reason
    stage.end_otherwise = {}
    stage.run()
    assert {one.spec.pin.name: (one.measuring, one.reused) for one in stage.outcomes} == {
        "1.10.0": (0.0, True),
        "1.13.1": (0.5, False),
    }


def test_what_a_run_needed_only_while_it_lasted_is_removed_however_it_ends(stage, plan, tmp_path):
    record = record_path(tmp_path, plan.runs[0])
    scratch = scratch_of(record)

    def leave_scratch():
        scratch.mkdir(parents=True, exist_ok=True)
        (scratch / "weights").write_bytes(b"0" * 100)

    for outcome in (Exit(0, None, None), Exit(None, "SIGKILL", None)):
        stage.end_otherwise = {"1.10.0": outcome}
        stage.on_start = leave_scratch
        stage.run(msgspec.structs.replace(plan, runs=plan.runs[:1], fresh=True))
        assert not scratch.exists()


def test_what_a_killed_matrix_left_of_runs_is_removed_and_checkpoints_to_go_on_from_are_kept(stage, plan, tmp_path):
    record = record_path(tmp_path, plan.runs[0])
    scratch_of(record).mkdir(parents=True)
    (scratch_of(record) / ".0.json.abc").write_bytes(b"torn")
    torn = record.with_name(".0.checkpoint.abc")
    torn.write_bytes(b"torn")
    checkpoint_of(record).write_bytes(b"whole")
    stage.on_start = checkpoint_of(record).exists
    stage.run()
    assert not scratch_of(record).exists()
    assert not torn.exists()
    assert stage.seen[0]


def test_a_fresh_run_does_not_go_on_from_a_checkpoint(stage, plan, tmp_path):
    checkpoint = checkpoint_of(record_path(tmp_path, plan.runs[0]))
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"whole")
    stage.on_start = checkpoint.exists
    stage.run(msgspec.structs.replace(plan, fresh=True))
    assert not stage.seen[0]


@pytest.mark.parametrize("outcome", [Exit(0, None, None), Exit(None, "SIGKILL", None)])
def test_a_checkpoint_stays_until_the_record_of_its_run_is_in_place(stage, plan, tmp_path, outcome, monkeypatch):
    record = record_path(tmp_path, plan.runs[0])
    unlink, in_place = Path.unlink, []

    def watched(path, **options):
        if path == checkpoint_of(record):
            in_place.append(record.exists())
        unlink(path, **options)

    def write():
        record.parent.mkdir(parents=True, exist_ok=True)
        checkpoint_of(record).write_bytes(b"whole")

    monkeypatch.setattr(Path, "unlink", watched)
    stage.ends, stage.on_start = outcome, write
    stage.run(msgspec.structs.replace(plan, runs=plan.runs[:1]))
    assert in_place == [True] * outcome.good
    assert checkpoint_of(record).exists() == (not outcome.good)


def test_a_checkpoint_of_a_run_whose_record_is_taken_up_is_removed(stage, plan, tmp_path):
    record = record_path(tmp_path, plan.runs[0])
    stage.run()
    record.rename(record.with_suffix(".part"))
    checkpoint_of(record).write_bytes(b"whole")
    stage.run()
    assert plan.runs[0].pin.name not in stage.started
    assert not checkpoint_of(record).exists()


def test_what_a_killed_run_was_writing_is_removed_when_it_has_ended(stage, plan, tmp_path):
    record = record_path(tmp_path, plan.runs[0])
    names = (".0.checkpoint.x1", ".0.part.x2")

    def write():
        record.parent.mkdir(parents=True, exist_ok=True)
        for name in names:
            record.with_name(name).write_bytes(b"torn")
        record.with_name(".10.checkpoint.x3").write_bytes(b"another round's")
        return True

    stage.ends, stage.on_start = Exit(None, "SIGKILL", None), write
    stage.run(msgspec.structs.replace(plan, runs=plan.runs[:1]))
    assert [record.with_name(name).exists() for name in names] == [False, False]
    assert record.with_name(".10.checkpoint.x3").exists()


@pytest.mark.parametrize(
    ("outcome", "log", "reason"),
    [
        (Exit(2, None, None), "epoch 1\nerror: No pictures are left.\n", "No pictures are left."),
        (Exit(2, None, None), "usage: x\n", "The process ended with exit code 2."),
        (Exit(1, None, None), "error: of a library\n", "The process ended with exit code 1."),
        (Exit(0, None, None), "", "The process ended well and left no record."),
    ],
)
def test_a_run_that_cannot_use_its_input_says_why_in_its_record(tmp_path, outcome, log, reason):
    path = tmp_path / "0.log"
    path.write_text(log, encoding="utf-8")
    assert reason_of(outcome, path) == reason


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

    monkeypatch.setattr(this_machine, "prepare_data", refuse)
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
    monkeypatch.setattr(this_machine, "run_process", lambda *_, **__: Exit(0, None, None))
    assert {record.reason for record in stage.run().values()} == {"The process ended well and left no record."}


def test_a_disk_as_good_as_full_stops_the_matrix_before_anything_is_run(stage, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 10**12, 10**6))
    with pytest.raises(UsageError, match="make room"):
        stage.run()
    assert stage.started == []


def back_to_part(tmp_path, spec, **changed):
    """As a kill leaves it: the run has written its record, and nobody has put it in its place."""
    path = record_path(tmp_path, spec)
    record = read_record(path)
    path.unlink()
    write_record(path.with_suffix(".part"), msgspec.structs.replace(record, **changed))
    return path.with_suffix(".part")


def test_a_whole_record_that_a_kill_left_beside_its_place_is_taken_up(stage, plan, tmp_path):
    first = stage.run()
    part = back_to_part(tmp_path, plan.runs[1])
    assert stage.run() == first
    assert stage.started == []
    assert not part.exists()


@pytest.mark.parametrize("torn", [b"", b"no record", b'{"schema": 1, "spec"', b'{"schema": 99}', b"\xff\xfe"])
def test_a_part_that_is_no_whole_record_is_ignored_and_the_run_done_again(stage, plan, tmp_path, torn):
    first = stage.run()
    back_to_part(tmp_path, plan.runs[1]).write_bytes(torn)
    assert stage.run() == first
    assert stage.started == ["1.13.1"]


@pytest.mark.parametrize("changed", [{"status": "failed"}, {"identity": "of another spec"}])
def test_a_part_that_failed_or_answers_another_spec_is_done_again(stage, plan, tmp_path, changed):
    stage.run()
    back_to_part(tmp_path, plan.runs[1], **changed)
    assert {record.status for record in stage.run().values()} == {"ok"}
    assert stage.started == ["1.13.1"]


def test_a_part_beside_a_valid_record_does_not_replace_it(stage, plan, tmp_path):
    first = stage.run()
    path = record_path(tmp_path, plan.runs[0])
    write_record(path.with_suffix(".part"), msgspec.structs.replace(first["1.10.0"], notes={"x": "of the part"}))
    assert stage.run() == first
    assert not path.with_suffix(".part").exists()


def test_a_torn_write_that_a_kill_left_is_cleared_away(stage, plan, tmp_path):
    first = stage.run()
    path = record_path(tmp_path, plan.runs[0])
    torn = path.with_name(f".{path.name}.k1ll3d")
    torn.write_bytes(path.read_bytes()[:100])
    assert stage.run() == first
    assert not torn.exists()


def test_fresh_takes_up_no_part(stage, plan, tmp_path):
    stage.run()
    back_to_part(tmp_path, plan.runs[1])
    stage.run(msgspec.structs.replace(plan, fresh=True))
    assert stage.started == ["1.10.0", "1.13.1"]


def test_the_runs_of_a_sitting_are_started_together_and_kept_together(stage, pace_plan):
    first = stage.run(pace_plan)
    assert stage.sat == [["1.10.0", TWIN, "1.13.1"]]
    assert len({record.sitting for record in first.values()}) == 1
    assert stage.run(pace_plan) == first
    assert stage.sat == []


def test_several_sittings_together_need_each_only_a_wider_interval(stage, pace_plan):
    stage.run(pace_plan)
    assert stage.until == pytest.approx(0.01)
    runs = [msgspec.structs.replace(spec, round=number) for number in range(4) for spec in pace_plan.runs]
    stage.run(msgspec.structs.replace(pace_plan, runs=runs))
    assert stage.until == pytest.approx(0.02)
    assert len(stage.sat) == 3  # the first is kept


def test_a_sitting_of_which_a_record_is_gone_is_done_again_as_a_whole(stage, pace_plan, tmp_path):
    first = stage.run(pace_plan)
    record_path(tmp_path, pace_plan.runs[1]).unlink()
    again = stage.run(pace_plan)
    assert stage.sat == [["1.10.0", TWIN, "1.13.1"]]
    assert len({record.sitting for record in again.values()}) == 1
    assert again["1.10.0"].sitting != first["1.10.0"].sitting


def test_a_sitting_in_which_one_failed_is_done_again_as_a_whole(stage, pace_plan):
    stage.end_otherwise = {"1.13.1": Exit(1, None, None)}
    first = stage.run(pace_plan)
    assert [record.status for record in first.values()] == ["ok", "ok", "failed"]
    stage.end_otherwise = {}
    again = stage.run(pace_plan)
    assert stage.sat == [["1.10.0", TWIN, "1.13.1"]]
    assert {record.status for record in again.values()} == {"ok"}
    assert len({record.sitting for record in again.values()}) == 1


def test_a_sitting_that_a_kill_left_partly_in_place_is_completed_from_its_parts(stage, pace_plan, tmp_path):
    first = stage.run(pace_plan)
    parts = [back_to_part(tmp_path, spec) for spec in pace_plan.runs[1:]]
    assert stage.run(pace_plan) == first
    assert stage.sat == []
    assert not any(part.exists() for part in parts)


def test_parts_of_another_sitting_complete_none(stage, pace_plan, tmp_path):
    stage.run(pace_plan)
    back_to_part(tmp_path, pace_plan.runs[2], sitting="another")
    again = stage.run(pace_plan)
    assert stage.sat == [["1.10.0", TWIN, "1.13.1"]]
    assert len({record.sitting for record in again.values()}) == 1


def test_runs_that_sat_alone_for_want_of_room_are_kept(stage, pace_plan, tmp_path):
    stage.run(pace_plan)
    for spec in pace_plan.runs:
        path = record_path(tmp_path, spec)
        write_record(path, msgspec.structs.replace(read_record(path), sitting=None))
    stage.run(pace_plan)
    assert stage.sat == []


def test_a_pin_without_environment_does_not_keep_the_others_from_sitting_down(stage, pace_plan):
    stage.built = {"1.10.0", "1.13.1"}
    records = stage.run(pace_plan)
    assert stage.sat == [["1.10.0", "1.13.1"]]
    assert [records[pin.name].status for pin in pace_plan.pins] == ["ok", "failed", "ok"]
    assert "nox -s pin-1.10.0-twin" in records[TWIN].reason


def test_a_sitting_to_which_no_pin_can_come_fails_with_the_reason(stage, pace_plan, plan):
    stage.built = {"other"}
    other = msgspec.structs.replace(pace_plan.pins[0], name="other")
    pins, cases = [*pace_plan.pins, other], ["pace", "train"]
    runs = [*pace_plan.runs, msgspec.structs.replace(plan.runs[0], pin=other)]
    stage.run(msgspec.structs.replace(pace_plan, pins=pins, cases=cases, runs=runs))
    assert stage.started == ["other"]


def test_a_plan_that_plants_faults_and_is_no_calibrations_is_refused_before_anything_is_run(stage, plan, tmp_path):
    runs = [plan.runs[0], msgspec.structs.replace(plan.runs[1], fault=Fault(kind="slow", size=0.05))]
    with pytest.raises(UsageError, match="plants faults"):
        stage.run(msgspec.structs.replace(plan, runs=runs))
    assert stage.started == []
    assert not (tmp_path / PLAN_FILE).exists()
    stage.run(msgspec.structs.replace(plan, runs=runs, calibrates=True))
    assert stage.started == ["1.10.0", "1.13.1"]


class Elsewhere:
    """A launcher that has records of some pins, and does the rest in no place at all."""

    def __init__(self, *kept):
        self.has, self.calls = kept, []

    def prepare(self, plan, board):
        return dict.fromkeys(plan.cases, Data("shapes", "digest of elsewhere"))

    def begin(self, plan):
        self.calls.append(("begin", {spec.data.digest for spec in plan.runs}))

    def kept(self, group):
        return list(map(self.record, group.runs)) if group.runs[0].pin.name in self.has else None

    def do(self, groups, board):
        for group in groups:
            self.calls.append((group.runs[0].case, [spec.pin.name for spec in group.runs], group.until, group.fresh))
            yield list(map(self.record, group.runs))

    @staticmethod
    def record(spec):
        times = {"started": "2026-01-01", "ended": "2026-01-01"}
        return Record(SCHEMA, spec, spec.identity(), "ok", **times)


def test_any_launcher_gets_whole_groups_in_their_order_unless_their_records_are_kept(plan, pace_plan):
    made = msgspec.structs.replace(pace_plan, cases=["train", "pace"], runs=[*plan.runs, *pace_plan.runs])
    launcher = Elsewhere("1.13.1")
    with PlainBoard(made.runs, Silent()) as board:
        outcomes = run(made, launcher, board)
    assert launcher.calls == [
        ("begin", {"digest of elsewhere"}),
        ("train", ["1.10.0"], None, False),
        ("pace", ["1.10.0", TWIN, "1.13.1"], 0.01, False),
    ]
    assert [(one.spec.case, one.spec.pin.name, one.reused) for one in outcomes] == [
        ("train", "1.13.1", True),
        ("train", "1.10.0", False),
        ("pace", "1.10.0", False),
        ("pace", TWIN, False),
        ("pace", "1.13.1", False),
    ]


def test_a_fresh_plan_asks_no_launcher_for_what_it_has(plan):
    launcher = Elsewhere("1.10.0", "1.13.1")
    with PlainBoard(plan.runs, Silent()) as board:
        run(msgspec.structs.replace(plan, fresh=True), launcher, board)
    assert [call[1:] for call in launcher.calls[1:]] == [(["1.10.0"], None, True), (["1.13.1"], None, True)]


HOLDER = """
import pathlib, sys, time
from harness.conduct.folder import sole_use

with sole_use(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that is at work in the folder."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_matrix_in_the_same_folder_is_refused_with_what_to_do(holder, tmp_path):
    with pytest.raises(UsageError, match=rf"process {holder.pid}\).*--name") as problem, sole_use(tmp_path):
        pass
    assert "\n" not in str(problem.value)
    with sole_use(tmp_path / "of another name"):
        pass


def test_a_folder_is_free_again_when_the_matrix_in_it_was_killed(holder, tmp_path):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with sole_use(tmp_path), pytest.raises(UsageError, match=f"process {os.getpid()}"), sole_use(tmp_path):
        pass


def test_a_folder_is_free_again_when_the_matrix_in_it_has_ended(tmp_path):
    with pytest.raises(RuntimeError), sole_use(tmp_path):
        raise RuntimeError
    with sole_use(tmp_path):
        pass


def test_a_process_that_a_run_leaves_behind_does_not_hold_the_folder(tmp_path):
    command = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
    with sole_use(tmp_path):
        child = subprocess.Popen(command, close_fds=False, stdout=subprocess.PIPE)
    with child:
        assert child.stdout.readline()
        try:
            with sole_use(tmp_path):
                pass
        finally:
            child.kill()


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UsageError, match="cannot be written"), sole_use(tmp_path / "file" / "results"):
        pass
