"""The calibration: planted faults that were found and not found, false alarms, and who may quote it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from attribution_folders import SETTINGS, keep
from results_folder import Folder, environment
from typical_folders import STEPS, health_proof, soak_proof, times_proof

from harness.core.faults import PLANTABLE, Fault, FaultKind
from harness.core.files import to_json, write_atomically
from harness.core.policy import read_policy
from harness.core.record import CheckOutcome, Fingerprint
from harness.core.spec import TWIN
from reports.proofs.calibration import (
    FILE,
    Calibration,
    NoCalibration,
    OfMetric,
    Planted,
    calibration_of,
    read_calibration,
)
from reports.show.proofs import calibration_in_markdown

Make = Callable[..., Folder]
NOISE = [0.001 * place * (-1) ** place for place in range(10)]


def calibrated(*proofs: Folder) -> Calibration:
    """What these proofs show, as it is read back from the file beside their folders."""
    found = calibration_of({proof.path.name: proof.matrix() for proof in proofs}, read_policy())
    path = proofs[0].path.parent / FILE
    write_atomically(path, to_json(found))
    return msgspec.json.decode(path.read_bytes(), type=Calibration, strict=True)


def metric_of(planted: Planted) -> OfMetric:
    """The finding that tells of a fault."""
    assert planted.metric
    return planted.metric


def by_kind(found: Calibration) -> dict[FaultKind, Planted]:
    return {one.fault.kind: one for one in found.planted}


def matrix_beside(folder: Make, **observed: str) -> Folder:
    results = folder(["1.10.0", TWIN, "1.12.1"], rounds=2)
    for pin in results.pins:
        for index in (0, 1):
            results.keep(pin, index, environment=environment(**observed))
    return results


def test_a_fault_that_is_called_worse_in_the_metric_it_is_to_show_in_is_found(folder: Make) -> None:
    (planted,) = calibrated(times_proof(folder, 1.05)).planted
    assert (planted.fault, planted.found, planted.check) == (Fault(kind="slow", size=0.05), True, None)
    found = metric_of(planted)
    assert (found.case, found.name, found.at, found.unit) == ("train", "step_time", {}, "s")
    assert found.estimate == pytest.approx(0.05)
    assert (found.finding, found.n, found.pairs) == ("worse", 4, "sittings")


@pytest.mark.parametrize("slower", [1.0, 1.02, 0.9])
def test_a_fault_that_is_not_called_worse_is_not_found(folder: Make, slower: float) -> None:
    found = calibrated(times_proof(folder, slower))
    (planted,) = found.planted
    assert not planted.found
    assert not found.all_found
    assert metric_of(planted).finding == ("better" if slower < 1 else "equivalent")


def test_a_fault_that_shows_in_another_metric_only_is_not_found(folder: Make) -> None:
    results = health_proof(folder, [2, 2, 2, 2])
    results.keep_all("nan-gradient", epoch=[300, 310, 300, 310])
    planted = by_kind(calibrated(results))["nan-gradient"]
    assert not planted.found
    assert metric_of(planted).name == "gradient_anomalies"


def test_faults_of_several_proofs_are_judged_each_in_its_own_metric(folder: Make) -> None:
    found = calibrated(times_proof(folder, 1.06), health_proof(folder, [2, 2, 2, 3]))
    assert [(one.fault.kind, metric_of(one).name, one.found) for one in found.planted] == [
        ("slow", "step_time", True),
        ("memory", "training_memory", True),
        ("nan-gradient", "gradient_anomalies", True),
    ]
    assert found.all_found


def test_too_few_events_are_a_fault_that_was_not_found(folder: Make) -> None:
    found = calibrated(health_proof(folder, [0, 1, 0, 0]))
    planted = by_kind(found)["nan-gradient"]
    assert (planted.found, metric_of(planted).finding) == (False, "inconclusive")
    assert by_kind(found)["memory"].found
    assert not found.all_found


def test_a_fault_whose_runs_failed_was_not_measured(folder: Make) -> None:
    results = times_proof(folder, 1.05)
    for index in range(2):
        results.fail("slow", index)
    (planted,) = calibrated(results).planted
    assert (planted.found, metric_of(planted).measured, metric_of(planted).estimate) == (False, False, None)


def test_a_fault_in_a_proof_without_any_of_the_metrics_that_it_shows_in_is_not_found(folder: Make) -> None:
    copies = {"slow": {"fault": Fault(kind="slow", size=0.05)}}
    results = folder(["1.10.0", TWIN, "slow"], 2, name="proofs/soak", cases=["soak"], copies=copies)
    for pin in results.pins:
        results.keep_growths(pin, 0.0, 0.0)
    (planted,) = calibrated(results).planted
    assert planted == Planted(Fault(kind="slow", size=0.05), found=False)


def test_every_fault_that_can_be_planted_shows_in_metrics_that_the_policy_judges() -> None:
    for kind, plantable in PLANTABLE.items():
        assert set(plantable.worsens) <= set(read_policy().metrics), kind


def test_a_quiet_twin_is_no_alarm_and_tells_the_smallest_effect(folder: Make) -> None:
    results = times_proof(folder, 1.05)
    results.keep_laps(TWIN, *[[[step * (1 + noise) for noise in NOISE] for step in STEPS[:2]] for _ in range(2)])
    results.keep_laps("1.10.0", *[[[step] * len(NOISE) for step in STEPS[:2]] for _ in range(2)])
    (clean,) = calibrated(results).clean
    assert (clean.metric.name, clean.proof, clean.alarm) == ("step_time", "times", False)
    assert clean.metric.smallest is not None
    assert 0 < clean.metric.smallest < 0.03


def test_a_twin_that_is_called_different_is_a_false_alarm(folder: Make) -> None:
    assert [one.alarm for one in calibrated(times_proof(folder, 1.5, twin=1.04)).clean] == [True]


def test_a_fault_within_the_noise_of_a_false_alarm_is_not_found(folder: Make) -> None:
    (planted,) = calibrated(times_proof(folder, 1.05, twin=1.06)).planted
    assert not planted.found


def test_only_what_a_twin_measured_is_among_the_comparisons(folder: Make) -> None:
    found = calibrated(health_proof(folder, [2, 2, 2, 2]))
    assert {one.metric.name for one in found.clean} == {
        "training_memory",
        "epoch_time",
        "step_time",
        "gradient_anomalies",
    }


def test_it_says_on_what_it_holds_and_by_which_policy(folder: Make) -> None:
    found = calibrated(times_proof(folder, 1.05))
    assert (found.baseline, found.device, found.hardware) == ("1.10.0", "cpu", ["AMD EPYC 7B13"])
    assert found.policy == read_policy().digest()


# --- beside a matrix --------------------------------------------------------------------------------------------


def beside(results: Folder) -> Calibration | NoCalibration:
    """What may be quoted beside a matrix."""
    return read_calibration(results.path, results.matrix(), read_policy())


def why_none(results: Folder) -> str:
    found = beside(results)
    assert isinstance(found, NoCalibration)
    return found.kind


def test_a_matrix_on_the_same_machine_quotes_it(folder: Make) -> None:
    found = calibrated(times_proof(folder, 1.05))
    assert beside(matrix_beside(folder)) == found


def test_what_was_calibrated_by_another_policy_is_not_quoted(folder: Make) -> None:
    calibrated(times_proof(folder, 1.05))
    results = matrix_beside(folder)
    found = read_calibration(results.path, results.matrix(), results.policy)
    assert isinstance(found, NoCalibration)
    assert found.kind == "other rules"


def test_what_was_calibrated_on_another_machine_is_not_quoted(folder: Make) -> None:
    calibrated(times_proof(folder, 1.05))
    assert why_none(matrix_beside(folder, cpu="Intel Xeon")) == "other machine"


def test_a_calibration_of_the_cpu_is_not_quoted_for_the_gpu_of_that_machine(folder: Make) -> None:
    calibrated(times_proof(folder, 1.05))
    assert why_none(matrix_beside(folder, gpu="NVIDIA A100")) == "other machine"


def test_without_a_calibration_there_is_none(folder: Make) -> None:
    assert why_none(matrix_beside(folder)) == "none"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", "unusable"),
        ("{", "unusable"),
        ("[]", "unusable"),
        ('{"schema": 4}', "unusable"),
        ('{"schema": 1}', "other rules"),
    ],
)
def test_a_calibration_that_is_broken_or_of_another_version_is_named_and_not_quoted(
    folder: Make, tmp_path: Path, text: str, kind: str
) -> None:
    path = tmp_path / "proofs" / FILE
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    found = beside(matrix_beside(folder))
    assert isinstance(found, NoCalibration)
    assert (found.kind, found.path, found.detail == "") == (kind, path, kind == "other rules")


# --- steps ------------------------------------------------------------------------------------------------------


def steps_proof(folder: Make, altered: list[float]) -> Folder:
    """What steps come to in float64 on the baseline, its twin and a copy with a fault, by round."""
    copies = {"loss-term": {"fault": Fault(kind="loss-term", size=0.001)}}
    results = folder(["1.10.0", TWIN, "loss-term"], 2, name="proofs/fidelity", cases=["fidelity"], copies=copies)
    for pin in results.pins:
        for index, loss in enumerate(altered if pin == "loss-term" else [2.0, 2.0]):
            made = Fingerprint("exact_steps", [loss, 3.0], ["state 0: loss", "state 0: update"])
            results.keep(pin, index, "fidelity", fingerprints=[made])
    return results


def test_a_fault_is_found_where_its_fingerprint_differs_from_the_baselines_in_every_round(folder: Make) -> None:
    found = calibrated(steps_proof(folder, [2.002, 2.002]))
    (planted,) = found.planted
    assert (planted.found, planted.metric, planted.check) == (True, None, None)
    assert planted.fingerprint
    assert (planted.fingerprint.case, planted.fingerprint.name) == ("fidelity", "exact_steps")
    assert (planted.fingerprint.kind, planted.fingerprint.rounds, planted.fingerprint.alike) == ("differs", 2, 0)
    assert "differs first at state 0: loss" in calibration_in_markdown(found, read_policy())


@pytest.mark.parametrize("altered", [[2.0, 2.0], [2.0, 2.002], [2.0 + 1e-12, 2.0 + 1e-12]])
def test_a_fault_is_not_found_where_its_fingerprint_is_alike_in_some_round_or_within_the_tolerance(
    folder: Make, altered: list[float]
) -> None:
    found = calibrated(steps_proof(folder, altered))
    assert [one.found for one in found.planted] == [False]
    assert "not found: " in calibration_in_markdown(found, read_policy())


# --- where the time went ----------------------------------------------------------------------------------------


def layers_proof(folder: Make, **slower: float) -> Folder:
    """A step in parts on the baseline, its twin and a copy with a slow layer, whose parts take so many ms more."""
    copies = {"slow-layer": {"fault": Fault(kind="slow-layer", size=2.0)}}
    pins = ["1.10.0", TWIN, "slow-layer"]
    results = folder(pins, 1, name="proofs/attribution", cases=["attribution"], copies=copies, settings=SETTINGS)
    parts = {"BatchNorm2d, forward": 20.0, "Conv2d, forward": 80.0}
    for pin in pins:
        more = slower if pin == "slow-layer" else {}
        keep(results, pin, {name: value + more.get(name.split("2d")[0], 0.0) for name, value in parts.items()})
    return results


def test_a_slow_layer_is_found_where_its_part_is_named_first(folder: Make) -> None:
    found = calibrated(layers_proof(folder, BatchNorm=15.0, Conv=5.0))
    (planted,) = found.planted
    assert planted.found
    assert planted.part
    assert (planted.part.breakdown, planted.part.part, planted.part.most) == (
        "time_by_layer",
        "BatchNorm2d, forward",
        True,
    )
    assert planted.part.value == pytest.approx(0.015, abs=5e-4)
    assert "Time of a step, by kind of layer: BatchNorm2d, forward" in calibration_in_markdown(found, read_policy())


@pytest.mark.parametrize(
    ("slower", "why"),
    [({"BatchNorm": 15.0, "Conv": 25.0}, "another part differs more"), ({"BatchNorm": -5.0}, "not clear of 0")],
)
def test_a_slow_layer_is_not_found_where_another_part_differs_more_or_it_takes_no_more(
    folder: Make, slower: dict[str, float], why: str
) -> None:
    found = calibrated(layers_proof(folder, **slower))
    assert [one.found for one in found.planted] == [False]
    assert f"not found: {why}" in calibration_in_markdown(found, read_policy())


# --- soaks ------------------------------------------------------------------------------------------------------


def test_a_leak_is_found_where_every_soak_of_its_copy_fails_the_check_of_memory(folder: Make) -> None:
    (planted,) = calibrated(soak_proof(folder, [0.005, 0.005])).planted
    assert (planted.fault.kind, planted.fault.size, planted.found, planted.metric) == ("leak", 0.005, True, None)
    assert planted.check
    assert (planted.check.case, planted.check.name) == ("soak", "leak_rss")
    assert (planted.check.outcome, planted.check.alike, planted.check.runs) == ("failed", 2, 2)


def test_a_leak_that_one_soak_does_not_show_is_not_found(folder: Make) -> None:
    (planted,) = calibrated(soak_proof(folder, [0.005, 0.0])).planted
    assert not planted.found
    assert planted.check
    assert (planted.check.outcome, planted.check.alike, planted.check.runs) == ("failed", 1, 2)


@pytest.mark.parametrize(("growth", "outcome"), [(0.0, "held"), (0.002, "open"), (0.005, "failed")])
def test_of_the_checks_of_a_clean_soak_it_is_kept_what_became(
    folder: Make, growth: float, outcome: CheckOutcome
) -> None:
    found = calibrated(soak_proof(folder, [0.005, 0.005], twin=growth, noise=0.001))
    assert {one.check.name: (one.proof, one.check.outcome) for one in found.clean_checks} == {
        "leak_rss": ("soak", outcome),
        "drift": ("soak", "held"),
    }
