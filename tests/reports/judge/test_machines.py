"""Several results folders in one report: what they are called, what is refused, and the verdict over all of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable

import msgspec
import pytest
from results_folder import Folder, environment, hashes
from typical_folders import EPOCHS, POLICY, change, filled

from harness.core.errors import UsageError
from harness.core.record import Fingerprint
from harness.core.spec import TWIN
from reports.judge.judgement import Judgement, judge
from reports.judge.machines import Machine, read_machines
from reports.judge.statements import Finding, OverallVerdict

Make = Callable[..., Folder]
PINS = ["1.10.0", TWIN, "1.12.1"]


def read(*folders: Folder) -> list[Machine]:
    return read_machines([each.path for each in folders], POLICY)


def over_all(*folders: Folder) -> Judgement:
    return judge([each.path for each in folders], POLICY)


def only(judgement: Judgement) -> OverallVerdict:
    """The one candidate over all machines."""
    (candidate,) = judgement.candidates
    return candidate


def said_on(candidate: OverallVerdict) -> list[tuple[str, str, str]]:
    """The machines that a candidate was planned on, what it is called there, and what was decided."""
    return [(machine.label, verdict.pin, verdict.decision) for machine, verdict in candidate.on]


def refusal(*folders: Folder) -> str:
    with pytest.raises(UsageError) as error:
        read(*folders)
    return str(error.value)


# --- what they are called ---------------------------------------------------------------------------------------


def test_each_folder_is_a_machine_called_by_its_hardware(folder: Make) -> None:
    one, other = filled(folder, "one"), filled(folder, "other")
    change(other, environment=environment(gpu="NVIDIA H100"))
    assert [machine.label for machine in read(one, other)] == ["CPU of one", "NVIDIA H100"]


def test_machines_with_the_same_hardware_are_called_by_their_folders_too(folder: Make) -> None:
    one, other, third = filled(folder, "one", cpu="EPYC"), filled(folder, "other", cpu="EPYC"), filled(folder, "third")
    assert [machine.label for machine in read(one, other, third)] == [
        f"EPYC ({one.path})",
        f"EPYC ({other.path})",
        "CPU of third",
    ]


def test_a_folder_without_any_run_is_a_machine_whose_hardware_is_not_known(folder: Make) -> None:
    assert [machine.label for machine in read(filled(folder, "one"), folder(PINS, name="empty"))] == [
        "CPU of one",
        "hardware not observed",
    ]


# --- what is refused --------------------------------------------------------------------------------------------


def test_the_same_folder_twice_is_refused_also_by_another_way_to_it(folder: Make) -> None:
    one = filled(folder, "one")
    link = one.path.parent / "link"
    link.symlink_to(one.path)
    with pytest.raises(UsageError, match="is named twice"):
        read_machines([one.path, link], POLICY)


def test_a_copy_of_a_folder_is_refused(folder: Make) -> None:
    one = filled(folder, "one")
    copy = one.path.parent / "copy"
    shutil.copytree(one.path, copy)
    with pytest.raises(UsageError, match=f"{copy} holds the same runs as {one.path}"):
        read_machines([one.path, copy], POLICY)


def test_one_copied_run_is_enough_to_be_refused(folder: Make) -> None:
    one, other = filled(folder, "one"), filled(folder, "other")
    shutil.copy(one.path / "runs/train/1.12.1/2.json", other.path / "runs/train/1.12.1/2.json")
    assert "holds the same runs" in refusal(one, other)


def test_a_copy_of_the_second_folder_is_refused_as_well(folder: Make) -> None:
    one, other, copy = filled(folder, "one"), filled(folder, "other"), filled(folder, "copy")
    change(copy, ended="on other")
    shutil.rmtree(one.path / "runs")  # so that nothing of the first can be held against either
    assert refusal(one, other, copy) == (
        f"{copy.path} holds the same runs as {other.path}: name each machine's results once."
    )


@pytest.mark.parametrize(("name", "value"), [("harness", "other" * 8), ("flags", "stock")])
def test_runs_of_other_code_or_with_other_flags_are_refused(folder: Make, name: str, value: str) -> None:
    one, other = filled(folder, "one"), filled(folder, "other", **{name: value})
    assert refusal(one, other) == (
        f"{other.path} must not be merged with {one.path}: their runs train 1.12.1, round 1, differ in the {name}. "
        "Measure again what is older."
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("data", "hash of the data set"),
        ("initial_weights", "hash of the initial weights"),
        ("batch_stream", "hash of the batch stream"),
    ],
)
def test_runs_that_did_other_work_are_refused(folder: Make, name: str, words: str) -> None:
    one, other = filled(folder, "one"), filled(folder, "other")
    change(other, hashes=hashes(**{name: "other"}))
    assert f", differ in the {words}." in refusal(one, other)


def test_all_that_differs_is_named_in_one_sentence(folder: Make) -> None:
    one, other = filled(folder, "one"), filled(folder, "other", flags="stock")
    change(other, hashes=hashes(data="other"))
    assert "the flags and the hash of the data set" in refusal(one, other)


def test_other_final_weights_are_what_two_machines_may_well_have(folder: Make) -> None:
    one, other = filled(folder, "one"), filled(folder, "other")
    change(other, fingerprints=[Fingerprint("final_weights", "other")])
    assert len(read(one, other)) == 2


# --- each machine by itself -------------------------------------------------------------------------------------


def test_nothing_of_one_machine_is_compared_with_anything_of_another(folder: Make) -> None:
    one, other = filled(folder, "one", factor=1.1), filled(folder, "other")
    for path in (other.path / "runs").rglob("*.json"):  # all of the other's runs take ten times as long
        record = json.loads(path.read_bytes())
        for metric in record["metrics"]:
            metric["samples"] = [value * 10 if metric["unit"] == "s" else value for value in metric["samples"]]
        path.write_bytes(msgspec.json.encode(record))

    def numbers(found: Finding) -> tuple[object, ...]:
        return found.pin, found.estimate, found.low, found.high

    apart = [[numbers(found) for found in machine.findings] for each in (one, other) for machine in read(each)]
    together = [[numbers(found) for found in machine.findings] for machine in read(one, other)]
    assert together == apart
    assert together[0] != together[1]


def test_a_noisy_machine_does_not_make_another_noisy(folder: Make) -> None:
    one, other = filled(folder, "one"), filled(folder, "other")
    other.keep_all(TWIN, epoch=[value * 1.2 for value in EPOCHS])
    change(other, ended="on other", environment=environment(cpu="CPU of other"))
    assert [machine.verdict.control.state for machine in read(one, other)] == ["quiet", "noisy"]


# --- the verdict over all of them -------------------------------------------------------------------------------


def test_one_machine_that_says_hold_holds_the_upgrade_and_the_disagreement_is_said(folder: Make) -> None:
    verdict = over_all(filled(folder, "one"), filled(folder, "other", factor=1.1))
    found = only(verdict)
    assert (found.version, found.decision, found.agree, found.machines) == ("1.12.1", "hold", False, 2)
    assert said_on(found) == [("CPU of one", "1.12.1", "upgrade"), ("CPU of other", "1.12.1", "hold")]
    assert verdict.held


def test_an_upgrade_takes_every_machine(folder: Make) -> None:
    both = only(over_all(filled(folder, "one"), filled(folder, "other")))
    assert (both.decision, both.agree) == ("upgrade", True)
    open_ = filled(folder, "third")
    open_.keep_all("1.12.1", epoch=[30.0, 33.0, 31.0])
    change(open_, ended="on third", environment=environment(cpu="CPU of third"))
    found = only(over_all(filled(folder, "one"), filled(folder, "other"), open_))
    assert (found.decision, found.agree) == ("inconclusive", False)


def test_a_hold_outweighs_what_is_inconclusive(folder: Make) -> None:
    empty = folder(PINS, rounds=3, name="empty")
    assert only(over_all(filled(folder, "one", factor=1.1), empty)).decision == "hold"


def test_builds_of_one_version_on_different_machines_are_one_candidate(folder: Make) -> None:
    one, other = filled(folder, "one"), filled(folder, "other", pins=["1.10.0+cu113", TWIN, "1.12.1+cu113"])
    found = only(over_all(one, other))
    assert found.version == "1.12.1"
    assert said_on(found)[1] == ("CPU of other", "1.12.1+cu113", "upgrade")


def test_builds_of_one_version_on_one_machine_are_two_candidates(folder: Make) -> None:
    found = over_all(filled(folder, "one", pins=["1.10.0", TWIN, "1.12.1+cu102", "1.12.1+cu113"])).candidates
    assert [(one.version, one.decision) for one in found] == [("1.12.1+cu102", "upgrade"), ("1.12.1+cu113", "upgrade")]


def test_a_candidate_on_one_machine_of_two_is_said_to_be(folder: Make) -> None:
    one, other = filled(folder, "one"), filled(folder, "other", pins=[*PINS, "1.13.1"])
    everywhere, once = over_all(one, other).candidates
    assert (everywhere.version, len(everywhere.on), everywhere.machines) == ("1.12.1", 2, 2)
    assert (once.version, once.machines) == ("1.13.1", 2)
    assert said_on(once) == [("CPU of other", "1.13.1", "upgrade")]


def test_a_candidate_on_two_machines_of_three_is_not_said_to_be_on_all(folder: Make) -> None:
    one, other = filled(folder, "one", pins=[*PINS, "1.13.1"]), filled(folder, "other", pins=[*PINS, "1.13.1"])
    found = over_all(filled(folder, "third"), one, other).candidates[1]
    assert (len(found.on), found.machines, found.agree) == (2, 3, True)


def test_machines_with_other_versions_in_use_are_told_apart_by_them(folder: Make) -> None:
    """A Hopper GPU runs none of the versions that the others have in use: its candidates are held against another."""
    one = filled(folder, "one", pins=["1.10.0", TWIN, "2.8.0"])
    other = filled(folder, "other", pins=["2.1.2", TWIN, "2.8.0"])
    assert [machine.baseline for machine, _ in only(over_all(one, other)).on] == ["1.10.0", "2.1.2"]


# --- fingerprints -----------------------------------------------------------------------------------------------


def test_fingerprints_are_compared_on_each_machine_by_itself(folder: Make) -> None:
    one, other = filled(folder, "one"), filled(folder, "other")
    for each in (one, other):
        change(each, fingerprints=[Fingerprint("final_weights", each.path.name)])
    for machine in read(one, other):
        kinds = {like.kind for like in machine.fingerprints["train"] if like.declared.name == "final_weights"}
        assert kinds == {"alike"}
