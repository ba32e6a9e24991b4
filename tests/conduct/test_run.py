"""A plan done on this machine: what is kept, what is done again, and what is recorded when there is nothing to run
with."""

import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections import namedtuple
from pathlib import Path

import msgspec
import pytest

from harness.conduct import environments, this_machine
from harness.conduct.board import PlainBoard
from harness.conduct.folder import clear_checkpoints, sat_together, sole_use
from harness.conduct.launcher import Inputs
from harness.conduct.process import Exit
from harness.conduct.run import run
from harness.conduct.seat import Seat
from harness.conduct.sitting import NoRoomError, tables_of
from harness.conduct.this_machine import ThisMachine, reason_of
from harness.core.dataset import Part, Summary
from harness.core.errors import UsageError
from harness.core.faults import Fault
from harness.core.files import ROOT
from harness.core.plan import PLAN_FILE, Plan, read_plan
from harness.core.plan import SCHEMA as PLAN_SCHEMA
from harness.core.preparation import GivenWeights, Prepared
from harness.core.record import (
    SCHEMA,
    Others,
    Record,
    Sitting,
    checkpoint_of,
    checkpoint_of_part,
    read_record,
    record_path,
    scratch_of,
    write_record,
)
from harness.core.spec import TWIN, Data, Helper, Order, Weights

HELD = Part(pictures=1, boxes=1, classes=1, backgrounds=0, suffixes={".png": 1})
SHAPES = Prepared(Data("shapes", "digest"), "index.json", Summary(1, HELD, HELD))


class Silent:
    """A console that prints nothing."""

    def print(self, *_, **__):
        pass


@pytest.fixture
def plan(alone_spec, matrix):
    """A run of two pins each, which take no turns."""
    pins = [msgspec.structs.replace(alone_spec.pin, name=name, torch=name) for name in ("1.10.0", "1.13.1")]
    runs = [msgspec.structs.replace(alone_spec, pin=pin, data=Data("", "")) for pin in pins]
    return Plan(
        schema=PLAN_SCHEMA, name="x", machine="cpu", reason="", profile="smoke", rounds=1, pins=pins, data=None,
        cases=["converge"], shapes={"converge": matrix.profiles["smoke"].shapes}, runs=runs,
    )  # fmt: skip


@pytest.fixture
def turns_plan(plan, spec):
    """A round of three pins that take turns; in the plan the baseline is the last of them."""
    pins = [msgspec.structs.replace(plan.pins[0], name=name) for name in ("1.10.0", TWIN, "1.13.1")]
    runs = [msgspec.structs.replace(spec, pin=pin, data=Data("", "")) for pin in (*pins[1:], pins[0])]
    return msgspec.structs.replace(plan, pins=pins, cases=["train"], runs=runs)


@pytest.fixture
def stage(monkeypatch, tmp_path, plan):
    """Rounds in which no process is started: each run writes the record that it is told to."""

    class Stage:
        started: list[str] = []
        sat: list[list[str]] = []
        """The parts of every table that was sat down at, in the order in which they were given, without their ends."""
        room = 99
        """How many the memory holds at once."""
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
            specs = sorted(made.runs, key=lambda spec: [pin.name for pin in made.pins].index(spec.pin.name))
            return {spec.pin.name: read_record(record_path(tmp_path, spec)) for spec in specs}

    stage = Stage()

    def leave(order, part, *sat):
        spec = order.spec
        stage.orders.append(order)
        stage.started.append(spec.pin.name)
        stage.seen.append(stage.on_start())
        outcome = stage.end_otherwise.get(spec.pin.name, stage.ends)
        if outcome.good:
            times = {"started": "2026-01-01", "ended": "2026-01-01"}
            write_record(part, Record(SCHEMA, spec, spec.identity(), "ok", sittings=[*sat], measuring=0.5, **times))
        return outcome

    def run_process(command, *, stdin, **_):
        return leave(msgspec.json.decode(stdin, type=Order), Path(command[-1]))

    def sit(seats, hear, rounds):
        stage.sat.append([name_of(seat.part) for seat in seats])
        stage.rounds = rounds
        if len(seats) > stage.room:
            raise NoRoomError
        name = uuid.uuid4().hex
        return [leave(seat.order, seat.part, Sitting(name, number, 5)) for number, seat in enumerate(seats)]

    monkeypatch.setattr(this_machine, "sit", sit)
    monkeypatch.setattr(this_machine, "run_process", run_process)
    monkeypatch.setattr(this_machine, "prepare_data", lambda *_: dict.fromkeys(("train", "converge"), SHAPES))
    built = {True: Path("python"), False: None}
    monkeypatch.setattr(environments, "interpreter_of", lambda pin, _: built[pin.name in stage.built])
    return stage


