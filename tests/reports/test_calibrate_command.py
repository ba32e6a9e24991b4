"""`python -m reports.calibrate`: what it writes and prints, its exit codes, and how a verdict quotes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from inference_folders import LAPS, LATENCIES, make_inference_folder
from results_folder import Folder, environment
from typical_folders import health_proof, soak_proof, times_proof

from harness.core.faults import Fault
from harness.core.policy import read_policy
from harness.core.spec import TWIN
from reports.calibrate import main
from reports.judge.judgement import judge
from reports.show.verdict_file import StoredMachine, account_of

Make = Callable[..., Folder]
Output = pytest.CaptureFixture[str]


def table(results: Folder) -> list[list[str]]:
    """The cells of calibration.md."""
    text = (results.path.parent / "calibration.md").read_text(encoding="utf-8")
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]


def quoted(folder: Make, **observed: str) -> StoredMachine:
    """What the verdict of a matrix beside the calibration says, by the project's policy."""
    results = folder(["1.10.0", TWIN, "1.12.1"], rounds=2)
    for pin in results.pins:
        for index in (0, 1):
            results.keep(pin, index, environment=environment(**observed))
    return account_of(judge([results.path], read_policy())).verdict.machines[0]


# --- what is written --------------------------------------------------------------------------------------------


def test_both_tables_are_printed_and_kept(folder: Make, capsys: Output) -> None:
    results = times_proof(folder, 1.01)
    main([str(results.path)])
    printed = capsys.readouterr().out
    assert (results.path.parent / "calibration.md").read_text(encoding="utf-8") in printed
    (fault,) = [row for row in table(results) if row[0] == "slow"]
    assert fault[1:4] == ["5%", "Step time", "not found: equivalent"]
    assert ["Step time", "times", "quiet"] in [row[:3] for row in table(results)]


def test_the_sizes_of_faults_are_told_each_in_its_own_words(folder: Make) -> None:
    results = health_proof(folder, [2, 2, 2, 3])
    main([str(results.path)])
    sizes = {row[0]: row[1] for row in table(results) if row[0] in ("memory", "nan-gradient")}
    assert sizes == {"memory": "5%", "nan-gradient": "one, at step 5"}


def test_a_false_alarm_stands_out(folder: Make, capsys: Output) -> None:
    main([str(times_proof(folder, 1.5, twin=1.04).path)])
    printed = capsys.readouterr().out
    assert "FALSE ALARM" in printed
    assert ", 1 false alarm in " in printed


def test_a_fault_whose_runs_failed_was_not_measured(folder: Make) -> None:
    results = times_proof(folder, 1.05)
    for index in range(2):
        results.fail("slow", index)
    main([str(results.path)])
    (fault,) = [row for row in table(results) if row[0] == "slow"]
    assert fault[3:5] == ["not found: not measured", "not measured"]


def test_a_leak_is_told_by_the_check_that_it_breaks(folder: Make) -> None:
    results = soak_proof(folder, [0.005, 0.005])
    main([str(results.path)])
    (fault,) = [row for row in table(results) if row[0] == "leak"]
    assert fault[1] == "+0.5% of RSS an epoch"
    assert fault[2].startswith("Memory does not leak (RSS): the 95 % interval")
    assert (fault[3], fault[5]) == ("found", "2 runs")
    assert fault[4].startswith("round 1: +0.500 % an epoch ")


def test_a_leak_that_one_soak_does_not_show_is_not_found(folder: Make) -> None:
    results = soak_proof(folder, [0.005, 0.0])
    main([str(results.path)])
    (fault,) = [row for row in table(results) if row[0] == "leak"]
    assert fault[3] == "not found: failed in 1 of 2 runs"


@pytest.mark.parametrize(
    ("growth", "outcome", "said"),
    [
        (0.0, "held", "of 2 checks of a clean copy none failed."),
        (0.002, "open", "of 2 checks of a clean copy none failed and 1 stayed open in some run"),
        (0.005, "failed", "of 2 checks of a clean copy 1 failed"),
    ],
)
def test_of_the_checks_of_a_clean_soak_it_is_said_what_became(
    folder: Make, capsys: Output, growth: float, outcome: str, said: str
) -> None:
    results = soak_proof(folder, [0.005, 0.005], twin=growth, noise=0.001)
    main([str(results.path)])
    assert said in capsys.readouterr().out
    assert f"{outcome} in 2 of 2 runs" in [cell for row in table(results) for cell in row]


