import io

import msgspec
import pytest
from rich.console import Console

from harness.conduct.board import LiveBoard, PlainBoard, make_board, summary
from harness.core.record import Metric, Record


@pytest.fixture
def runs(alone_spec):
    """Three rounds of a training that takes no turns."""
    return [msgspec.structs.replace(alone_spec, round=number) for number in range(3)]


def record_of(spec, status="ok", **fields):
    times = {"started": "2026-01-01", "ended": "2026-01-01"}
    return Record(schema=1, spec=spec, identity="", status=status, **times, **fields)


EVENT = {"phase": "epoch done", "epoch": 0, "rate": 2.5, "loss": 12.25, "memory": 512 * 2**20, "map50": 0.5}


def plain(runs):
    out = io.StringIO()
    return PlainBoard(runs, Console(file=out, width=60)), out


def test_lines_tell_the_start_every_epoch_and_the_end_of_a_run(runs):
    board, out = plain(runs)
    with board:
        board.begin(runs[0])
        board.hear(runs[0], {**EVENT, "phase": "training"})
        board.hear(runs[0], EVENT)
        quality = Metric(name="map50", unit="fraction", samples=[0.71])
        board.end(runs[0], record_of(runs[0], metrics=[quality]), reused=False)
    assert out.getvalue().splitlines() == [
        "converge 1.13.1 round 1: started (0 of 3 runs done)",
        "converge 1.13.1 round 1: epoch 1 of 2, loss 12.25, 2.5 steps/s, 512 MiB, mAP50 0.500",
        "converge 1.13.1 round 1: ok in 0:00: Final mAP50 0.710",
    ]


def test_a_failed_run_says_why_and_hostile_text_is_printed_as_it_is(runs):
    board, out = plain(runs)
    with board:
        board.begin(runs[0])
        board.end(runs[0], record_of(runs[0], status="failed", reason="[red]because[/red]"), reused=False)
    assert out.getvalue().endswith("failed in 0:00: [red]because[/red]\n")


def test_a_loss_that_is_not_finite_is_said(runs):
    board, out = plain(runs)
    with board:
        board.begin(runs[0])
        board.hear(runs[0], {**EVENT, "loss": None})
    assert "loss not finite" in out.getvalue()


def test_the_time_left_follows_from_the_runs_that_have_ended(runs):
    board, _ = plain(runs)
    assert board.time_left() is None
    board.begin(runs[0])
    board.end(runs[0], record_of(runs[0]), reused=False)
    board.rows["converge", "1.13.1", 0].took = 100.0
    assert board.time_left() == pytest.approx(200.0)
    board.end(runs[1], record_of(runs[1]), reused=True)
    assert board.time_left() == pytest.approx(100.0)


def test_the_live_board_shows_every_run_with_epoch_rate_loss_and_memory(runs):
    board = LiveBoard(runs, Console(file=io.StringIO(), width=80))
    board.begin(runs[0])
    board.hear(runs[0], {**EVENT, "phase": "training"})
    shown = Console(file=io.StringIO(), width=80, record=True)
    shown.print(board.table())
    text = shown.export_text()
    assert text.count("1.13.1") == 3
    assert all(part in text for part in ("training", "1/2", "2.5", "12.25", "512", "waiting", "0 of 3 runs done"))


def test_without_a_terminal_there_are_lines(runs):
    assert isinstance(make_board(runs), PlainBoard)


@pytest.fixture
def sitting(spec):
    """Two rounds of two pins, which take turns."""
    pins = [msgspec.structs.replace(spec.pin, name=name) for name in ("1.10.0", "1.13.1")]
    return [msgspec.structs.replace(spec, pin=pin, round=number) for number in range(2) for pin in pins]


STEP_TIME = Metric(name="step_time", unit="s", samples=[0.1, 0.2, 0.3])


def turns_record(spec, *metrics):
    return record_of(spec, metrics=[STEP_TIME, *metrics], measuring=0.6)