def test_every_planned_run_is_done_and_the_plan_then_names_the_data(stage, tmp_path):
    records = stage.run()
    assert stage.started == ["1.10.0", "1.13.1"]
    assert {record.status for record in records.values()} == {"ok"}
    assert {spec.data.digest for spec in read_plan(tmp_path / PLAN_FILE).runs} == {"digest"}


@pytest.fixture
def helped_plan(plan):
    """Runs of a case that calls on an environment that is no pin's."""
    helper = Helper("reader", "3.11", "3" * 64)
    return msgspec.structs.replace(plan, runs=[msgspec.structs.replace(run, helpers=[helper]) for run in plan.runs])


def test_a_run_is_told_the_interpreters_of_its_helpers(stage, helped_plan):
    stage.built = {*stage.built, "reader"}
    assert {record.status for record in stage.run(helped_plan).values()} == {"ok"}
    assert [order.interpreters for order in stage.orders] == [{"reader": "python"}] * 2


def test_a_run_whose_helper_was_not_built_is_not_begun_and_says_how_to_build_it(stage, helped_plan):
    records = stage.run(helped_plan)
    assert stage.started == []
    assert {record.status for record in records.values()} == {"failed"}
    for record in records.values():
        assert record.reason.startswith("The environment of reader was not built: `nox -s helper-reader` shows why")


@pytest.fixture
def watches(monkeypatch):
    """Watches that see something else every time."""
    begun = []

    class Watching:
        def __init__(self, device):
            begun.append(device)
            self.number = len(begun)

        def others(self):
            return Others(processors=self.number / 10)

    monkeypatch.setattr(this_machine, "Watch", Watching)
    return begun


def test_a_record_has_what_others_did_while_its_run_was_done(stage, watches):
    records = stage.run()
    assert [record.others for record in records.values()] == [Others(processors=0.1), Others(processors=0.2)]
    assert watches == ["cpu", "cpu"]
    assert stage.run() == records  # what is kept is kept as it is


def test_those_who_take_turns_are_not_others_and_all_of_them_have_the_same_beside_them(stage, turns_plan, watches):
    records = stage.run(turns_plan)
    assert [record.others for record in records.values()] == [Others(processors=0.1)] * 3
    assert watches == ["cpu"]


def test_a_record_that_a_kill_left_beside_its_place_is_taken_up_though_nobody_knows_who_else_was_there(
    stage, plan, tmp_path
):
    stage.run()
    back_to_part(tmp_path, plan.runs[1], others=None)
    assert stage.run()["1.13.1"].others is None
    assert stage.started == []


def test_a_record_that_cannot_be_put_into_its_place_on_a_full_disk_ends_the_matrix_with_one_sentence(plan, disk):
    seat = seat_of(plan.runs[0], disk.folder, "1.10.0")
    times = {"started": "2026-01-01", "ended": "2026-01-01"}
    write_record(seat.part, Record(SCHEMA, seat.spec, seat.spec.identity(), "ok", **times))
    disk.fill()
    with pytest.raises(UsageError, match=r"No space left on device.*make room") as problem:
        this_machine.keep(seat, Exit(0, None, None), "2026-01-01", Others())
    assert "\n" not in str(problem.value)
    assert read_record(seat.part).status == "ok"  # and is taken up the next time


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
    monkeypatch.setattr(this_machine, "prepare_data", lambda *_: {"converge": moved})
    assert stage.run() == first
    assert stage.started == []
    stage.run(msgspec.structs.replace(plan, fresh=True))
    assert {order.index for order in stage.orders} == {"elsewhere/index.json"}


def test_other_data_make_every_record_stale(stage, monkeypatch):
    stage.run()
    other = msgspec.structs.replace(SHAPES, data=Data("shapes", "other digest"))
    monkeypatch.setattr(this_machine, "prepare_data", lambda *_: {"converge": other})
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


def test_the_more_runs_are_alive_at_once_the_more_room_they_need(stage, turns_plan, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 10**12, 600 * 2**20))
    stage.run()
    assert len(stage.started) == 2
    with pytest.raises(UsageError, match=r"Only 600 MiB are free where .* lies, 750 MiB are needed: make room"):
        stage.run(turns_plan)


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
    again = stage.run()
    assert without_others(again) == without_others(first)  # what others do meanwhile is another thing each time
    assert stage.started == ["1.13.1"]


