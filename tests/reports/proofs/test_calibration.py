"""The calibration: planted faults that were found and not found, false alarms, and who may quote it."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from results_folder import Folder, environment

from harness.core.policy import read_policy
from harness.core.spec import PACE, TWIN, Fault
from reports.proofs.calibration import Calibration, main, to_markdown

Make = Callable[..., Folder]
Output = pytest.CaptureFixture[str]
STEPS = [0.100, 0.101, 0.102, 0.100]


def pace_proof(folder: Make, slower: float, twin: float = 1.0, **settings: object) -> Folder:
    """Four sittings of the baseline, its twin and a copy that was made slower."""
    copies = {"slow": {"fault": Fault(kind="slow", size=0.05)}}
    results = folder(["1.10.0", TWIN, "slow"], 4, name="proofs/pace", cases=[PACE], copies=copies, **settings)
    for pin, factor in zip(results.pins, (1.0, twin, slower), strict=True):
        results.keep_pace(pin, *[step * factor for step in STEPS])
    return results


def health_proof(folder: Make, anomalies: list[int]) -> Folder:
    """Four rounds with one fault in memory, which is found, and one in the gradients with so many anomalies."""
    copies = {
        "memory": {"fault": Fault(kind="memory", size=0.05)},
        "nan-gradient": {"fault": Fault(kind="nan-gradient", size=5.0)},
    }
    results = folder(["1.10.0", TWIN, *copies], 4, name="proofs/health", copies=copies)
    for pin in results.pins:
        memory = [value * (1.05 if pin == "memory" else 1.0) for value in (400.0, 401.0, 402.0, 400.0)]
        results.keep_all(pin, memory=memory, anomalies=anomalies if pin == "nan-gradient" else [0] * 4)
    return results


def calibrated(*proofs: Folder) -> Calibration:
    """What the command leaves beside the folders."""
    main([str(proof.path) for proof in proofs])
    path = proofs[0].path.parent / "calibration.json"
    return msgspec.json.decode(path.read_bytes(), type=Calibration, strict=True)


def matrix_beside(folder: Make, **observed: str) -> Folder:
    results = folder(["1.10.0", TWIN, "1.12.1"], rounds=2)
    for pin in results.pins:
        for index in (0, 1):
            results.keep(pin, index, environment=environment(**observed))
    return results


def test_a_fault_that_is_called_worse_in_the_metric_it_is_to_show_in_is_found(folder: Make) -> None:
    (fault,) = calibrated(pace_proof(folder, 1.05)).planted
    assert (fault.fault, fault.size, fault.found, fault.finding) == ("slow", "5%", True, "worse")
    assert fault.metric == "Pace, step time in turns"
    assert fault.estimate == pytest.approx(0.05)
    assert (fault.n, fault.pairs) == (4, "sittings")


@pytest.mark.parametrize("slower", [1.0, 1.02, 0.9])
def test_a_fault_that_is_not_called_worse_is_not_found(folder: Make, slower: float) -> None:
    (fault,) = calibrated(pace_proof(folder, slower)).planted
    assert not fault.found
    assert fault.finding == ("better" if slower < 1 else "equivalent")


def test_a_fault_that_shows_in_another_metric_only_is_not_found(folder: Make) -> None:
    results = health_proof(folder, [2, 2, 2, 2])
    results.keep_all("nan-gradient", epoch=[300, 310, 300, 310])
    faults = {one.fault: one for one in calibrated(results).planted}
    assert not faults["nan-gradient"].found
    assert faults["nan-gradient"].metric == "Gradient anomalies"


def test_faults_of_several_proofs_are_judged_each_in_its_own_metric(folder: Make) -> None:
    found = calibrated(pace_proof(folder, 1.06), health_proof(folder, [2, 2, 2, 3]))
    assert [(one.fault, one.metric, one.found) for one in found.planted] == [
        ("slow", "Pace, step time in turns", True),
        ("memory", "Peak memory, RSS", True),
        ("nan-gradient", "Gradient anomalies", True),
    ]


def test_too_few_events_are_a_fault_that_was_not_found(folder: Make) -> None:
    faults = {one.fault: one for one in calibrated(health_proof(folder, [0, 1, 0, 0])).planted}
    assert (faults["nan-gradient"].found, faults["nan-gradient"].finding) == (False, "inconclusive")
    assert faults["memory"].found


def test_a_fault_whose_runs_failed_was_not_measured(folder: Make) -> None:
    results = pace_proof(folder, 1.05)
    for index in range(4):
        results.fail("slow", index, case=PACE)
    (fault,) = calibrated(results).planted
    assert (fault.found, fault.finding, fault.estimate) == (False, "not measured", None)


def test_a_quiet_twin_is_no_alarm_and_tells_the_smallest_effect(folder: Make) -> None:
    results = pace_proof(folder, 1.05)
    results.keep_pace(TWIN, 0.1001, 0.1011, 0.1018, 0.1002)
    (clean,) = calibrated(results).clean
    assert (clean.metric, clean.proof, clean.alarm) == ("Pace, step time in turns", "pace", False)
    assert clean.smallest is not None
    assert 0 < clean.smallest < 0.03


def test_a_twin_that_is_called_different_is_a_false_alarm(folder: Make, capsys: Output) -> None:
    found = calibrated(pace_proof(folder, 1.5, twin=1.04))
    assert [one.alarm for one in found.clean] == [True]
    assert "FALSE ALARM" in capsys.readouterr().out
    assert ", 1 false alarm in " in found.in_words()


def test_a_fault_within_the_noise_of_a_false_alarm_is_not_found(folder: Make) -> None:
    (fault,) = calibrated(pace_proof(folder, 1.05, twin=1.06)).planted
    assert not fault.found


def test_only_what_a_twin_measured_is_among_the_comparisons(folder: Make) -> None:
    found = calibrated(health_proof(folder, [2, 2, 2, 2]))
    assert {one.metric for one in found.clean} == {
        "Peak memory, RSS",
        "Epoch time",
        "Memory growth per epoch",
        "Gradient anomalies",
        "Final mAP50",
    }


def test_it_says_on_what_it_holds_and_by_which_policy(folder: Make) -> None:
    found = calibrated(pace_proof(folder, 1.05))
    assert (found.baseline, found.device, found.hardware) == ("1.10.0", "cpu", ["AMD EPYC 7B13"])
    assert found.policy == read_policy().digest()


def test_the_sentence_counts_and_names_what_was_missed(folder: Make) -> None:
    sentence = calibrated(pace_proof(folder, 1.05), health_proof(folder, [0, 1, 0, 0])).in_words()
    assert ": 2 of 3 planted faults were found (not: nan-gradient), 0 false alarms in 6 comparisons" in sentence
    assert "smallest effect that would have been seen: Pace, step time in turns " in sentence


def test_both_tables_are_printed_and_kept(folder: Make, capsys: Output) -> None:
    results = pace_proof(folder, 1.01)
    main([str(results.path)])
    printed = capsys.readouterr().out
    text = (results.path.parent / "calibration.md").read_text(encoding="utf-8")
    assert text in printed
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    (fault,) = [row for row in cells if row[0] == "slow"]
    assert fault[1:4] == ["5%", "Pace, step time in turns", "not found: equivalent"]
    assert ["Pace, step time in turns", "pace", "quiet"] in [row[:3] for row in cells]


# --- beside a matrix --------------------------------------------------------------------------------------------


def test_the_verdict_of_a_matrix_on_the_same_machine_quotes_it(folder: Make) -> None:
    found = calibrated(pace_proof(folder, 1.05))
    results = matrix_beside(folder)
    results.policy = read_policy()
    verdict = results.machine_verdict()
    assert verdict.calibration == found
    assert verdict.calibration_sentence == found.in_words()
    assert found.in_words() in results.table().preamble.sentences


def test_the_verdict_by_another_policy_does_not_quote_it(folder: Make) -> None:
    calibrated(pace_proof(folder, 1.05))
    verdict = matrix_beside(folder).machine_verdict()
    assert verdict.calibration is None
    assert "by another policy" in verdict.calibration_sentence


def test_the_verdict_of_a_matrix_on_another_machine_does_not_quote_it(folder: Make) -> None:
    calibrated(pace_proof(folder, 1.05))
    verdict = matrix_beside(folder, cpu="Intel Xeon").machine_verdict()
    assert verdict.calibration is None
    assert verdict.calibration_sentence == (
        "The calibration at hand is of another machine: run `nox -s calibrate` on this one."
    )


def test_a_calibration_of_the_cpu_is_not_quoted_for_the_gpu_of_that_machine(folder: Make) -> None:
    calibrated(pace_proof(folder, 1.05))
    assert matrix_beside(folder, gpu="NVIDIA A100").machine_verdict().calibration is None


def test_without_a_calibration_it_is_said_that_there_is_none(folder: Make) -> None:
    verdict = matrix_beside(folder).machine_verdict()
    assert verdict.calibration is None
    assert "has not been calibrated on this machine" in verdict.calibration_sentence


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 1}'])
def test_a_calibration_that_is_broken_is_named_and_not_quoted(folder: Make, tmp_path: Path, text: str) -> None:
    path = tmp_path / "proofs" / "calibration.json"
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    verdict = matrix_beside(folder).machine_verdict()
    assert verdict.calibration is None
    assert str(path) in verdict.calibration_sentence
    assert "run `nox -s calibrate` again" in verdict.calibration_sentence


# --- exit codes -------------------------------------------------------------------------------------------------


def test_with_every_fault_found_it_ends_with_0(folder: Make) -> None:
    assert main([str(pace_proof(folder, 1.05).path)]) == 0


def test_with_a_fault_not_found_it_ends_with_1(folder: Make) -> None:
    assert main([str(pace_proof(folder, 1.0).path)]) == 1
    assert main([str(health_proof(folder, [0, 1, 0, 0]).path)]) == 1  # the other one was


@pytest.mark.parametrize("pin", ["slow", TWIN])
def test_with_a_run_missing_it_ends_with_3(folder: Make, pin: str) -> None:
    results = pace_proof(folder, 1.05)
    results.fail(pin, 1, case=PACE)
    assert main([str(results.path)]) == 3


def test_bad_input_ends_with_2_and_one_line(folder: Make, tmp_path: Path, capsys: Output) -> None:
    for arguments in ([], [str(tmp_path / "none")], [str(pace_proof(folder, 1.05).path), str(tmp_path / "none")]):
        assert main(arguments) == 2
        text = capsys.readouterr().err
        assert text.startswith("error: ")
        assert text.count("\n") == 1
    assert not (tmp_path / "proofs" / "calibration.json").exists()


def soak_proof(folder: Make, leaks: list[float], twin: float = 0.0, noise: float = 0.0) -> Folder:
    """Two soaks of the baseline, its twin and a copy with a leak, each growing by so much an epoch."""
    drawn = random.Random(1)
    copies = {"leak": {"fault": Fault(kind="leak", size=0.005)}}
    results = folder(["1.10.0", TWIN, "leak"], 2, name="proofs/soak", cases=["soak"], copies=copies)
    for pin, growths in zip(results.pins, ([0.0, 0.0], [twin, twin], leaks), strict=True):
        for_epochs = [[4e8 * (1 + growth) ** epoch for epoch in range(50)] for growth in growths]
        results.keep_soak(pin, *[[value * (1 + drawn.gauss(0, noise)) for value in one] for one in for_epochs])
    return results


def test_a_leak_is_found_where_every_soak_of_its_copy_fails_the_check_of_memory(folder: Make) -> None:
    (fault,) = calibrated(soak_proof(folder, [0.005, 0.005])).planted
    assert (fault.fault, fault.size, fault.found) == ("leak", "+0.5% of RSS an epoch", True)
    assert fault.metric.startswith("Memory does not leak")
    assert (fault.finding, fault.n, fault.pairs) == ("failed in 2 of 2 runs", 2, "runs")


def test_a_leak_that_one_soak_does_not_show_is_not_found(folder: Make) -> None:
    (fault,) = calibrated(soak_proof(folder, [0.005, 0.0])).planted
    assert not fault.found
    assert fault.finding == "failed in 1 of 2 runs"


@pytest.mark.parametrize(
    ("growth", "outcome", "said"),
    [
        (0.0, "held", "of 2 checks of a clean copy none failed."),
        (0.002, "open", "of 2 checks of a clean copy none failed and 1 stayed open in some run"),
        (0.005, "failed", "of 2 checks of a clean copy 1 failed"),
    ],
)
def test_of_the_checks_of_a_clean_soak_it_is_said_what_became(
    folder: Make, growth: float, outcome: str, said: str
) -> None:
    found = calibrated(soak_proof(folder, [0.005, 0.005], twin=growth, noise=0.001))
    assert {one.check.split(":")[0]: one.outcome for one in found.clean_checks} == {
        "Memory does not leak (RSS)": outcome,
        "The throughput does not drift": "held",
    }
    assert said in found.in_words()
    assert f"{outcome} in 2 of 2 runs" in to_markdown(found)
