"""Processes that take turns: real ones, of a script that plays the cell's part and keeps a journal of what it does."""

import json
import math
import random
import sys
import textwrap

import psutil
import pytest
from msgspec.structs import replace

from harness.conduct import sitting
from harness.conduct.process import WatchedProcess, environment_for
from harness.conduct.seat import Seat
from harness.conduct.sitting import narrow_enough, sit
from harness.core.spec import Order

BASELINE = "1.10.0"
PINS = [BASELINE, "A/A", "1.12.1", "1.13.1"]

CELL = """
import argparse, json, os, random, sys, time

parser = argparse.ArgumentParser()
parser.add_argument("journal")
parser.add_argument("does", type=json.loads)
parser.add_argument("--record")
parser.add_argument("--sitting")
parser.add_argument("--seat", type=int)
parser.add_argument("--progress-fd", type=int)
asked = parser.parse_args()
does = asked.does
pin = json.loads(sys.stdin.buffer.readline())["spec"]["pin"]["name"]


def tell(**event):
    os.write(asked.progress_fd, json.dumps(event).encode() + b"\\n")


def note(what):
    with open(asked.journal, "a") as journal:
        journal.write(json.dumps([pin, asked.sitting, what, os.getpid()]) + "\\n")


note("start")
tell(phase="warming up")
time.sleep(does.get("slow_start", 0))
if does.get("dies_at") == 0:
    sys.exit(7)
if asked.sitting and does.get("no_room"):
    tell(phase="no room")
    sys.exit(1)
tell(phase="ready")
noise = random.Random(pin)
lap = 0
while True:
    order = sys.stdin.buffer.readline()
    if order != b"turn\\n":
        break
    lap += 1
    note("turn")
    if does.get("dies_at") == lap:
        sys.exit(7)
    if does.get("hangs_at") == lap:
        time.sleep(600)
    time.sleep(does.get("slow_turn", 0))
    tell(phase="turn", lap=lap, seconds=1 + does.get("noise", 0) * noise.random())
time.sleep(does.get("slow_end", 0))
note("end")
if order == b"end\\n" and not does.get("no_record"):
    open(asked.record, "w").write("the record")
sys.exit(0 if order == b"end\\n" else 3)
"""


class Table:
    """Seats for some pins, each told what to do, and the journal of what their processes did."""

    def __init__(self, spec, folder):
        self.spec, self.folder = spec, folder
        self.does = {}
        self.laps, self.seconds, self.silence = 6, 60, 30
        self.heard = []
        self.script = folder / "cell.py"
        self.script.write_text(textwrap.dedent(CELL), encoding="utf-8")

    def seats(self, pins, sitting=0):
        pace = {**self.spec.settings, "laps": self.laps, "seconds": self.seconds}
        train = replace(self.spec.train, silence_seconds=self.silence)
        base = replace(self.spec, round=sitting, settings=pace, train=train)
        specs = [replace(base, pin=replace(self.spec.pin, name=pin)) for pin in pins]
        return [
            Seat(Order(spec, ""), sys.executable, self.folder / f"{folder}.part", self.folder / f"{folder}.log")
            for spec, folder in ((spec, spec.pin.folder) for spec in specs)
        ]

    def start(self, seat, place):
        does = json.dumps(self.does.get(seat.spec.pin.name, {}))
        together = ["--sitting", place.sitting, "--seat", str(place.number)] if place else []
        process = WatchedProcess(
            [
                sys.executable,
                str(self.script),
                str(self.folder / "journal"),
                does,
                "--record",
                str(seat.part),
                *together,
            ],
            log=seat.log,
            variables=environment_for(seat.spec),
            silence=seat.spec.train.silence_seconds,
            limit=60,
        )
        process.say(seat.words)
        return process

    def hear(self, spec, event):
        self.heard.append((spec.pin.name, event))

    def sit(self, pins=PINS, until=math.inf, hear=None, sitting=0):
        outcomes = sit(self.seats(pins, sitting), hear or self.hear, baseline=BASELINE, until=until)
        assert len(outcomes) == len(pins)
        return dict(zip(pins, outcomes))

    def journal(self, what):
        """The pin and its sitting of every entry of that kind, in the order in which they were written."""
        lines = (self.folder / "journal").read_text(encoding="utf-8").splitlines()
        return [(pin, name) for pin, name, entry, _ in map(json.loads, lines) if entry == what]

    def turns(self):
        return [pin for pin, _ in self.journal("turn")]

    def running(self):
        return [
            process.info["pid"]
            for process in psutil.process_iter(["pid", "cmdline", "status"])
            if str(self.script) in (process.info["cmdline"] or []) and process.info["status"] != psutil.STATUS_ZOMBIE
        ]