def without_others(records):
    return {pin: msgspec.structs.replace(record, others=None) for pin, record in records.items()}


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


def name_of(part):
    """The pin and the file of a run, such as 1.10.0 0."""
    return f"{part.parent.name} {part.stem}"


def sittings_of(record):
    return {sitting.name for sitting in record.sittings}


TOGETHER = [["1.10.0 0", "A-A 0", "1.13.1 0"]]


def test_runs_that_take_turns_are_done_at_once_the_baseline_first_and_kept_together(stage, turns_plan):
    first = stage.run(turns_plan)
    assert stage.sat == TOGETHER
    assert len(set.union(*map(sittings_of, first.values()))) == 1
    assert stage.run(turns_plan) == first
    assert stage.sat == []


def test_those_who_sit_down_are_told_of_how_many_rounds_they_are_one(stage, turns_plan):
    runs = [msgspec.structs.replace(spec, round=number) for number in range(4) for spec in turns_plan.runs]
    stage.run(msgspec.structs.replace(turns_plan, runs=runs))
    assert len(stage.sat) == stage.rounds == 4


def test_a_round_of_which_a_record_is_gone_is_done_again_as_a_whole(stage, turns_plan, tmp_path):
    first = stage.run(turns_plan)
    record_path(tmp_path, turns_plan.runs[1]).unlink()
    again = stage.run(turns_plan)
    assert stage.sat == TOGETHER
    assert len(set.union(*map(sittings_of, again.values()))) == 1
    assert sittings_of(again["1.10.0"]) != sittings_of(first["1.10.0"])


def test_a_round_in_which_one_failed_is_done_again_as_a_whole(stage, turns_plan):
    stage.end_otherwise = {"1.13.1": Exit(1, None, None)}
    first = stage.run(turns_plan)
    assert [record.status for record in first.values()] == ["ok", "ok", "failed"]
    stage.end_otherwise = {}
    again = stage.run(turns_plan)
    assert stage.sat == TOGETHER
    assert {record.status for record in again.values()} == {"ok"}
    assert len(set.union(*map(sittings_of, again.values()))) == 1


def test_a_round_that_a_kill_left_partly_in_place_is_completed_from_its_parts(stage, turns_plan, tmp_path):
    first = stage.run(turns_plan)
    parts = [back_to_part(tmp_path, spec) for spec in turns_plan.runs[1:]]
    assert stage.run(turns_plan) == first
    assert stage.sat == []
    assert not any(part.exists() for part in parts)


def test_parts_of_another_sitting_complete_none(stage, turns_plan, tmp_path):
    stage.run(turns_plan)
    back_to_part(tmp_path, turns_plan.runs[1], sittings=[Sitting("another", 0, 5)])
    again = stage.run(turns_plan)
    assert stage.sat == TOGETHER
    assert len(set.union(*map(sittings_of, again.values()))) == 1


def test_a_pin_without_environment_does_not_keep_the_others_from_sitting_down(stage, turns_plan):
    stage.built = {"1.10.0", "1.13.1"}
    records = stage.run(turns_plan)
    assert stage.sat == [["1.10.0 0", "1.13.1 0"]]
    assert [records[pin.name].status for pin in turns_plan.pins] == ["ok", "failed", "ok"]
    assert "nox -s pin-1.10.0-twin" in records[TWIN].reason


def test_a_table_to_which_no_pin_can_come_is_none_and_all_fail_with_the_reason(stage, turns_plan, plan):
    stage.built = {"other"}
    other = msgspec.structs.replace(turns_plan.pins[0], name="other")
    pins, cases = [*turns_plan.pins, other], ["train", "converge"]
    runs = [*turns_plan.runs, msgspec.structs.replace(plan.runs[0], pin=other)]
    records = stage.run(msgspec.structs.replace(turns_plan, pins=pins, cases=cases, runs=runs))
    assert (stage.sat, stage.started) == ([], ["other"])
    assert {record.status for name, record in records.items() if name != "other"} == {"failed"}


