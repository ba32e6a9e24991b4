"""Processes that take turns: real ones, of a script that plays the cell's part and keeps a journal of what it does."""

import json
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import msgspec
import psutil
import pytest
from msgspec.structs import replace

from harness.conduct.process import WatchedProcess
from harness.conduct.seat import Seat
from harness.conduct.sitting import NoRoomError, sit, tables_of
from harness.core.checkpoints import FORMAT
from harness.core.files import ROOT
from harness.core.spec import Order

BASELINE = "1.10.0"
PINS = [BASELINE, "A/A", "1.12.1", "1.13.1"]

CELL = """
import json, os, sys, time

record, _, descriptor = sys.argv[2:5]
journal, does, form = {journal!r}, json.load(open({does!r})), {form}
order = json.loads(sys.stdin.buffer.readline())
pin, place = order["spec"]["pin"]["name"], order["place"]
does = does.get(pin, {{}})
part = int(place["leave"].split(".")[-2]) - 1
assert bool(place["source"]) == bool(part)


def tell(phase, **event):
    os.write(int(descriptor), json.dumps({{"phase": phase, **event}}).encode() + b"\\n")


def note(what):
    with open(journal, "a") as file:
        file.write(json.dumps([pin, place["sitting"], place["seat"], part, what, os.getpid()]) + "\\n")


def leave():
    if part + 1 < does.get("parts", 1):
        header = {{"format": form, "torch": "1", "run": {run}[pin], "size": 0, "sha256": ""}}
        header.update(epoch=part + 1, step=0)
        with open(place["leave"] + ".torn", "w") as file:
            file.write(json.dumps(header) + "\\n")
        os.replace(place["leave"] + ".torn", place["leave"])
    elif not does.get("no_record"):
        open(record, "w").write("the record")


if part:
    assert json.loads(open(place["source"]).readline())["epoch"] == part
note("start")
tell("warming up")
time.sleep(does.get("slow_start", 0))
if does.get("dies_at") == 0:
    sys.exit(7)
tell("ready")
for turn in range(1, does.get("turns", 6) + 1):
    if sys.stdin.buffer.readline() != b"turn\\n":
        sys.exit(3)
    note("turn")
    if does.get("no_room") == turn and place["seats"] > does.get("room", 1):
        tell("no room")
        sys.exit(1)
    if does.get("dies_at") == turn and part == does.get("dies_in", 0):
        sys.exit(7)
    if does.get("hangs_at") == turn:
        time.sleep(600)
    time.sleep(does.get("slow_turn", 0))
    if turn < does.get("turns", 6):
        tell("turn", lap=turn)
time.sleep(does.get("slow_end", 0))
leave()
note("end")
"""


class Table:
    """Seats for some pins, each told what to do, and the journal of what their processes did."""

    def __init__(self, spec, folder):
        self.spec, self.folder = spec, folder
        self.silence = 30
        self.heard = []
        self.script = folder / "cell.py"
        self.tell({})

    def tell(self, does):
        """What the process of each pin is to do; it reads it when it starts."""
        (self.folder / "does.json").write_text(json.dumps(does), encoding="utf-8")

    def seats(self, pins=PINS, number=0):
        train = replace(self.spec.train, silence_seconds=self.silence)
        base = replace(self.spec, round=number, train=train)
        specs = [replace(base, pin=replace(self.spec.pin, name=pin)) for pin in pins]
        text = textwrap.dedent(CELL).format(
            journal=str(self.folder / "journal"),
            does=str(self.folder / "does.json"),
            form=FORMAT,
            run={spec.pin.name: spec.identity() for spec in specs},
        )
        self.script.write_text(text, encoding="utf-8")
        return [Acting(Order(spec, ""), self.script, *self.places(spec)) for spec in specs]

    def places(self, spec):
        folder = self.folder / spec.pin.folder
        folder.mkdir(exist_ok=True)
        return folder / f"{spec.round}.part", folder / f"{spec.round}.log"

    def hear(self, spec, event):
        self.heard.append((spec.pin.name, event))

    def sit(self, pins=PINS, hear=None, number=0, rounds=1):
        outcomes = sit(self.seats(pins, number), hear or self.hear, rounds)
        assert len(outcomes) == len(pins)
        return dict(zip(pins, outcomes))

    def journal(self, what):
        """The pin, sitting, seat and part of every entry of that kind, in the order in which they were written."""
        path = self.folder / "journal"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [tuple(entry[:4]) for entry in map(json.loads, lines) if entry[4] == what]

    def pins(self, what):
        return [entry[0] for entry in self.journal(what)]

    def turns(self):
        return {pin: self.pins("turn").count(pin) for pin in PINS}

    def checkpoints(self):
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*.checkpoint"))

    def running(self):
        return [
            process.info["pid"]
            for process in psutil.process_iter(["pid", "cmdline", "status"])
            if str(self.script) in (process.info["cmdline"] or []) and process.info["status"] != psutil.STATUS_ZOMBIE
        ]