@pytest.fixture
def table(pace_spec, tmp_path, monkeypatch):
    table = Table(pace_spec, tmp_path)
    monkeypatch.setattr(sitting, "start", table.start)
    return table


def test_every_lap_holds_every_process_once_and_laps_differ_in_their_order(table):
    table.laps = 12
    outcomes = table.sit()
    assert all(outcome.good for outcome in outcomes.values())
    turns = table.turns()
    laps = [turns[start : start + 4] for start in range(0, len(turns), 4)]
    assert len(laps) == 12
    assert all(sorted(lap) == sorted(PINS) for lap in laps)
    assert len(set(map(tuple, laps))) > 3


def test_no_process_has_two_turns_in_a_row(table):
    table.laps = 24
    table.sit()
    turns = table.turns()
    assert len(turns) == 24 * 4
    assert all(one != other for one, other in zip(turns, turns[1:]))


def test_all_processes_of_a_sitting_get_one_name_and_another_sitting_another(table):
    table.sit()
    table.sit()
    names = [name for _, name in table.journal("start")]
    assert len(set(names[:4])) == len(set(names[4:])) == 1
    assert names[0] != names[4]


def test_a_lap_begins_when_all_have_warmed_up(table):
    table.does = {"1.13.1": {"slow_start": 1}}
    table.sit()
    entries = [json.loads(line)[2] for line in (table.folder / "journal").read_text(encoding="utf-8").splitlines()]
    assert entries[:4] == ["start"] * 4


def test_each_process_is_started_when_the_one_before_it_has_warmed_up(table):
    table.does = {pin: {"slow_start": 0.3} for pin in PINS}
    table.sit()
    phases = [(pin, event["phase"]) for pin, event in table.heard if event["phase"] in ("warming up", "ready")]
    order = [pin for pin, _ in table.journal("start")]
    assert phases == [(pin, phase) for pin in order for phase in ("warming up", "ready")]


def test_over_as_many_sittings_as_there_are_seats_every_process_is_started_in_every_place(table):
    table.laps = 1
    orders = []
    for number in range(4):
        table.sit(sitting=number)
        orders.append([pin for pin, _ in table.journal("start")[4 * number :]])
    assert all(sorted(order) == sorted(PINS) for order in orders)
    assert all({order[place] for order in orders} == set(PINS) for place in range(4))


def test_a_process_is_told_the_place_in_which_it_was_started(table):
    places = {}
    start = table.start

    def noting(seat, place):
        places[seat.spec.pin.name] = place.number
        return start(seat, place)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sitting, "start", noting)
        table.sit()
    order = [pin for pin, _ in table.journal("start")]
    assert places == {pin: place for place, pin in enumerate(order)}


def test_alone_too_nobody_is_always_the_first(table):
    table.laps, table.does = 1, {"1.12.1": {"no_room": True}}
    firsts = set()
    for number in range(4):
        before = len(table.journal("turn")) if number else 0
        table.sit(sitting=number)
        firsts.add(table.journal("turn")[before][0])
    assert firsts == set(PINS)


def test_every_process_leaves_its_record_and_none_is_left_running(table):
    table.sit()
    assert all(seat.part.read_text(encoding="utf-8") == "the record" for seat in table.seats(PINS))
    assert table.running() == []


