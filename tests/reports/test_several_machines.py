"""Several results folders in one report: what is said over all of them, where it is written, and the exit codes."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from results_folder import Folder
from typical_folders import POLICY, filled

from harness.core.plan import PLAN_FILE, write_plan
from harness.core.spec import TWIN
from reports.__main__ import main
from reports.judge.judgement import judge
from reports.show.verdict_file import StoredOverall, VerdictFile, account_of

Make = Callable[..., Folder]
Output = pytest.CaptureFixture[str]
PINS = ["1.10.0", TWIN, "1.12.1"]


def over_all(*folders: Folder) -> list[StoredOverall]:
    return account_of(judge([each.path for each in folders], POLICY)).verdict.candidates


def only(*folders: Folder) -> StoredOverall:
    """The one candidate over all machines."""
    (candidate,) = over_all(*folders)
    return candidate


# --- what is said over all of them ------------------------------------------------------------------------------


def test_a_disagreement_is_said_with_what_each_machine_says(folder: Make) -> None:
    found = only(filled(folder, "one"), filled(folder, "other", factor=1.1))
    assert (found.version, found.verdict, found.agree) == ("1.12.1", "hold", False)
    assert found.sentence.startswith("Machines disagree: upgrade on CPU of one (1.12.1: ")
    assert "; hold on CPU of other (1.12.1: Epoch time is worse, +10.0 % [" in found.sentence


def test_machines_that_agree_are_said_to(folder: Make) -> None:
    found = only(filled(folder, "one"), filled(folder, "other"))
    assert found.sentence.startswith("All machines agree: upgrade on CPU of one")


def test_a_build_is_named_on_the_machine_that_has_it(folder: Make) -> None:
    found = only(filled(folder, "one"), filled(folder, "other", pins=["1.10.0+cu113", TWIN, "1.12.1+cu113"]))
    assert found.version == "1.12.1"
    assert "upgrade on CPU of other (1.12.1+cu113: " in found.sentence


def test_a_candidate_on_some_of_the_machines_is_said_to_be_on_so_many(folder: Make) -> None:
    one, other = filled(folder, "one"), filled(folder, "other", pins=[*PINS, "1.13.1"])
    assert over_all(one, other)[1].sentence.startswith(
        "Measured on one machine of 2: upgrade on CPU of other (1.13.1: "
    )
    third = filled(folder, "third", pins=[*PINS, "1.13.1"])
    assert over_all(one, other, third)[1].sentence.startswith(
        "Measured on 2 machines of 3, which agree: upgrade on CPU of other"
    )


def test_one_machine_has_no_need_to_be_named(folder: Make) -> None:
    one = filled(folder, "one")
    assert only(one).sentence == one.verdict_file().machines[0].candidates[0].sentence


def test_a_refusal_ends_with_2_and_writes_nothing(folder: Make, capsys: Output) -> None:
    one, other = filled(folder, "one"), filled(folder, "other", harness="other")
    assert main([str(one.path), str(other.path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert {path.name for path in one.path.parent.iterdir()} == {"one", "other"}


# --- the files --------------------------------------------------------------------------------------------------


def test_a_merged_report_is_written_into_a_folder_beside_the_first(folder: Make, capsys: Output) -> None:
    one, other = filled(folder, "one"), filled(folder, "other")
    before = {path: path.read_bytes() for each in (one, other) for path in each.path.rglob("*") if path.is_file()}
    assert main([str(one.path), str(other.path)]) == 0
    into = one.path.parent / "one+other"
    text = (into / "table.md").read_text(encoding="utf-8")
    titles = [line for line in text.splitlines() if line.startswith("# ")]
    assert titles == [
        "# Upgrade verdict",
        "# Cross-version table: one on CPU of one",
        "# Cross-version table: other on CPU of other",
    ]
    stored = msgspec.json.decode((into / "verdict.json").read_bytes(), type=VerdictFile)
    assert [machine.label for machine in stored.machines] == ["CPU of one", "CPU of other"]
    assert f"wrote {into / 'verdict.json'}" in capsys.readouterr().out
    assert before == {path: path.read_bytes() for path in before}


def test_more_folders_than_one_name_can_hold_have_to_be_given_one(folder: Make, capsys: Output) -> None:
    names = [f"{'long' * 20}-{number}" for number in range(4)]
    assert main([str(filled(folder, name).path) for name in names]) == 2
    assert capsys.readouterr().err == "error: 4 folders give no name for one: say where to write with --into FOLDER.\n"


def test_it_is_written_where_it_is_asked_for(folder: Make, tmp_path: Path) -> None:
    one, other = filled(folder, "one"), filled(folder, "other")
    assert main([str(one.path), str(other.path), "--into", str(tmp_path / "deep" / "there")]) == 0
    assert (tmp_path / "deep" / "there" / "table.md").exists()
    assert not (tmp_path / "one+other").exists()


def test_every_row_of_the_csv_names_its_machine_also_where_the_run_is_missing(folder: Make) -> None:
    one, other = filled(folder, "one"), filled(folder, "other")
    (other.path / "runs/train/1.12.1/1.json").unlink()
    assert main([str(one.path), str(other.path)]) == 3
    with (one.path.parent / "one+other" / "table.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["machine"] for row in rows if row["status"] == "ok"} == {"CPU of one", "CPU of other"}
    missing = [row for row in rows if row["status"] == "missing"]
    assert {(row["machine"], row["pin"], row["round"], row["hardware"]) for row in missing} == {
        ("CPU of other", "1.12.1", "1", "")
    }


@pytest.mark.parametrize(("arguments", "code"), [([], 0), (["--gate"], 1)])
def test_a_hold_on_one_machine_is_enough_for_the_gate(folder: Make, arguments: list[str], code: int) -> None:
    one, other = filled(folder, "one"), filled(folder, "other", factor=2.0)
    assert main([str(one.path), str(other.path), *arguments]) == code


def test_a_folder_that_cannot_be_read_is_named(folder: Make, capsys: Output) -> None:
    one, other = filled(folder, "one"), filled(folder, "other")
    write_plan(other.path / PLAN_FILE, msgspec.structs.replace(other.plan, runs=[]))
    assert main([str(one.path), str(other.path)]) == 2
    assert str(other.path / PLAN_FILE) in capsys.readouterr().err


def test_machines_with_other_versions_in_use_are_said_to_have_them(folder: Make) -> None:
    """A Hopper GPU runs none of the versions that the others have in use: its candidates are held against another."""
    one = filled(folder, "one", pins=["1.10.0", TWIN, "2.8.0"])
    other = filled(folder, "other", pins=["2.1.2", TWIN, "2.8.0"])
    into = one.path.parent / "both"
    assert main([str(one.path), str(other.path), "--into", str(into)]) == 0
    assert "<h1>Move on from PyTorch 1.10.0 and 2.1.2?</h1>" in (into / "index.html").read_text(encoding="utf-8")
    sentence = only(one, other).sentence
    assert "on CPU of one against 1.10.0 (2.8.0: " in sentence
    assert "on CPU of other against 2.1.2 (2.8.0: " in sentence


def test_the_report_of_several_is_not_written_over_that_of_one(folder: Make, capsys: Output) -> None:
    one, other = filled(folder, "one"), filled(folder, "other")
    assert main([str(one.path), str(other.path), "--into", str(other.path)]) == 2
    assert "has a report of its own" in capsys.readouterr().err
    assert not (other.path / "verdict.json").exists()
