"""The whole road, with the real pins: planned, built, run, recorded, reported."""

import os
import textwrap

import psutil
import pytest

from harness.core.plan import PLAN_FILE, read_plan
from harness.core.record import read_record, record_path
from tests.project import Project

PINS = ["1.10.0", "1.12.1", "1.13.1"]


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A fresh clone in which `nox -s matrix -- --profile smoke` has been run."""
    project = Project(tmp_path_factory.mktemp("clone"))
    project.outcome = project.python("-m", "nox", "-s", "matrix", "--", "--profile", "smoke")
    return project


def records_of(project, name):
    results = project.folder / "results" / name
    return {
        (spec.case, spec.pin.name): read_record(record_path(results, spec))
        for spec in read_plan(results / PLAN_FILE).runs
    }


def test_a_fresh_clone_ends_in_a_table_with_all_three_pins_filled(clone):
    assert clone.outcome.returncode == 0, clone.outcome.stdout + clone.outcome.stderr
    assert {record.status for record in records_of(clone, "smoke").values()} == {"ok"}
    table = (clone.folder / "results" / "smoke" / "table.md").read_text(encoding="utf-8")
    assert all(pin in table for pin in PINS)
    assert not any(word in table for word in ("failed", "missing", "unsupported"))
    assert "One run per pin decides nothing" in table


def test_every_pin_ran_the_torch_that_its_label_says(clone):
    for (_, pin), record in records_of(clone, "smoke").items():
        assert record.environment.packages["torch"] == pin
        assert record.environment.torch.startswith(pin)
        assert record.environment.label == "matches the lock"


def test_all_pins_had_the_same_data_initial_weights_and_batches(clone):
    hashes = [record.hashes for record in records_of(clone, "smoke").values()]
    for name in ("data", "initial_weights", "batch_stream"):
        assert len({getattr(each, name) for each in hashes}) == 1


def test_a_second_matrix_keeps_what_is_valid_and_a_changed_recipe_does_it_again(clone):
    before = records_of(clone, "smoke")
    assert clone.plan("--profile", "smoke").returncode == 0
    again = clone.run("smoke")
    assert again.stdout.count("kept from before") == 3
    assert records_of(clone, "smoke") == before
    clone.change("cases/matrix.toml", "clip_norm = 10.0\nema_decay = 0.99\n", "clip_norm = 9.0\nema_decay = 0.99\n")
    assert clone.plan("--profile", "smoke", "--pins", "1.13.1").returncode == 0
    changed = clone.run("smoke")
    assert "kept from before" not in changed.stdout
    assert records_of(clone, "smoke")["train", "1.13.1"].identity != before["train", "1.13.1"].identity


MISHAP = '''
"""Case `mishap`: ends badly, on every pin in another way."""
import os
import time


def run(spec, progress, record):
    progress.tell(phase="before the mishap")
    if spec.pin.name == "1.10.0":
        os.kill(os.getpid(), 9)
    if spec.pin.name == "1.12.1":
        raise RuntimeError("the reason why it failed")
    time.sleep(600)
'''


@pytest.fixture(scope="module")
def mishaps(tmp_path_factory):
    """A matrix in which one run is killed, one raises and one hangs."""
    project = Project(tmp_path_factory.mktemp("mishaps"))
    project.lend_environments()
    (project.folder / "cases" / "mishap.py").write_text(textwrap.dedent(MISHAP), encoding="utf-8")
    project.change("cases/matrix.toml", "images = 64, validation = 16", "images = 8, validation = 8")
    project.change("cases/matrix.toml", "silence_seconds = 300", "silence_seconds = 20")
    assert project.plan("--profile", "smoke", "--case", "mishap", "train").returncode == 0
    project.outcome = project.run("smoke")
    return project


def test_a_run_that_is_killed_raises_or_hangs_is_recorded_and_the_others_go_on(mishaps):
    assert mishaps.outcome.returncode == 0, mishaps.outcome.stderr
    records = records_of(mishaps, "smoke")
    assert {case: {records[case, pin].status for pin in PINS} for case in ("train", "mishap")} == {
        "train": {"ok"},
        "mishap": {"failed"},
    }
    killed, raised, hung = (records["mishap", pin] for pin in PINS)
    assert killed.failure.signal == "SIGKILL"
    assert raised.failure.exit_code == 1
    assert raised.failure.log_tail[-1] == "RuntimeError: the reason why it failed"
    assert "reported nothing for 20 s" in hung.reason


def test_the_matrix_with_failed_runs_ends_with_exit_code_3_and_says_which_and_why(mishaps):
    report = mishaps.report("smoke")
    assert report.returncode == 3
    shown = " ".join(report.stdout.split())  # lines are wrapped
    assert "SIGKILL" in shown
    assert "the reason why it failed" in shown


def test_no_process_of_the_matrix_is_left_behind(mishaps):
    ours = [
        process.info["cmdline"]
        for process in psutil.process_iter(["cmdline", "cwd", "pid"])
        if process.info["cwd"] == str(mishaps.folder) and process.info["pid"] != os.getpid()
    ]
    assert ours == []


@pytest.fixture
def scratch(tmp_path):
    """A copy of the project in which nothing has been run."""
    project = Project(tmp_path)
    project.lend_environments()
    return project


def refused(outcome, *said):
    """One sentence on standard error, exit code 2, no traceback."""
    assert outcome.returncode == 2, outcome.stdout + outcome.stderr
    assert "Traceback" not in outcome.stdout + outcome.stderr
    assert outcome.stderr.startswith("error: ")
    assert all(text in outcome.stderr for text in said), outcome.stderr
    return True


def test_a_mistake_in_the_matrix_file_is_one_sentence(scratch):
    scratch.change("cases/matrix.toml", "[profiles.smoke]\n", "[profiles.smoke]\nround = 3\n")
    assert refused(scratch.plan("--profile", "smoke"), "matrix.toml", "`round`", "profiles")


def test_names_that_are_not_known_are_one_sentence(scratch):
    assert refused(scratch.plan("--pins", "1.11.0"), "nox -s lock -- 1.11.0")
    assert refused(scratch.plan("--profile", "slow"), "quick")
    assert refused(scratch.plan("--case", "trian"), "train")
    assert refused(scratch.plan("--device", "cuda:7"), "cuda:7")


def test_a_results_folder_that_cannot_be_written_is_one_sentence(scratch):
    (scratch.folder / "results").write_text("a file", encoding="utf-8")
    assert refused(scratch.plan("--profile", "smoke"), "results/smoke cannot be written")


def test_bad_pictures_and_labels_are_listed_and_refused_before_any_training(scratch):
    data = scratch.folder / "data"
    for split in ("train", "val"):
        (data / "images" / split).mkdir(parents=True)
        (data / "labels" / split).mkdir(parents=True)
        (data / "images" / split / "broken.jpg").write_bytes(b"no picture")
        (data / "labels" / split / "broken.txt").write_text("0 0.5 0.5 0.2 0.2\n", encoding="utf-8")
    (data / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [thing]\n", encoding="utf-8")
    asked = ("--profile", "smoke", "--data", "data/data.yaml")
    assert scratch.plan(*asked).returncode == 0
    assert refused(scratch.run("smoke"), "broken.jpg")
    (data / "labels" / "val" / "broken.txt").write_text("0 0.5 0.5 0.2 0.2\n7 0.5 0.5 0.2 0.2\n", encoding="utf-8")
    assert scratch.plan(*asked).returncode == 0
    assert refused(scratch.run("smoke"), "broken.txt", "line 2")
    assert not (scratch.folder / "results" / "smoke" / "runs").exists()


def test_a_data_file_that_lacks_keys_or_points_nowhere_is_one_sentence(scratch):
    path = scratch.folder / "data.yaml"
    for text, said in (
        ("train: images\nnames: [a]\n", "val"),
        ("train: nowhere\nval: nowhere\nnames: [a]\n", "nowhere"),
    ):
        path.write_text(text, encoding="utf-8")
        assert scratch.plan("--profile", "smoke", "--data", "data.yaml").returncode == 0
        assert refused(scratch.run("smoke"), "data.yaml", said)


def test_a_record_of_another_schema_is_refused_with_what_to_do(scratch):
    assert scratch.plan("--profile", "smoke").returncode == 0
    record = scratch.folder / "results" / "smoke" / "runs" / "train" / "1.10.0" / "0.json"
    record.parent.mkdir(parents=True)
    record.write_text('{"schema": 99}', encoding="utf-8")
    assert refused(scratch.run("smoke"), "0.json", "schema 99", "--fresh")


def test_without_any_environment_the_sentence_says_how_to_get_python_3_9(scratch):
    for marker in (scratch.folder / ".nox" / "built").iterdir():
        marker.unlink()
    assert scratch.plan("--profile", "smoke").returncode == 0
    assert refused(scratch.run("smoke"), "uv python install 3.9", "nox -s pin-1.10.0")