def test_events_are_heard_with_the_run_that_sent_them(table):
    table.sit()
    laps = {pin: [event["lap"] for who, event in table.heard if who == pin and "lap" in event] for pin in PINS}
    assert set(laps) == set(PINS)
    assert all(numbers == [1, 2, 3, 4, 5, 6] for numbers in laps.values())


def test_laps_end_as_soon_as_they_tell_enough(table):
    table.does = {"1.13.1": {"noise": 0.001}}
    table.laps = 6
    table.sit(until=0.5)
    assert table.turns().count("1.13.1") == 6


def test_laps_go_on_while_they_do_not_tell_enough_and_end_when_the_time_is_up(table):
    table.does = {"1.13.1": {"noise": 10.0}}
    table.laps, table.seconds = 6, 2
    outcomes = table.sit(until=1e-9)
    assert all(outcome.good for outcome in outcomes.values())
    assert table.turns().count("1.13.1") > 6
    assert len(table.turns()) % 4 == 0


def test_the_time_ends_laps_before_there_are_as_many_as_were_wanted(table):
    table.does = {BASELINE: {"slow_turn": 1.1}}
    table.laps, table.seconds = 1000, 1
    table.sit()
    assert sorted(table.turns()) == sorted(PINS)


def test_the_noise_of_the_control_is_not_waited_for(table):
    table.does = {"A/A": {"noise": 10.0}}
    table.sit(until=1e-9)
    assert table.turns().count("A/A") == 6


def test_a_process_that_dies_in_mid_lap_leaves_and_the_others_go_on(table):
    table.does = {"1.12.1": {"dies_at": 3}}
    outcomes = table.sit()
    assert outcomes["1.12.1"].in_words() == "The process ended with exit code 7."
    assert [pin for pin in PINS if outcomes[pin].good] == [BASELINE, "A/A", "1.13.1"]
    assert {pin: table.turns().count(pin) for pin in PINS} == {BASELINE: 6, "A/A": 6, "1.12.1": 3, "1.13.1": 6}
    assert table.running() == []


def test_a_process_that_hangs_in_mid_lap_leaves_and_the_others_go_on(table):
    table.does = {"1.12.1": {"hangs_at": 3}}
    table.silence = 2
    outcomes = table.sit()
    assert "reported nothing for 2 s" in outcomes["1.12.1"].in_words()
    assert [pin for pin in PINS if outcomes[pin].good] == [BASELINE, "A/A", "1.13.1"]
    assert {pin: table.turns().count(pin) for pin in PINS} == {BASELINE: 6, "A/A": 6, "1.12.1": 3, "1.13.1": 6}
    assert table.running() == []


def test_a_process_that_hung_is_ended_before_the_others_go_on(table):
    table.does = {"1.12.1": {"hangs_at": 1}}
    table.silence = 2
    beside = []

    def hear(spec, event):
        if event.get("lap") == 3:
            beside.append(len(table.running()))

    table.sit(hear=hear)
    assert beside == [3, 3, 3]


def test_waiting_for_ones_turn_is_no_silence(table):
    table.does = {"1.12.1": {"hangs_at": 1}, "1.13.1": {"slow_start": 2}}
    table.silence = 3
    outcomes = table.sit()
    assert [pin for pin in PINS if outcomes[pin].good] == [BASELINE, "A/A", "1.13.1"]


def test_waiting_for_the_others_to_write_their_records_is_no_silence(table):
    table.does = {pin: {"slow_end": 1} for pin in PINS}
    table.silence = 2
    assert all(outcome.good for outcome in table.sit().values())


@pytest.mark.parametrize("pin", [BASELINE, "1.13.1"])
def test_a_process_that_never_gets_ready_is_no_hindrance_to_the_others(table, pin):
    table.does = {pin: {"dies_at": 0}}
    table.seconds = 2
    outcomes = table.sit()
    assert [each for each in PINS if not outcomes[each].good] == [pin]
    assert table.turns().count("1.12.1") >= 6
    assert {name for _, name in table.journal("end")} == {name for _, name in table.journal("start")}