@pytest.fixture
def crowded(stage, turns_plan):
    """The same of four pins, where memory holds three; what was sat down at is without the first try."""
    pin = msgspec.structs.replace(turns_plan.pins[0], name="1.12.1")
    runs = [*turns_plan.runs, msgspec.structs.replace(turns_plan.runs[0], pin=pin)]
    stage.built, stage.room = {*stage.built, "1.12.1"}, 3
    return msgspec.structs.replace(turns_plan, pins=[*turns_plan.pins, pin], runs=runs)


AT_ONCE = ["1.10.0 0", "A-A 0", "1.13.1 0", "1.12.1 0"]


def test_where_memory_does_not_hold_all_fewer_sit_together_the_baseline_at_each_table(stage, crowded, tmp_path):
    records = stage.run(crowded)
    assert stage.sat == [AT_ONCE, AT_ONCE[:3], ["1.10.0 0.beside-1", "1.12.1 0"]]
    (beside,) = tmp_path.rglob("*.beside-*.json")
    again = read_record(beside)
    assert beside == tmp_path / "runs" / "train" / "1.10.0" / "0.beside-1.json"
    assert again.spec == records["1.10.0"].spec
    assert sittings_of(records["1.12.1"]) == sittings_of(again) != sittings_of(records["1.10.0"])
    assert sittings_of(records["1.13.1"]) == sittings_of(records["1.10.0"])
    assert sorted(one.spec.pin.name for one in stage.outcomes) == sorted(pin.name for pin in crowded.pins)


def test_every_number_fewer_is_tried_until_each_has_the_device_to_itself(stage, crowded, tmp_path):
    stage.room = 1
    records = stage.run(crowded)
    assert stage.sat[:3] == [AT_ONCE, AT_ONCE[:3], AT_ONCE[:2]]
    assert stage.sat[3:] == [[name] for name in AT_ONCE]
    assert {record.status for record in records.values()} == {"ok"}
    assert [*tmp_path.rglob("*.beside-*")] == []


def test_how_many_there_is_room_for_is_found_once(stage, crowded):
    rounds = [msgspec.structs.replace(spec, round=number) for number in range(2) for spec in crowded.runs]
    stage.run(msgspec.structs.replace(crowded, runs=rounds))
    assert [len(table) for table in stage.sat] == [4, 3, 2, 3, 2]


def test_fewer_than_there_is_room_for_try_one_fewer_where_even_they_do_not_find_it(stage, crowded, tmp_path):
    machine = ThisMachine(tmp_path, Path("ambient"))
    machine.seats, stage.room, stage.built = 4, 1, {"1.10.0", "1.12.1"}
    with PlainBoard(crowded.runs, Silent()) as board:
        run(crowded, machine, board)
    assert stage.sat == [["1.10.0 0", "1.12.1 0"], ["1.10.0 0"], ["1.12.1 0"]]


def test_that_there_is_no_room_is_noted_with_how_many_sit_together(stage, crowded, monkeypatch):
    noted = []
    monkeypatch.setattr(PlainBoard, "note", lambda _, sentence: noted.append(sentence))
    stage.run(crowded)
    assert "The memory does not hold all of them at once: 3 at a time." in noted


@pytest.mark.parametrize("room", [3, 2, 1])
def test_what_sat_at_several_tables_or_alone_is_kept(stage, crowded, tmp_path, room):
    stage.room = room
    first = stage.run(crowded)
    beside = {path: path.read_bytes() for path in tmp_path.rglob("*.beside-*.json")}
    assert len(beside) == {3: 1, 2: 2, 1: 0}[room]
    assert stage.run(crowded) == first
    assert stage.sat == []
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.beside-*.json")} == beside


def test_what_sat_at_a_further_table_is_done_again_where_the_baselines_record_of_that_is_gone(stage, crowded, tmp_path):
    stage.run(crowded)
    (beside,) = tmp_path.rglob("*.beside-*.json")
    beside.unlink()
    stage.run(crowded)
    assert len(stage.sat) == 3
    assert beside.exists()


def test_records_of_further_tables_are_gone_when_there_are_none_any_more(stage, crowded, tmp_path):
    stage.room = 2
    stage.run(crowded)
    other = tmp_path / "runs" / "train" / "1.10.0" / "10.beside-1.json"
    other.write_bytes(b"of another round")
    stage.room = 99
    records = stage.run(msgspec.structs.replace(crowded, fresh=True))
    assert [*tmp_path.rglob("*.beside-*.json")] == [other]
    assert len(set.union(*map(sittings_of, records.values()))) == 1