def test_a_slowness_of_the_deployed_network_is_found_and_of_its_combinations_the_hardest_is_quoted(
    folder: Make,
) -> None:
    many = {"laps": [LAPS * 5] * 4}
    slow = {**many, "latencies": {size: 1.05 * seconds for size, seconds in LATENCIES.items()}}
    copies = {"slow": {"fault": Fault(kind="slow", size=0.05)}}
    judged = {"policy": read_policy(), "copies": copies, "name": "proofs/inference"}
    results = make_inference_folder(
        folder, ["1.10.0", TWIN, "slow"], 2, {"1.10.0": many, TWIN: many, "slow": slow}, **judged
    )
    main([str(results.path)])
    (fault,) = [row for row in table(results) if row[0] == "slow"]
    assert fault[2].startswith("Time of the network, fp32, ")
    assert fault[3] == "found"
    assert fault[4].startswith("+5.0 %")
    sentence = quoted(folder).calibration_sentence
    assert "1 of 1 planted faults were found, 0 false alarms" in sentence
    assert sentence.count("Time of the network") == 1


# --- beside a matrix --------------------------------------------------------------------------------------------


def test_the_verdict_of_a_matrix_on_the_same_machine_quotes_it(folder: Make) -> None:
    main([str(times_proof(folder, 1.05).path), str(health_proof(folder, [0, 1, 0, 0]).path)])
    verdict = quoted(folder)
    assert verdict.calibration
    sentence = verdict.calibration_sentence
    assert ": 2 of 3 planted faults were found (not: nan-gradient), 0 false alarms in 5 comparisons" in sentence
    assert "smallest effect that would have been seen: Step time " in sentence


def test_the_sentence_is_above_the_table(folder: Make) -> None:
    main([str(times_proof(folder, 1.05).path)])
    results = folder(["1.10.0", TWIN, "1.12.1"], rounds=2, policy=read_policy())
    results.keep_all("1.10.0")
    assert results.verdict_file().machines[0].calibration_sentence in results.table().preamble.sentences


def test_the_verdict_by_another_policy_does_not_quote_it(folder: Make) -> None:
    main([str(times_proof(folder, 1.05).path)])
    results = folder(["1.10.0", TWIN, "1.12.1"], rounds=2)
    results.keep_all("1.10.0")
    (verdict,) = results.verdict_file().machines
    assert verdict.calibration is None
    assert "by another policy" in verdict.calibration_sentence


def test_the_verdict_of_a_matrix_on_another_machine_does_not_quote_it(folder: Make) -> None:
    main([str(times_proof(folder, 1.05).path)])
    verdict = quoted(folder, cpu="Intel Xeon")
    assert verdict.calibration is None
    assert "is of another machine" in verdict.calibration_sentence


def test_without_a_calibration_it_is_said_that_there_is_none(folder: Make) -> None:
    verdict = quoted(folder)
    assert verdict.calibration is None
    assert "has not been calibrated on this machine" in verdict.calibration_sentence


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_a_calibration_that_is_broken_is_named_and_not_quoted(folder: Make, tmp_path: Path, text: str) -> None:
    path = tmp_path / "proofs" / "calibration.json"
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    verdict = quoted(folder)
    assert verdict.calibration is None
    assert str(path) in verdict.calibration_sentence
    assert "run `nox -s calibrate` again" in verdict.calibration_sentence


# --- exit codes -------------------------------------------------------------------------------------------------


def test_with_every_fault_found_it_ends_with_0(folder: Make) -> None:
    assert main([str(times_proof(folder, 1.05).path)]) == 0


def test_with_a_fault_not_found_it_ends_with_1(folder: Make) -> None:
    assert main([str(times_proof(folder, 1.0).path)]) == 1
    assert main([str(health_proof(folder, [0, 1, 0, 0]).path)]) == 1  # the other one was


@pytest.mark.parametrize("pin", ["slow", TWIN])
def test_with_a_run_missing_it_ends_with_3(folder: Make, pin: str) -> None:
    results = times_proof(folder, 1.05)
    results.fail(pin, 1)
    assert main([str(results.path)]) == 3


def test_bad_input_ends_with_2_and_one_line(folder: Make, tmp_path: Path, capsys: Output) -> None:
    for arguments in ([], [str(tmp_path / "none")], [str(times_proof(folder, 1.05).path), str(tmp_path / "none")]):
        assert main(arguments) == 2
        text = capsys.readouterr().err
        assert text.startswith("error: ")
        assert text.count("\n") == 1
    assert not (tmp_path / "proofs" / "calibration.json").exists()