def test_a_table_that_everybody_left_is_over(table):
    table.does = {pin: {"dies_at": 2} for pin in PINS}
    outcomes = table.sit()
    assert [outcome.exit_code for outcome in outcomes.values()] == [7] * 4
    assert len(table.turns()) == 8


def alone(table):
    """Whether every pin sat by itself: all its turns one after the other, in no sitting's name."""
    turns = [pin for pin, name in table.journal("turn") if name is None]
    blocks = [turns[start : start + table.laps] for start in range(0, len(turns), table.laps)]
    return len(blocks) == len(PINS) and all(len(set(block)) == 1 for block in blocks) and set(turns) == set(PINS)


@pytest.mark.parametrize("pin", PINS)
def test_where_one_finds_no_room_each_sits_alone_for_all_its_laps(table, pin):
    table.does = {pin: {"no_room": True}}
    outcomes = table.sit()
    assert all(outcome.good for outcome in outcomes.values())
    assert alone(table)
    assert all(seat.part.exists() for seat in table.seats(PINS))
    assert table.running() == []


def test_one_that_found_no_room_and_ended_while_another_was_waited_for_is_not_overlooked(table):
    table.does = {BASELINE: {"slow_start": 2}, "1.13.1": {"no_room": True}}
    outcomes = table.sit()
    assert all(outcome.good for outcome in outcomes.values())
    assert alone(table)


def test_one_that_fails_alone_does_not_keep_the_others_from_it(table):
    table.does = {"A/A": {"no_room": True}, "1.12.1": {"dies_at": 2}}
    outcomes = table.sit()
    assert [pin for pin in PINS if not outcomes[pin].good] == ["1.12.1"]


def test_a_sitting_that_is_interrupted_leaves_no_process_behind(table):
    def hear(spec, event):
        if event.get("lap") == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        table.sit(hear=hear)
    assert len(table.journal("start")) == 4
    assert table.running() == []


def noisy(spread, laps=18, seed=0):
    random_numbers = random.Random(f"{spread} {seed}")
    return [1.0 + spread * random_numbers.random() for _ in range(laps)]


LIMITS = [10.0**-power for power in range(6)]


@pytest.mark.parametrize("factor", [0.01, 0.97, 1.03, 50.0])
@pytest.mark.parametrize("whose", ["1.13.1", BASELINE])
def test_when_laps_are_enough_does_not_depend_on_how_fast_a_pin_is(factor, whose):
    seconds = {BASELINE: noisy(0.02), "1.12.1": noisy(0.03), "1.13.1": noisy(0.05)}
    scaled = {**seconds, whose: [factor * each for each in seconds[whose]]}
    judged = [narrow_enough(seconds, BASELINE, until) for until in LIMITS]
    assert [narrow_enough(scaled, BASELINE, until) for until in LIMITS] == judged
    assert {True, False} == set(judged)


def test_more_noise_needs_a_wider_limit():
    def widest(spread):
        return [narrow_enough({BASELINE: noisy(0.0), "1.13.1": noisy(spread)}, BASELINE, until) for until in LIMITS]

    assert widest(0.001).count(True) > widest(0.1).count(True) > 0


def test_the_control_alone_is_never_looked_at():
    steady = {BASELINE: noisy(0.0), "1.13.1": noisy(0.0)}
    assert narrow_enough({**steady, "A/A": noisy(5.0)}, BASELINE, 1e-6)
    assert not narrow_enough({**steady, "1.12.1": noisy(5.0)}, BASELINE, 1e-6)


@pytest.mark.parametrize(
    "seconds",
    [
        {BASELINE: [1.0, 1.0], "1.13.1": [1.0, 1.0]},
        {BASELINE: [], "1.13.1": [1.0] * 18},
        {"1.13.1": [1.0] * 18},
        {BASELINE: [1.0] * 18, "1.13.1": [math.nan] * 18},
    ],
)
def test_laps_that_cannot_be_held_against_the_baseline_are_never_enough(seconds):
    assert not narrow_enough(seconds, BASELINE, math.inf)
