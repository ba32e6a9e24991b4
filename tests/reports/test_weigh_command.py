"""`python -m reports.weigh`: what it prints of the cost of the instruments, and its exit codes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from results_folder import Folder, alike
from typical_folders import STEPS_BESIDE_PLAIN, instruments, two_rounds

from harness.core.spec import TWIN
from reports.weigh import main

Make = Callable[..., Folder]
Output = pytest.CaptureFixture[str]


def test_the_cost_is_the_ratio_of_the_step_with_instruments_to_the_one_without(folder: Make, capsys: Output) -> None:
    assert main([str(instruments(folder, plain=1 / 1.02).path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "baseline 1.10.0" in lines[0]
    assert lines[1].startswith("instruments (gradient watch, memory probes): +2.00% [+2.00%, +2.00%], 4 sittings")


def test_the_control_is_the_twin_against_the_baseline(folder: Make, capsys: Output) -> None:
    main([str(instruments(folder, twin=1.01).path)])
    assert "control, A/A against 1.10.0: +1.00% [+1.00%, +1.00%]" in capsys.readouterr().out


def test_one_sitting_measures_nothing_and_ends_with_3(folder: Make, capsys: Output) -> None:
    results = instruments(folder)
    results.keep_laps("plain loop", alike(0.1))
    results.fail("plain loop", 1)
    assert main([str(results.path)]) == 3
    assert "instruments (gradient watch, memory probes): not measured" in capsys.readouterr().out


def test_sittings_that_are_not_shared_measure_nothing(folder: Make) -> None:
    results = instruments(folder)
    results.keep_laps("plain loop", *two_rounds(STEPS_BESIDE_PLAIN), together=False)
    assert main([str(results.path)]) == 3


@pytest.mark.parametrize("arguments", [[], ["one", "two"], ["none"]])
def test_bad_input_ends_with_2_and_one_line(tmp_path: Path, capsys: Output, arguments: list[str]) -> None:
    assert main([str(tmp_path / argument) for argument in arguments]) == 2
    text = capsys.readouterr().err
    assert text.startswith("error: ")
    assert text.count("\n") == 1


@pytest.mark.parametrize(
    ("pins", "cases"), [(["1.10.0", TWIN], ["train"]), (["1.10.0", TWIN, "1.12.1"], ["soak"]), (["1.10.0"], ["train"])]
)
def test_a_folder_without_a_plain_loop_that_takes_turns_is_bad_input(
    folder: Make, capsys: Output, pins: list[str], cases: list[str]
) -> None:
    results = folder(pins, 2, cases=cases)
    for spec in results.plan.runs:
        results.keep(spec.pin.name, spec.round, spec.case)
    assert main([str(results.path)]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_another_version_is_not_taken_for_the_plain_loop(folder: Make, capsys: Output) -> None:
    results = folder(["1.10.0", TWIN, "1.12.1"], 2)
    for pin in results.pins:
        results.keep_laps(pin, alike(0.1), alike(0.1))
    assert main([str(results.path)]) == 2
    assert "instruments (" not in capsys.readouterr().out