class Acting(Seat):
    """A seat whose process is the script; it is given in place of an interpreter."""

    @property
    def command(self):
        return [sys.executable, str(self.interpreter), "--record", str(self.part.absolute())]


@pytest.fixture
def table(spec, tmp_path):
    return Table(spec, tmp_path)


def test_every_lap_holds_every_process_once_and_laps_differ_in_their_order(table):
    table.tell({pin: {"turns": 12} for pin in PINS})
    outcomes = table.sit()
    assert all(outcome.good for outcome in outcomes.values())
    turns = table.pins("turn")
    laps = [turns[start : start + 4] for start in range(0, len(turns), 4)]
    assert len(laps) == 12
    assert all(sorted(lap) == sorted(PINS) for lap in laps)
    assert len(set(map(tuple, laps))) > 3


def test_no_process_has_two_turns_in_a_row(table):
    table.tell({pin: {"turns": 24} for pin in PINS})
    table.sit()
    turns = table.pins("turn")
    assert len(turns) == 24 * 4
    assert all(one != other for one, other in zip(turns, turns[1:]))


def test_a_lap_begins_when_all_are_ready(table):
    table.tell({"1.13.1": {"slow_start": 1}})
    table.sit()
    lines = (table.folder / "journal").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)[4] for line in lines[:5]] == ["start"] * 4 + ["turn"]


def test_each_process_is_started_when_the_one_before_it_is_ready(table):
    table.tell({pin: {"slow_start": 0.3} for pin in PINS})
    table.sit()
    phases = [(pin, event["phase"]) for pin, event in table.heard if event["phase"] in ("warming up", "ready")]
    assert phases == [(pin, phase) for pin in table.pins("start") for phase in ("warming up", "ready")]


def test_a_process_is_told_the_place_in_which_it_was_started(table):
    table.sit()
    assert [seat for _, _, seat, _ in table.journal("start")] == [0, 1, 2, 3]


def test_over_all_rounds_and_parts_every_process_is_started_in_every_place_about_equally_often(table):
    table.tell({pin: {"turns": 1, "parts": 2} for pin in PINS})
    for number in range(4):
        table.sit(number=number, rounds=4)
    places = {(pin, seat) for pin, _, seat, _ in table.journal("start")}
    counts = [sum(entry[:1] + entry[2:3] == (pin, seat) for entry in table.journal("start")) for pin, seat in places]
    assert len(places) == 16
    assert set(counts) == {2}


def test_every_process_leaves_its_record_and_none_is_left_running(table):
    table.sit()
    assert all(seat.part.read_text(encoding="utf-8") == "the record" for seat in table.seats())
    assert table.running() == []


def test_events_are_heard_with_the_run_that_sent_them(table):
    table.sit()
    laps = {pin: [event["lap"] for who, event in table.heard if who == pin and "lap" in event] for pin in PINS}
    assert set(laps) == set(PINS)
    assert all(numbers == [1, 2, 3, 4, 5] for numbers in laps.values())


# --- several parts ------------------------------------------------------------------------------------------------


def test_where_all_have_left_a_checkpoint_fresh_processes_go_on_from_it_in_a_sitting_of_their_own(table):
    table.tell({pin: {"parts": 3, "turns": 2} for pin in PINS})
    outcomes = table.sit()
    assert all(outcome.good for outcome in outcomes.values())
    starts = table.journal("start")
    assert [part for *_, part in starts] == [0] * 4 + [1] * 4 + [2] * 4
    sittings = [{name for _, name, _, part in starts if part == number} for number in range(3)]
    assert [len(names) for names in sittings] == [1, 1, 1]
    assert len(set.union(*sittings)) == 3
    assert table.turns() == dict.fromkeys(PINS, 6)


def test_a_checkpoint_is_kept_until_all_have_the_next_one(table):
    table.tell({pin: {"parts": 3, "turns": 2} for pin in PINS})
    seen = []

    def hear(spec, event):
        if event.get("phase") == "ready":
            seen.append([path for path in table.checkpoints() if path.startswith("1.13.1/")])

    table.sit(hear=hear)
    assert seen == [[]] * 4 + [["1.13.1/0.1.checkpoint"]] * 4 + [["1.13.1/0.2.checkpoint"]] * 4