def test_a_baseline_that_fails_at_a_further_table_keeps_its_record_and_the_group_is_done_again(
    stage, crowded, monkeypatch, tmp_path
):
    sit = this_machine.sit

    def fails_beside(seats, hear, rounds):
        exits = sit(seats, hear, rounds)
        for place, seat in enumerate(seats):
            if "beside" in seat.part.stem:
                seat.part.unlink()
                exits[place] = Exit(None, "SIGKILL", None)
        return exits

    monkeypatch.setattr(this_machine, "sit", fails_beside)
    assert {record.status for record in stage.run(crowded).values()} == {"ok"}
    (beside,) = tmp_path.rglob("*.beside-*.json")
    assert read_record(beside).status == "failed"
    monkeypatch.setattr(this_machine, "sit", sit)
    stage.run(crowded)
    assert len(stage.sat) == 3
    assert read_record(beside).status == "ok"


@pytest.mark.parametrize(
    ("size", "tables"),
    [
        (5, [["1.10.0 0", "a 0", "b 0", "c 0", "d 0"]]),
        (9, [["1.10.0 0", "a 0", "b 0", "c 0", "d 0"]]),
        (4, [["1.10.0 0", "a 0", "b 0", "c 0"], ["1.10.0 0.beside-1", "d 0"]]),
        (3, [["1.10.0 0", "a 0", "b 0"], ["1.10.0 0.beside-1", "c 0", "d 0"]]),
        (
            2,
            [
                ["1.10.0 0", "a 0"],
                ["1.10.0 0.beside-1", "b 0"],
                ["1.10.0 0.beside-2", "c 0"],
                ["1.10.0 0.beside-3", "d 0"],
            ],
        ),
        (1, [["1.10.0 0"], ["a 0"], ["b 0"], ["c 0"], ["d 0"]]),
    ],
)
def test_the_baseline_sits_at_each_table_and_everybody_once_for_the_own_record(spec, tmp_path, size, tables):
    seats = [seat_of(spec, tmp_path, name) for name in ("1.10.0", "a", "b", "c", "d")]
    assert [[name_of(seat.part) for seat in table] for table in tables_of(seats, size)] == tables


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_baseline_that_nobody_sits_down_with_has_a_table(spec, tmp_path, size):
    seats = [seat_of(spec, tmp_path, "1.10.0")]
    assert tables_of(seats, size) == [seats]


def seat_of(spec, folder, name):
    pin = msgspec.structs.replace(spec.pin, name=name)
    part = folder / name / "0.part"
    return Seat(Order(msgspec.structs.replace(spec, pin=pin), "index.json"), Path("python"), part, part)


def record_in(spec, *names):
    """A record of a run that sat in these sittings."""
    sittings = [Sitting(name, 0, 5) for name in names]
    return Record(SCHEMA, spec, spec.identity(), "ok", "2026-01-01", "2026-01-01", sittings=sittings)


@pytest.mark.parametrize(
    ("sat", "beside", "together"),
    [
        ([], [], True),
        ([["x"]], [], True),
        ([[], [], []], [], True),  # what takes no turns
        ([["x"], ["y"], ["z"]], [], True),  # each had the device to itself
        ([["x"], ["x"], ["x"]], [], True),
        ([["x", "y"], ["x", "y"], ["x"]], [], True),  # one ended before the others
        ([["x", "y"], ["x"], ["y"]], [], True),
        ([["x"], ["x"], ["y"]], [], False),
        ([["x"], ["x"], ["z"]], [["y"]], False),
        ([["x"], ["x"], ["y"]], [["y"]], True),  # at two tables
        ([["x"], ["x"], ["y"], ["z"]], [["y"], ["z"]], True),
        ([["x"], ["x"], ["y"], ["z"]], [["y"]], False),
        ([["x"], ["y"], ["y"]], [], True),  # without the baseline: nothing of it is paired, nor would it be once more
    ],
)
def test_who_took_turns_with_the_baseline_or_all_alone_sat_together(spec, sat, beside, together):
    assert sat_together(*([record_in(spec, *names) for names in some] for some in (sat, beside))) == together


@pytest.mark.parametrize("suffix", [".json", ".part"])
def test_only_the_checkpoints_of_its_own_round_are_removed_with_a_run(tmp_path, suffix):
    own = ("1.checkpoint", "1.0.checkpoint", "1.1.checkpoint", "1.12.checkpoint", "1.beside-1.2.checkpoint")
    others = ("11.checkpoint", "11.1.checkpoint", "0.1.checkpoint", "1.json", "1.part", "1.log", "1.beside-1.json")
    for name in (*own, *others):
        (tmp_path / name).write_bytes(b"")
    clear_checkpoints(tmp_path / f"1{suffix}")
    assert {path.name for path in tmp_path.iterdir()} == set(others)


