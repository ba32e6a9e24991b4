"""What stands above the table."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from inference_folders import make_inference_folder
from results_folder import SCRIPT, Folder, alike, environment, metric
from saying import says

from harness.core.faults import Fault
from harness.core.plan import PLAN_FILE, write_plan
from harness.core.spec import TWIN
from reports.show.preamble import Preamble, rounds_planned

Make = Callable[..., Folder]


def preamble(results: Folder) -> Preamble:
    return results.table().preamble


def test_it_says_what_was_compared_and_on_what(folder: Make) -> None:
    results = folder(rounds=2)
    results.keep("1.10.0", 0)
    results.fail("1.12.1", 0)
    told = dict(preamble(results).facts)
    assert list(told) == ["pins", "machine", "hardware", "observed", "settings", "data", "rounds"]
    assert told["pins"] == "1.10.0 (baseline), 1.12.1"
    assert says(told["machine"], "cpu (no GPU was found)", "device cpu")
    assert told["hardware"] == "AMD EPYC 7B13"
    assert all(part in told["observed"] for part in ("1.10.0", "torch 1.10.0", "CUDA none", "Python 3.9.25"))
    profile, training, threads, precision, flags = told["settings"].split("; ")
    assert (profile, threads, precision, flags) == ("profile quick", "1 thread", "precision fp32", "flags pinned")
    assert training.split(", ") == ["epochs 4", "64 px", "batch 4", "recipe short"]
    assert told["data"] == "shapes, digest 0123456789ab"
    assert says(told["rounds"], "2; runs: ", "1 ok, 1 failed, 2 missing")


def test_where_cases_train_otherwise_each_is_named_with_what_it_does(folder: Make) -> None:
    results = folder(cases=["train", "soak"], rounds=1)
    runs = [
        msgspec.structs.replace(run, train=msgspec.structs.replace(run.train, epochs=45)) if run.case == "soak" else run
        for run in results.plan.runs
    ]
    write_plan(results.path / PLAN_FILE, msgspec.structs.replace(results.plan, runs=runs))
    told = dict(preamble(results).facts)["settings"]
    assert "train: epochs 4, 64 px, batch 4, recipe short / soak: epochs 45, 64 px, batch 4, recipe short" in told


COMMAND = {"command": ["train.py", "--name", "a b", "--epochs", "40"], "outputs": "", "lower": {}, "higher": {}}


def test_of_a_case_that_is_a_command_it_says_the_command_and_nothing_of_how_we_train(folder: Make) -> None:
    results = folder(cases=["script"], rounds=3, settings={"script": COMMAND}, model=SCRIPT)
    results.keep("1.10.0", 0, "script")
    results.keep("1.12.1", 0, "script")
    told = dict(preamble(results).facts)
    assert told["settings"].split("; ") == [
        "profile quick",
        "python train.py --name 'a b' --epochs 40, once a round on every pin",
        "1 thread",
        "flags pinned",
    ]
    assert says(told["rounds"], "3; runs: ", "2 ok, 4 missing")
    assert "data" not in told
    assert preamble(results).legend[0].startswith("A command's time and memory ")
    decision = results.decision()
    assert "'a b' --epochs 40" in decision
    assert not any(word in decision for word in ("px", "recipe", "digest 0123"))


def test_what_the_policy_requires_and_cannot_be_run_is_said_with_what_decides_instead(folder: Make) -> None:
    results = folder(cases=["script"], rounds=2, model=SCRIPT)
    said = (
        "The policy requires train, which cannot be run with digits: that is a command and no model. "
        "What decides is what gates in script."
    )
    assert said in preamble(results).sentences
    assert said in results.decision()
    assert "The policy requires" not in folder(name="usual").decision()


def test_beside_a_command_other_cases_are_told_as_ever(folder: Make) -> None:
    results = folder(cases=["train", "script"], settings={"script": COMMAND})
    told = dict(preamble(results).facts)
    assert "train: epochs 4, 64 px, batch 4, recipe short / script: python train.py" in told["settings"]
    assert "; precision fp32; " in told["settings"]
    assert told["data"] == "shapes, digest 0123456789ab"
    assert [line.split(" ")[1] for line in preamble(results).legend[:2]] == ["run's", "command's"]


def test_a_gpu_is_named_with_its_driver(folder: Make) -> None:
    results = folder(device="cuda:0")
    results.keep("1.10.0", environment=environment(gpu="NVIDIA A100", driver="535.104"))
    assert says(dict(preamble(results).facts)["hardware"], "NVIDIA A100 (driver 535.104)", "AMD EPYC 7B13")


def test_a_gpu_that_waited_for_the_host_is_told_of(folder: Make) -> None:
    results = folder(device="cuda:0", rounds=2)
    for index, share in enumerate((0.6, 0.8)):
        results.keep("1.10.0", index, metrics=[metric("gpu_busy", "fraction", share)])
    results.keep("1.12.1", metrics=[metric("gpu_busy", "fraction", 0.95)])
    (said,) = [one for one in preamble(results).sentences if "waited for the host" in one]
    assert "kernels ran in 70% of a step on 1.10.0, 95% of a step on 1.12.1" in said
    assert "larger batches or pictures" in said


def test_a_gpu_that_was_busy_is_not_told_of(folder: Make) -> None:
    results = folder(device="cuda:0")
    results.keep("1.10.0", metrics=[metric("gpu_busy", "fraction", 0.95)])
    assert not any("waited" in one for one in preamble(results).sentences)


def test_without_any_environment_the_hardware_is_said_to_be_unknown(folder: Make) -> None:
    assert "not observed" in dict(preamble(folder()).facts)["hardware"]


def test_a_plan_whose_data_set_was_never_prepared_says_so(folder: Make) -> None:
    results = folder()
    empty = msgspec.structs.replace(results.spec("1.10.0").data, name="", digest="")
    runs = [msgspec.structs.replace(spec, data=empty) for spec in results.plan.runs]
    write_plan(results.path / PLAN_FILE, msgspec.structs.replace(results.plan, runs=runs))
    assert dict(preamble(results).facts)["data"] == "not prepared yet"


def test_an_environment_without_a_lock_is_named_with_the_torch_it_has(folder: Make) -> None:
    results = folder(["ambient"])
    results.keep("ambient", environment=environment(torch="2.8.0+cpu", label="not checked"))
    assert says(dict(preamble(results).facts)["labels"], "ambient ", "torch 2.8.0+cpu", "not checked")


def test_one_run_per_pin_decides_nothing(folder: Make) -> None:
    results = folder(rounds=3)
    results.keep("1.10.0", 0)
    results.keep("1.12.1", 0)
    assert preamble(results).sentences[0].startswith("One run per pin ")


def test_several_runs_carry_findings_for_this_machine_only(folder: Make) -> None:
    results = folder(rounds=2)
    for index in (0, 1):
        results.keep("1.10.0", index)
        results.keep("1.12.1", index)
    how_far, calibration = preamble(results).sentences
    assert says(how_far, "this machine", "these data", "these settings")
    assert "not been calibrated" in calibration


def test_a_quiet_control_is_said_and_is_no_warning(folder: Make) -> None:
    results = folder(["1.10.0", TWIN, "1.12.1"], rounds=2)
    for pin in results.pins:
        results.keep_all(pin)
    shown = preamble(results)
    assert "quiet" in shown.control
    assert "none of 4 metrics" in shown.control
    assert shown.warnings == []


def test_a_control_that_could_not_be_measured_is_a_warning(folder: Make) -> None:
    results = folder(["1.10.0", TWIN, "1.12.1"], rounds=1)
    for pin in results.pins:
        results.keep(pin)
    shown = preamble(results)
    assert shown.control == ""
    assert "noise is not known" in shown.warnings[0]


def test_a_verdict_stands_above_for_every_candidate_but_the_twin(folder: Make) -> None:
    results = folder(["1.10.0", TWIN, "1.12.1", "1.13.1"], rounds=2)
    for pin in results.pins:
        results.keep_all(pin)
    assert [one.pin for one in preamble(results).verdicts] == ["1.12.1", "1.13.1"]


def test_a_planted_fault_is_a_warning(folder: Make) -> None:
    results = folder(["1.10.0", "slow"], copies={"slow": {"fault": Fault(kind="slow", size=0.05)}})
    (planted,) = [warning for warning in preamble(results).warnings if "planted fault" in warning]
    assert planted.startswith("slow is the baseline ")
    assert planted.endswith(": slow, 0.05.")


def test_the_legend_explains_what_is_shown_and_nothing_else(folder: Make) -> None:
    results = folder(["1.10.0", "1.12.1"], rounds=2)
    for pin in results.pins:
        results.keep_all(pin)
    before = preamble(results).legend
    assert not any(line.startswith(("A spread", "A check", "A fingerprint")) for line in before)
    for pin in results.pins:
        results.keep_prints(pin, *[{"final_weights": "f"}] * 2)
    assert [line.split()[1] for line in preamble(results).legend if line not in before] == ["fingerprint"]


def test_how_a_metric_that_was_measured_in_turns_is_compared_is_said_only_where_runs_took_turns(folder: Make) -> None:
    alone, together = (folder(rounds=1, name=name) for name in ("alone", "together"))
    for pin in alone.pins:
        alone.keep_laps(pin, alike(0.1, 0.1), together=False)
        together.keep_laps(pin, alike(0.1, 0.1))
    (said,) = [line for line in preamble(together).legend if line not in preamble(alone).legend]
    assert said.startswith("Step time is compared lap by lap between runs that took turns.")
    assert says(said, "median ratio over all laps", "fewer than half of the laps does not show in it")


def test_of_several_metrics_that_are_measured_in_turns_is_said_together_how_they_are_compared(folder: Make) -> None:
    said = preamble(make_inference_folder(folder, ["1.10.0", "1.12.1"])).legend
    (line,) = [one for one in said if "lap by lap" in one]
    assert line.startswith("Time of the network, Time of preparing, ")
    assert says(line, "and Throughput are compared", "does not show in them, but in 95th percentile of the latency.")


def test_one_run_per_pin_that_went_through_several_sittings_has_findings(folder: Make) -> None:
    results = folder(["1.10.0", TWIN, "1.12.1"])
    for pin in results.pins:
        results.keep_laps(pin, alike(*[0.1] * 6))
    assert results.finding("step_time").outcome == "equivalent"
    assert preamble(results).sentences[0].startswith("The findings hold for this machine")


def test_nothing_measured_is_said(folder: Make) -> None:
    results = folder()
    results.fail("1.10.0")
    assert preamble(results).sentences[0].startswith("Nothing was measured")


def test_cases_with_other_rounds_are_named_with_theirs(folder: Make) -> None:
    results = folder(rounds=2, cases=["train", "resume"])
    plan = results.machine().matrix.plan
    assert (rounds_planned(plan), rounds_planned(plan, "rounds")) == ("2", "2 rounds")
    fewer = [run for run in plan.runs if run.case == "train" or run.round == 0]
    other = msgspec.structs.replace(plan, runs=fewer)
    assert rounds_planned(other, "rounds") == "2 rounds (of resume 1)"
    alone = msgspec.structs.replace(plan, cases=["resume"], runs=[run for run in fewer if run.case == "resume"])
    assert rounds_planned(alone, "rounds") == "1 round"
