"""Identical processes by their seats: what is told, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
from results_folder import Folder, metric

from harness.core.record import Sitting
from harness.core.spec import TWIN
from reports.proofs.seats import seats_of
from reports.seats import main

Make = Callable[..., Folder]
Output = pytest.CaptureFixture[str]
PINS = ["1.10.0", TWIN, "copy 1", "copy 2"]
LAPS = (0.1, 0.3, 0.2)


def sat(folder: Make, last: float = 1.0, burst: float = 1.0) -> Folder:
    """Two rounds of two sittings, each twice as slow as the one before; everybody is in every seat once, and the last
    one of each takes `last` times as long as the others. A burst strikes the first lap of the last seat."""
    results = folder(PINS, 2, copies={"copy 1": {}, "copy 2": {}})
    for index in range(2):
        for place, pin in enumerate(PINS):
            sittings, samples = [], []
            for number in (2 * index, 2 * index + 1):
                seat = (place + number) % 4
                sittings.append(Sitting(name=f"sitting {number}", seat=seat, laps=len(LAPS)))
                own = [lap * 2**number * (last if seat == 3 else 1.0) for lap in LAPS]
                samples += [own[0] * (burst if seat == 3 else 1.0), *own[1:]]
            results.keep(pin, index, metrics=[metric("step_time", "s", *samples)], sittings=sittings)
    return results


def test_a_seat_that_is_favoured_is_told_whoever_sits_there(folder: Make) -> None:
    seats = seats_of(sat(folder, last=math.exp(-0.04)).matrix())
    assert [one.seat for one in seats] == [0, 1, 2, 3]
    assert [one.mean for one in seats] == pytest.approx([0.01, 0.01, 0.01, -0.03])
    assert [one.error for one in seats] == pytest.approx([0.0] * 4, abs=1e-9)
    assert {one.n for one in seats} == {4}


def test_what_strikes_one_lap_of_a_seat_is_not_taken_for_the_seats(folder: Make) -> None:
    seats = seats_of(sat(folder, burst=10.0).matrix())
    assert [one.mean for one in seats] == pytest.approx([0.0] * 4, abs=1e-9)


def test_a_sitting_that_somebody_left_does_not_count(folder: Make) -> None:
    results = sat(folder)
    seats = [Sitting(name="sitting 0", seat=3, laps=len(LAPS))]
    results.keep("copy 2", 0, metrics=[metric("step_time", "s", *LAPS)], sittings=seats)
    assert {one.n for one in seats_of(results.matrix())} == {3}


def test_the_command_prints_a_line_a_seat(folder: Make, capsys: Output) -> None:
    assert main([str(sat(folder, last=math.exp(-0.04)).path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert lines[1:] == [*(f"seat {number}: +1.00% ± 0.00%" for number in (1, 2, 3)), "seat 4: -3.00% ± 0.00%"]


def test_what_has_no_sittings_is_refused(folder: Make, tmp_path: Path, capsys: Output) -> None:
    assert main([str(folder(PINS, 4).path)]) == 2
    assert "nox -s seats" in capsys.readouterr().err
    assert main([]) == main([str(tmp_path / "none")]) == 2