def test_one_that_dies_in_the_first_part_is_not_started_for_the_second(table):
    table.tell({**{pin: {"parts": 2} for pin in PINS}, "1.12.1": {"parts": 2, "dies_at": 3}})
    outcomes = table.sit()
    assert [pin for pin in PINS if not outcomes[pin].good] == ["1.12.1"]
    assert [pin for pin, _, _, part in table.journal("start") if part == 1].count("1.12.1") == 0
    assert table.turns() == {BASELINE: 12, "A/A": 12, "1.12.1": 3, "1.13.1": 12}


def test_a_log_is_of_all_parts(table, monkeypatch):
    table.tell({pin: {"parts": 2} for pin in PINS})
    told = []
    start = WatchedProcess.__init__

    def noting(self, *arguments, more=False, **others):
        told.append(more)
        start(self, *arguments, more=more, **others)

    monkeypatch.setattr(WatchedProcess, "__init__", noting)
    table.sit()
    assert told == [False] * 4 + [True] * 4


CONDUCTOR = """
import sys
sys.path[:0] = [{root!r}, {tests!r}]
from test_sitting import Table, PINS
from pathlib import Path
import msgspec
from harness.core.spec import RunSpec

spec = msgspec.json.decode(Path({spec!r}).read_bytes(), type=RunSpec)
table = Table.__new__(Table)
table.spec, table.folder, table.silence, table.heard = spec, Path({folder!r}), 30, []
table.script = table.folder / "cell.py"
table.sit()
"""


@pytest.mark.parametrize("seed", range(15))
def test_a_group_whose_conductor_is_killed_goes_on_where_all_have_left_a_checkpoint(table, seed):
    parts, turns = 3, 4
    table.tell({pin: {"parts": parts, "turns": turns, "slow_turn": 0.01} for pin in PINS})
    (table.folder / "spec.json").write_bytes(msgspec.json.encode(table.spec))
    program = CONDUCTOR.format(
        root=str(ROOT), tests=str(Path(__file__).parent), spec=str(table.folder / "spec.json"), folder=str(table.folder)
    )
    wanted = random.Random(seed).randint(1, parts * turns * len(PINS))
    conductor = subprocess.Popen([sys.executable, "-c", program], start_new_session=True)
    deadline = time.monotonic() + 60
    while len(table.journal("turn")) < wanted and conductor.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    conductor.send_signal(signal.SIGKILL)
    conductor.wait()
    for process in table.running():  # the conductor's own kill does not reach what it has started: they see its end
        while psutil.pid_exists(process) and time.monotonic() < deadline:
            time.sleep(0.01)
    assert table.running() == []
    before = table.turns()
    outcomes = table.sit()
    assert all(outcome.good for outcome in outcomes.values())
    assert all(seat.part.read_text(encoding="utf-8") == "the record" for seat in table.seats())
    repeated = {pin: table.turns()[pin] - parts * turns for pin in PINS}
    assert all(0 <= repeated[pin] <= min(turns, before[pin]) for pin in PINS)
    ends = {(pin, part) for pin, _, _, part in table.journal("end")}
    assert ends == {(pin, part) for pin in PINS for part in range(parts)}


def test_checkpoints_of_different_moments_are_not_gone_on_from(table):
    table.tell({pin: {"parts": 2, "turns": 2} for pin in PINS})
    seats = table.seats()
    for seat in seats[:3]:
        leave(seat, 1, epoch=1)
    leave(seats[3], 1, epoch=2)
    table.sit()
    assert [part for *_, part in table.journal("start")] == [0] * 4 + [1] * 4


@pytest.mark.parametrize("spoilt", ["of another run", "no checkpoint at all", "gone"])
def test_a_checkpoint_that_cannot_be_used_makes_all_begin_anew(table, spoilt):
    table.tell({pin: {"parts": 2, "turns": 2} for pin in PINS})
    seats = table.seats()
    for seat in seats:
        leave(seat, 1, epoch=1)
    if spoilt == "of another run":
        leave(seats[2], 1, epoch=1, run="another")
    elif spoilt == "gone":
        seats[2].checkpoint(1).unlink()
    else:
        seats[2].checkpoint(1).write_bytes(b"\xff\xfe\n")
    table.sit()
    assert [part for *_, part in table.journal("start")][:4] == [0] * 4


def test_the_last_checkpoint_that_all_have_is_gone_on_from(table):
    table.tell({pin: {"parts": 3, "turns": 2} for pin in PINS})
    seats = table.seats()
    for seat in seats:
        leave(seat, 1, epoch=1)
        leave(seat, 2, epoch=2)
    table.sit()
    assert [part for *_, part in table.journal("start")] == [2] * 4


