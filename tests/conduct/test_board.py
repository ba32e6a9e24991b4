import io

import msgspec
import pytest
from rich.console import Console

from harness.conduct.board import LiveBoard, PlainBoard, make_board
from harness.core.record import Metric, Record


@pytest.fixture
def runs(spec):
    return [msgspec.structs.replace(spec, round=number) for number in range(3)]


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
        board.hear({**EVENT, "phase": "training"})
        board.hear(EVENT)
        quality = Metric(name="map50", unit="fraction", better="higher", samples=[0.71])
        board.end(runs[0], record_of(runs[0], metrics=[quality]), reused=False)
    assert out.getvalue().splitlines() == [
        "train 1.13.1 round 1: started (0 of 3 runs done)",
        "train 1.13.1 round 1: epoch 1 of 2, loss 12.25, 2.5 steps/s, 512 MiB, mAP50 0.500",
        "train 1.13.1 round 1: ok in 0:00: mAP50 0.710",
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
        board.hear({**EVENT, "loss": None})
    assert "loss not finite" in out.getvalue()


def test_the_time_left_follows_from_the_runs_that_have_ended(runs):
    board, _ = plain(runs)
    assert board.time_left() is None
    board.begin(runs[0])
    board.end(runs[0], record_of(runs[0]), reused=False)
    board.rows["train", "1.13.1", 0].took = 100.0
    assert board.time_left() == pytest.approx(200.0)
    board.end(runs[1], record_of(runs[1]), reused=True)
    assert board.time_left() == pytest.approx(100.0)


def test_the_live_board_shows_every_run_with_epoch_rate_loss_and_memory(runs):
    board = LiveBoard(runs, Console(file=io.StringIO(), width=80))
    board.begin(runs[0])
    board.hear({**EVENT, "phase": "training"})
    shown = Console(file=io.StringIO(), width=80, record=True)
    shown.print(board.table())
    text = shown.export_text()
    assert text.count("1.13.1") == 3
    assert all(part in text for part in ("training", "1/2", "2.5", "12.25", "512", "waiting", "0 of 3 runs done"))


def test_without_a_terminal_there_are_lines(runs):
    assert isinstance(make_board(runs), PlainBoard)