def test_runs_that_take_turns_count_once_a_round_in_the_time_left(sitting):
    board, _ = plain(sitting)
    for spec in sitting[:2]:
        board.begin(spec)
        board.end(spec, turns_record(spec), reused=False)
        board.row(spec).took = 60.0
    assert board.time_left() == pytest.approx(60.0)


def test_a_case_of_which_no_run_has_ended_leaves_the_time_unsaid(sitting, runs):
    board, _ = plain([*sitting, runs[0]])
    for spec in sitting:
        board.end(spec, turns_record(spec), reused=False)
    assert board.time_left() is None


def test_a_run_that_took_turns_ends_with_its_laps_and_its_step(sitting):
    board, out = plain(sitting)
    with board:
        for spec in sitting[:3]:
            board.begin(spec)
            board.hear(spec, {"phase": "turn"})
        quality = Metric(name="map50", unit="fraction", samples=[0.3, 0.71])
        board.end(sitting[0], turns_record(sitting[0], quality), reused=False)
        board.end(sitting[1], turns_record(sitting[1]), reused=False)
        board.end(sitting[2], record_of(sitting[2]), reused=False)
    assert [line.split(" round ")[1] for line in out.getvalue().splitlines()] == [
        *["1: started (0 of 4 runs done)"] * 2,
        "2: started (0 of 4 runs done)",
        "1: ok in 0:00: 3 laps, 200 ms a step; Final mAP50 0.710",
        "1: ok in 0:00: 3 laps, 200 ms a step",
        "2: ok in 0:00",
    ]


def test_of_a_run_whose_turns_measure_several_things_the_laps_are_told(spec):
    at = [{"precision": "fp32", "size": size, "batch": 1} for size in (32, 64)]
    metrics = [Metric("network_time", "s", [0.1, 0.2, 0.3], at=one) for one in at]
    served = msgspec.structs.replace(spec, case="inference", settings=None)
    assert summary(record_of(served, metrics=metrics)) == "3 laps"


def test_the_live_board_shows_the_epoch_of_every_pin_at_the_table_and_between_its_turns_too(sitting):
    board = LiveBoard(sitting, Console(file=io.StringIO(), width=80))
    for epoch, spec in enumerate(sitting[:2]):
        board.begin(spec)
        board.hear(spec, {**EVENT, "phase": "training", "epoch": epoch})
        board.hear(spec, {"phase": "turn"})
    shown = Console(file=io.StringIO(), width=80, record=True)
    shown.print(board.table())
    text = shown.export_text()
    assert all(part in text for part in ("1/2", "2/2", "turn", "waiting", "12.25"))


def test_a_matrix_that_is_longer_than_the_terminal_shows_the_rows_around_what_is_running(spec):
    runs = [msgspec.structs.replace(spec, round=number) for number in range(50)]
    board = LiveBoard(runs, Console(file=io.StringIO(), width=80, height=20))
    for run in runs[:30]:
        board.begin(run)
        board.end(run, record_of(run), reused=False)
    board.begin(runs[30])
    shown = Console(file=io.StringIO(), width=80, height=20, record=True)
    shown.print(board.table())
    lines = shown.export_text().splitlines()
    assert len(lines) <= 20
    assert any("running" in line and " 31 " in line for line in lines)
    assert "30 of 50 runs done" in lines[-1]


def test_of_epochs_that_are_short_the_first_and_the_last_have_a_line(spec):
    run = msgspec.structs.replace(spec, train=msgspec.structs.replace(spec.train, epochs=60))
    board, out = plain([run])
    with board:
        board.begin(run)
        for epoch in range(60):
            board.hear(run, {**EVENT, "epoch": epoch})
    assert [line.split(", ")[0].split(": ")[1] for line in out.getvalue().splitlines()[1:]] == [
        "epoch 1 of 60",
        "epoch 60 of 60",
    ]