def test_checkpoints_of_parts_stay_until_the_records_are_in_place_and_go_with_them(stage, turns_plan, tmp_path):
    checkpoint = checkpoint_of_part(record_path(tmp_path, turns_plan.runs[0]), 1)

    def write():
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.write_bytes(b"whole")

    stage.ends, stage.on_start = Exit(None, "SIGKILL", None), write
    stage.run(turns_plan)
    stage.ends, stage.on_start = Exit(0, None, None), checkpoint.exists
    stage.run(turns_plan)
    assert (stage.seen, checkpoint.exists()) == ([True] * 3, False)
    checkpoint.write_bytes(b"whole")
    stage.run(turns_plan)
    assert (stage.sat, checkpoint.exists()) == ([], False)  # all records are kept
    checkpoint.write_bytes(b"whole")
    stage.run(msgspec.structs.replace(turns_plan, fresh=True))
    assert stage.seen == [False] * 3


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
        return dict.fromkeys(plan.cases, Inputs(Data("shapes", "digest of elsewhere"), None))

    def begin(self, plan):
        self.calls.append(("begin", {spec.data.digest for spec in plan.runs}))

    def kept(self, group):
        return list(map(self.record, group.runs)) if group.runs[0].pin.name in self.has else None

    def do(self, groups, board):
        for group in groups:
            names = [spec.pin.name for spec in group.runs]
            self.calls.append((group.runs[0].case, names, group.turns, group.rounds, group.fresh))
            yield list(map(self.record, group.runs))

    @staticmethod
    def record(spec):
        times = {"started": "2026-01-01", "ended": "2026-01-01"}
        return Record(SCHEMA, spec, spec.identity(), "ok", **times)


def test_any_launcher_gets_whole_groups_in_their_order_unless_their_records_are_kept(plan, turns_plan):
    turns = [msgspec.structs.replace(spec, round=number) for number in range(2) for spec in turns_plan.runs]
    made = msgspec.structs.replace(turns_plan, cases=["converge", "train"], runs=[*plan.runs, *turns])
    launcher = Elsewhere("1.13.1")
    with PlainBoard(made.runs, Silent()) as board:
        outcomes = run(made, launcher, board)
    assert launcher.calls == [
        ("begin", {"digest of elsewhere"}),
        ("converge", ["1.10.0"], False, 1, False),
        ("train", ["1.10.0", TWIN, "1.13.1"], True, 2, False),
        ("train", ["1.10.0", TWIN, "1.13.1"], True, 2, False),
    ]
    assert [(one.spec.case, one.spec.pin.name, one.reused) for one in outcomes] == [
        ("converge", "1.13.1", True),
        ("converge", "1.10.0", False),
        *[("train", pin, False) for _ in range(2) for pin in ("1.10.0", TWIN, "1.13.1")],
    ]


def test_a_fresh_plan_asks_no_launcher_for_what_it_has(plan):
    launcher = Elsewhere("1.10.0", "1.13.1")
    with PlainBoard(plan.runs, Silent()) as board:
        run(msgspec.structs.replace(plan, fresh=True), launcher, board)
    assert [call[1:] for call in launcher.calls[1:]] == [(["1.10.0"], False, 1, True), (["1.13.1"], False, 1, True)]


HOLDER = """
import pathlib, sys, time
from harness.conduct.folder import clear_checkpoints, sat_together, sole_use

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


def test_what_a_run_is_given_is_named_in_its_spec_and_lies_where_its_order_says(stage, monkeypatch):
    given = GivenWeights(Weights("small.pt", "f00"), "cache/f00.safetensors", "")
    monkeypatch.setattr(this_machine, "prepare_weights", lambda *_: {"converge": given})
    records = stage.run()
    assert {order.weights for order in stage.orders} == {"cache/f00.safetensors"}
    assert {record.spec.weights for record in records.values()} == {given.weights}


def test_other_weights_make_every_record_stale(stage, monkeypatch):
    stage.run()
    given = GivenWeights(Weights("small.pt", "f00"), "cache/f00.safetensors", "")
    monkeypatch.setattr(this_machine, "prepare_weights", lambda *_: {"converge": given})
    stage.run()
    assert stage.started == ["1.10.0", "1.13.1"]
