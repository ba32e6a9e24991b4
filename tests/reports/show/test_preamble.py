"""What stands above the table."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from results_folder import Folder, environment, hashes

from harness.core.plan import PLAN_FILE, write_plan
from harness.core.spec import TWIN, Fault
from reports.show.preamble import Preamble, rounds_planned

Make = Callable[..., Folder]


def preamble(results: Folder) -> Preamble:
    return results.table().preamble


def warnings_of(results: Folder) -> list[str]:
    """The warnings but the one that there is no control, which these small folders have none of."""
    control, *others = preamble(results).warnings
    assert control == "The control A/A was not planned: this machine's noise is not known."
    return others


def test_it_says_what_was_compared_and_on_what(folder: Make) -> None:
    results = folder(rounds=2)
    results.keep("1.10.0", 0)
    results.fail("1.12.1", 0)
    assert preamble(results).facts == [
        ("pins", "1.10.0 (baseline), 1.12.1"),
        ("machine", "cpu (no GPU was found); device cpu"),
        ("hardware", "AMD EPYC 7B13"),
        ("observed", "1.10.0 ran torch 1.10.0 (CUDA none) on Python 3.9.25"),
        (
            "settings",
            "profile quick; epochs 4, 64 px, batch 8, recipe short; 1 thread; precision fp32; flags pinned",
        ),
        ("data", "shapes, digest 0123456789ab"),
        ("rounds", "2; runs: 1 ok, 1 failed, 2 missing"),
    ]


def test_a_gpu_is_named_with_its_driver(folder: Make) -> None:
    results = folder(device="cuda:0")
    results.keep("1.10.0", environment=environment(gpu="NVIDIA A100", driver="535.104"))
    assert dict(preamble(results).facts)["hardware"] == "NVIDIA A100 (driver 535.104), AMD EPYC 7B13"


def test_without_any_environment_the_hardware_is_said_to_be_unknown(folder: Make) -> None:
    assert "not observed" in dict(preamble(folder()).facts)["hardware"]


def test_a_plan_whose_data_set_was_never_prepared_says_so(folder: Make) -> None:
    results = folder()
    empty = msgspec.structs.replace(results.spec("1.10.0").data, name="", digest="", index="")
    runs = [msgspec.structs.replace(spec, data=empty) for spec in results.plan.runs]
    write_plan(results.path / PLAN_FILE, msgspec.structs.replace(results.plan, runs=runs))
    assert dict(preamble(results).facts)["data"] == "not prepared yet"


def test_an_environment_without_a_lock_is_named_with_the_torch_it_has(folder: Make) -> None:
    results = folder(["ambient"])
    results.keep("ambient", environment=environment(torch="2.8.0+cpu", label="not checked"))
    assert dict(preamble(results).facts)["labels"] == "ambient ran torch 2.8.0+cpu, not checked"


def test_one_run_per_pin_decides_nothing(folder: Make) -> None:
    results = folder(rounds=3)
    results.keep("1.10.0", 0)
    results.keep("1.12.1", 0)
    assert preamble(results).sentences[0].startswith("One run per pin decides nothing: ")


def test_several_runs_carry_findings_for_this_machine_only(folder: Make) -> None:
    results = folder(rounds=2)
    for index in (0, 1):
        results.keep("1.10.0", index)
        results.keep("1.12.1", index)
    how_far, calibration = preamble(results).sentences
    assert how_far.startswith("The findings hold for this machine, these data and these settings.")
    assert calibration == "The instrument has not been calibrated on this machine: `nox -s calibrate` does it."


def test_a_quiet_control_is_said_and_is_no_warning(folder: Make) -> None:
    results = folder(["1.10.0", TWIN, "1.12.1"], rounds=2)
    for pin in results.pins:
        results.keep_all(pin)
    shown = preamble(results)
    assert shown.control.endswith("better or worse than itself in none of 5 metrics, and equivalent in all of them.")
    assert shown.warnings == []


def test_a_control_that_could_not_be_measured_is_a_warning(folder: Make) -> None:
    results = folder(["1.10.0", TWIN, "1.12.1"], rounds=1)
    for pin in results.pins:
        results.keep(pin)
    shown = preamble(results)
    assert shown.control == ""
    assert shown.warnings[0].endswith("this machine's noise is not known.")


def test_a_verdict_stands_above_for_every_candidate_but_the_twin(folder: Make) -> None:
    results = folder(["1.10.0", TWIN, "1.12.1", "1.13.1"], rounds=2)
    for pin in results.pins:
        results.keep_all(pin)
    assert [one.pin for one in preamble(results).verdicts] == ["1.12.1", "1.13.1"]


def test_a_planted_fault_is_a_warning(folder: Make) -> None:
    results = folder(["1.10.0", "slow"], copies={"slow": {"fault": Fault(kind="slow", size=0.05)}})
    assert "slow is the baseline with a planted fault: slow, 0.05." in preamble(results).warnings


def test_nothing_measured_is_said(folder: Make) -> None:
    results = folder()
    results.fail("1.10.0")
    assert preamble(results).sentences[0].startswith("Nothing was measured")


def test_different_hashes_are_a_warning_that_names_pin_rounds_and_hash(folder: Make) -> None:
    results = folder(rounds=3)
    for index in range(3):
        results.keep("1.10.0", index)
        results.keep("1.12.1", index, hashes=hashes(batch_stream="other") if index != 1 else hashes())
    (warning,) = warnings_of(results)
    assert warning.startswith(
        "train 1.12.1, rounds 1, 3: the hash of the batch stream differs from that in the record of 1.10.0:"
    )


def test_candidates_are_held_against_each_other_where_the_baseline_has_no_record(folder: Make) -> None:
    results = folder(["1.10.0", "1.12.1", "1.13.1"])
    results.keep("1.12.1")
    results.keep("1.13.1", hashes=hashes(data="other"))
    (warning,) = warnings_of(results)
    assert warning.startswith("train 1.13.1: the hash of the data set differs from that in the record of 1.12.1:")


def test_equal_hashes_and_hardware_are_no_warning(folder: Make) -> None:
    results = folder()
    results.keep("1.10.0")
    results.keep("1.12.1")
    assert warnings_of(results) == []


def test_other_hardware_or_driver_within_the_matrix_is_a_warning_that_names_both(folder: Make) -> None:
    results = folder(device="cuda:0")
    results.keep("1.10.0", environment=environment(gpu="A100", driver="535"))
    results.keep("1.12.1", environment=environment(cpu="Intel Xeon", gpu="H100", driver="550"))
    refusal, *warnings = warnings_of(results)
    assert refusal.startswith("train 1.12.1: the hardware differs from that in the record of 1.10.0:")
    assert [warning.partition(" is not")[0] for warning in warnings] == ["The CPU", "The GPU", "The GPU driver"]
    assert "A100 (1.10.0); H100 (1.12.1)" in warnings[1] or "H100 (1.12.1); A100 (1.10.0)" in warnings[1]


def test_a_flag_that_was_to_be_alike_and_is_not_forbids_comparing_and_is_named(folder: Make) -> None:
    results = folder()
    results.keep("1.10.0", environment=environment(flags={"setting": "pinned", "cudnn.allow_tf32": "False"}))
    results.keep("1.12.1", environment=environment(flags={"setting": "pinned", "cudnn.allow_tf32": "True"}))
    (refusal,) = warnings_of(results)
    assert refusal.startswith("train 1.12.1: the flag cudnn.allow_tf32 differs from that in the record of 1.10.0:")
    assert results.cells("Epoch time (s)")[-1] == "not compared"


def test_another_number_of_threads_than_asked_for_is_a_warning(folder: Make) -> None:
    results = folder()
    results.keep("1.10.0")
    results.keep("1.12.1", environment=environment(threads=2))
    assert warnings_of(results) == ["1.12.1 ran on 2 threads where 1 were asked for."]


def test_cases_with_other_rounds_are_named_with_theirs(folder: Make) -> None:
    results = folder(rounds=2, cases=["train", "resume"])
    plan = results.machine().matrix.plan
    assert (rounds_planned(plan), rounds_planned(plan, "round")) == ("2", "2 rounds")
    fewer = [run for run in plan.runs if run.case == "train" or run.round == 0]
    other = msgspec.structs.replace(plan, runs=fewer)
    assert rounds_planned(other, "round") == "2 rounds (of resume 1)"
    alone = msgspec.structs.replace(plan, cases=["resume"], runs=[run for run in fewer if run.case == "resume"])
    assert rounds_planned(alone, "round") == "1 round"