def leave(seat, part, epoch, run=None):
    header = {"format": FORMAT, "torch": "1", "run": run or seat.spec.identity()}
    header |= {"epoch": epoch, "step": 0, "size": 0, "sha256": ""}
    seat.checkpoint(part).write_text(json.dumps(header) + "\n", encoding="utf-8")


# --- processes that die, hang, or find no room --------------------------------------------------------------------


@pytest.mark.parametrize("pin", ["1.12.1", BASELINE])
def test_a_process_that_dies_in_mid_lap_leaves_and_the_others_go_on(table, pin):
    table.tell({pin: {"dies_at": 3}})
    outcomes = table.sit()
    assert outcomes[pin].in_words() == "The process ended with exit code 7."
    assert [each for each in PINS if not outcomes[each].good] == [pin]
    assert table.turns() == {**dict.fromkeys(PINS, 6), pin: 3}
    assert table.running() == []


def test_a_process_that_hangs_in_mid_lap_leaves_and_the_others_go_on(table):
    table.tell({"1.12.1": {"hangs_at": 3}})
    table.silence = 2
    outcomes = table.sit()
    assert "reported nothing for 2 s" in outcomes["1.12.1"].in_words()
    assert table.turns() == {**dict.fromkeys(PINS, 6), "1.12.1": 3}
    assert table.running() == []


def test_a_process_that_hung_is_ended_before_the_others_go_on(table):
    table.tell({"1.12.1": {"hangs_at": 1}})
    table.silence = 2
    beside = []

    def hear(spec, event):
        if event.get("lap") == 3:
            beside.append(len(table.running()))

    table.sit(hear=hear)
    assert beside == [3, 3, 3]


def test_waiting_for_ones_turn_is_no_silence(table):
    table.tell({"1.12.1": {"hangs_at": 1}, "1.13.1": {"slow_start": 2}})
    table.silence = 3
    outcomes = table.sit()
    assert [pin for pin in PINS if outcomes[pin].good] == [BASELINE, "A/A", "1.13.1"]


@pytest.mark.parametrize("pin", [BASELINE, "1.13.1"])
def test_a_process_that_never_gets_ready_is_no_hindrance_to_the_others(table, pin):
    table.tell({pin: {"dies_at": 0}})
    outcomes = table.sit()
    assert [each for each in PINS if not outcomes[each].good] == [pin]
    assert table.turns() == {**dict.fromkeys(PINS, 6), pin: 0}


def test_a_table_that_everybody_left_is_over(table):
    table.tell({pin: {"dies_at": 2} for pin in PINS})
    outcomes = table.sit()
    assert [outcome.exit_code for outcome in outcomes.values()] == [7] * 4
    assert table.turns() == dict.fromkeys(PINS, 2)


def test_one_that_leaves_neither_record_nor_checkpoint_has_ended(table):
    table.tell({"1.12.1": {"no_record": True}})
    assert table.sit()["1.12.1"].good
    assert not table.seats()[2].part.exists()


@pytest.mark.parametrize("turn", [1, 4])
def test_where_one_finds_no_room_nobody_goes_on(table, turn):
    table.tell({"1.12.1": {"no_room": turn}})
    with pytest.raises(NoRoomError):
        table.sit()
    assert table.running() == []
    assert table.turns()[BASELINE] <= turn


def test_a_sitting_that_is_interrupted_leaves_no_process_behind(table):
    def hear(spec, event):
        if event.get("lap") == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        table.sit(hear=hear)
    assert len(table.pins("start")) == 4
    assert table.running() == []


def named(tables):
    return [[(seat.spec.pin.name, seat.part.name) for seat in one] for one in tables]


def test_tables_of_fewer_have_the_baseline_at_each_with_one_record_apart_for_every_further_one(table):
    assert named(tables_of(table.seats(), 3)) == [
        [(BASELINE, "0.part"), ("A/A", "0.part"), ("1.12.1", "0.part")],
        [(BASELINE, "0.beside-1.part"), ("1.13.1", "0.part")],
    ]


def test_where_all_have_room_there_is_one_table(table):
    assert named(tables_of(table.seats(), 4)) == [[(pin, "0.part") for pin in PINS]]


def test_where_one_has_room_everybody_is_alone(table):
    assert named(tables_of(table.seats(), 1)) == [[(pin, "0.part")] for pin in PINS]


def test_a_baseline_without_others_sits_too(table):
    assert named(tables_of(table.seats([BASELINE]), 4)) == [[(BASELINE, "0.part")]]
