"""`python -m reports`: files, exit codes, and the sentences of its errors."""

from __future__ import annotations

import csv
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from results_folder import Folder, train_metrics

import reports.__main__
from harness.core.files import ROOT
from harness.core.plan import PLAN_FILE
from harness.core.policy import read_policy
from harness.core.record import record_path
from reports.__main__ import main
from reports.evidence.claims import read_claims

Make = Callable[..., Folder]
Output = pytest.CaptureFixture[str]


def complete(results: Folder) -> Folder:
    for spec in results.plan.runs:
        results.keep(spec.pin.name, spec.round)
    return results


def error_of(arguments: list[str], output: Output) -> str:
    """The error of a call that must end with exit code 2 and one line."""
    assert main(arguments) == 2
    text = output.readouterr().err
    assert text.startswith("error: ")
    assert text.count("\n") == 1
    return text


def test_a_complete_matrix_ends_with_0_and_leaves_its_files(folder: Make, capsys: Output) -> None:
    results = complete(folder(rounds=2, policy=read_policy()))
    assert main([str(results.path)]) == 0
    printed = capsys.readouterr().out
    assert "Epoch time (s)" in printed
    names = ["verdict.json", "table.md", "table.csv", "summary.md", "claims.md", "decision.md"]
    written = [results.path / name for name in [*names, "overview.svg", "overview.png", "index.html"]]
    assert printed.endswith("".join(f"wrote {path}\n" for path in written))
    assert all(path.exists() for path in written)
    assert (results.path / "table.md").read_text(encoding="utf-8") == results.markdown()
    with (results.path / "table.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6 * 2 * 2  # metrics, without scaler skips; pins; rounds
    assert {row["value"] for row in rows if row["metric"] == "epoch_time"} == {"30.0"}


def test_a_mistake_in_the_claims_is_one_sentence(
    folder: Make, capsys: Output, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "claims.toml"
    path.write_text('[claims.X1]\nclaim = "x"\nhow = "y"\noutcome = "refuted"\nevidence = []\n', encoding="utf-8")
    monkeypatch.setattr(reports.__main__, "read_claims", lambda: read_claims(path))
    assert "claims.toml: " in error_of([str(complete(folder()).path)], capsys)


def test_a_checkout_that_is_not_there_is_one_sentence(
    folder: Make, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YOLOV9_CHECKOUT", "/nowhere/yolov9")
    assert "YOLOV9_CHECKOUT names /nowhere/yolov9, which is no folder" in error_of(
        [str(complete(folder()).path)], capsys
    )


def test_an_unsupported_pin_is_no_failure(folder: Make) -> None:
    results = folder()
    results.keep("1.10.0")
    results.keep("1.12.1", status="unsupported", reason="no sm_90", metrics=[], hashes=None)
    assert main([str(results.path)]) == 0


def test_a_failed_run_ends_with_3(folder: Make) -> None:
    results = folder()
    results.keep("1.10.0")
    results.fail("1.12.1")
    assert main([str(results.path)]) == 3


def test_a_missing_run_ends_with_3_and_the_table_comes_all_the_same(folder: Make, capsys: Output) -> None:
    results = folder()
    assert main([str(results.path)]) == 3
    assert "Epoch time (s)" in capsys.readouterr().out
    assert (results.path / "table.md").exists()


def test_wrong_usage_is_one_sentence_that_says_what_may_be_given(capsys: Output) -> None:
    for arguments in ([], ["--gate"], ["results/quick", "--fast"], ["results/quick", "--into"]):
        assert "nox -s report -- results/NAME" in error_of(arguments, capsys)


def test_no_such_folder(tmp_path: Path, capsys: Output) -> None:
    assert str(tmp_path / "none") in error_of([str(tmp_path / "none")], capsys)


def test_a_folder_without_a_plan(tmp_path: Path, capsys: Output) -> None:
    assert PLAN_FILE in error_of([str(tmp_path)], capsys)


def test_a_broken_plan(folder: Make, capsys: Output) -> None:
    results = folder()
    (results.path / PLAN_FILE).write_text("{", encoding="utf-8")
    assert PLAN_FILE in error_of([str(results.path)], capsys)


def test_a_record_of_another_schema_leaves_the_old_table_alone(folder: Make, capsys: Output) -> None:
    results = complete(folder())
    (results.path / "table.md").write_text("old", encoding="utf-8")
    record_path(results.path, results.spec("1.12.1")).write_text('{"schema": 7}', encoding="utf-8")
    assert "schema 7" in error_of([str(results.path)], capsys)
    assert (results.path / "table.md").read_text(encoding="utf-8") == "old"


def test_a_table_that_cannot_be_written(folder: Make, capsys: Output) -> None:
    results = complete(folder())
    (results.path / "table.csv").mkdir()
    assert "table.csv cannot be written" in error_of([str(results.path)], capsys)
    assert not list(results.path.glob(".table*"))


def call(results: Folder, **variables: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "reports", str(results.path)]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **variables}, capture_output=True, check=False)


def test_a_terminal_that_knows_only_ascii_still_gets_the_table(folder: Make) -> None:
    done = call(complete(folder()), PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"Epoch time (s)" in done.stdout


def test_torch_and_the_harness_beyond_its_core_are_not_imported() -> None:
    check = (
        "import sys, reports.__main__; "
        "bad = [name for name in sys.modules if name.split('.')[0] == 'torch' or name.endswith('.body') "
        "or name.startswith(('harness.cell', 'harness.conduct'))]; sys.exit(str(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_reader_who_closes_the_pipe_early_sees_no_traceback(folder: Make) -> None:
    results = complete(folder(rounds=2))
    shell = f"{sys.executable} -u -m reports {results.path} | true"
    done = subprocess.run(["bash", "-c", shell], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr == ""


@pytest.mark.parametrize("value", [1.7e308, -1.7e308, 5e-324, 1e300])
def test_numbers_beyond_all_measure_end_no_report(folder: Make, value: float) -> None:
    results = complete(folder(["1.10.0", "1.12.1", "1.13.1"], rounds=2))
    odd = [msgspec.structs.replace(one, samples=[value, 1.0, value]) for one in train_metrics()]
    results.keep("1.12.1", 1, metrics=odd, series={"rss": [value] * 2, "loss": [value] * 500})
    assert main([str(results.path)]) == 0
    assert ("cannot be true" in (results.path / "summary.md").read_text(encoding="utf-8")) == (abs(value) > 1)


def test_an_interval_without_a_bound_ends_at_the_edge_of_its_plot(folder: Make) -> None:
    pins = ["1.10.0", "1.12.1", *(f"1.13.{index}" for index in range(9))]
    results = folder(pins, rounds=2)
    for place, pin in enumerate(pins):
        results.keep_all(pin, epoch=[30.0 + place, 3000.0 if pin == "1.12.1" else 31.0])
    assert main([str(results.path)]) == 0
    (found,) = [one for one in results.findings() if (one.pin, one.quantity.name) == ("1.12.1", "epoch_time")]
    assert found.high == math.inf


@pytest.mark.parametrize("arguments", [[""], ["results/quick", "--into", ""]])
def test_an_empty_argument_is_not_the_current_folder(arguments: list[str], capsys: Output) -> None:
    assert "an argument is empty" in error_of(arguments, capsys)


def test_an_interrupted_report_ends_with_130_and_one_line(
    folder: Make, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("reports.__main__.judge", interrupt)
    assert main([str(folder().path)]) == 130
    assert capsys.readouterr().err == "interrupted: run the same command again.\n"


def test_a_record_whose_end_is_no_date_tells_no_document_when_the_last_run_was(folder: Make) -> None:
    results = complete(folder(rounds=2))
    results.keep("1.12.1", 1, ended="zzz, never")
    assert main([str(results.path)]) == 0
    page = (results.path / "index.html").read_text(encoding="utf-8")
    assert "zzz" not in page
    assert page.count("last run 2026-01-01") == 2  # at the top and in what is said of the main figure
    assert "date: 2026-01-01\n" in (results.path / "decision.md").read_text(encoding="utf-8")


def test_a_decision_that_is_a_link_stays_one_and_is_written_where_it_points_to(folder: Make, tmp_path: Path) -> None:
    results = complete(folder(rounds=2))
    kept = tmp_path / "documents" / "0007-torch.md"
    kept.parent.mkdir()
    (results.path / "decision.md").symlink_to(kept)
    assert main([str(results.path)]) == 0
    assert (results.path / "decision.md").is_symlink()
    assert "# PyTorch 1.10.0: move to 1.12.1?" in kept.read_text(encoding="utf-8")
