"""The whole road, with the real pins: planned, built, run, recorded, reported."""

import contextlib
import json
import shutil
import time

import psutil
import pytest

from harness.core.plan import PLAN_FILE, read_plan
from harness.core.policy import read_policy
from harness.core.record import read_record, record_path
from harness.core.spec import TWIN
from tests.project import Project
from tests.workflow import Job

PINS = ["1.10.0", "1.12.1", "1.13.1"]


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A fresh clone in which CI's own lines have installed nox and run `nox -s matrix -- --profile smoke`."""
    project = Project(tmp_path_factory.mktemp("clone"))
    uncached = {"steps.cache.outputs.cache-hit": ""}
    project.ci = Job(project, "checks", "smoke", uncached, tmp_path_factory.mktemp("ci") / "files")
    project.outcome = project.ci.run()
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
    assert all(f"**{pin}: inconclusive**" in table for pin in ("1.12.1", "1.13.1"))


def test_every_pin_ran_the_torch_that_its_label_says(clone):
    records = records_of(clone, "smoke")
    assert {("train", pin) for pin in [*PINS, TWIN]} == set(records)
    for (_, pin), record in records.items():
        version = PINS[0] if pin == TWIN else pin
        assert record.environment.packages["torch"] == version
        assert record.environment.torch.startswith(version)
        assert record.environment.label == "matches the lock"


def test_the_control_ran_from_another_environment_than_the_baseline(clone):
    built = clone.folder / ".nox" / "built"
    markers = [json.loads((built / f"{name}.json").read_text(encoding="utf-8")) for name in ("1.10.0", "1.10.0-twin")]
    baseline, twin = (marker["interpreter"] for marker in markers)
    assert baseline != twin
    assert markers[0]["source"] == markers[1]["source"]
    table = (clone.folder / "results" / "smoke" / "table.md").read_text(encoding="utf-8")
    assert TWIN in table


def sittings_of(records):
    """The names of the sittings that all of these runs sat in, one after another."""
    ((*names,),) = {tuple(sitting.name for sitting in record.sittings) for record in records}
    return names


def test_the_trainings_of_all_pins_took_turns_in_the_same_sittings_an_epoch_each(clone):
    records = records_of(clone, "smoke").values()
    assert len(set(sittings_of(records))) == 2
    for number in range(2):
        sat = [record.sittings[number] for record in records]
        assert sorted(sitting.seat for sitting in sat) == [0, 1, 2, 3]
        assert len({sitting.laps for sitting in sat}) == 1
    for record in records:
        steps = record.metric("step_time")
        assert len(steps.samples) == sum(sitting.laps for sitting in record.sittings)
        assert len(steps.samples) + len(steps.warmup) == len(record.series["loss"]) == 2 * 64 // 8
        assert len(record.metric("epoch_time").samples) == 2
    assert list((clone.folder / "results" / "smoke").rglob("*.checkpoint")) == []


def test_the_verdict_is_written_with_the_digest_of_the_policy(clone):
    verdict = json.loads((clone.folder / "results" / "smoke" / "verdict.json").read_text(encoding="utf-8"))
    assert verdict["policy"] == read_policy().digest()
    assert verdict["machines"][0]["baseline"] == PINS[0]
    assert [candidate["version"] for candidate in verdict["candidates"]] == PINS[1:]


def test_ci_shows_the_summary_of_its_matrix(clone):
    summary = (clone.folder / "results" / "smoke" / "summary.md").read_text(encoding="utf-8")
    assert summary.startswith("# Upgrade verdict")
    assert clone.ci.read("summary") == summary


def test_the_lines_of_ci_make_one_report_of_what_the_machines_have_uploaded(clone, tmp_path):
    uploaded = clone.folder / "results" / "machines" / "results-cpu" / "run-7"
    shutil.copytree(clone.folder / "results" / "smoke", uploaded)
    values = {
        "needs.plan.outputs.jobs": '[{"machine": "cpu"}]',
        "github.run_id": "7",
        "steps.upload.outputs.artifact-url": "https://example.org/report",
    }
    job = Job(clone, "matrix", "report", values, tmp_path / "files")
    outcome = job.run(without=["Install nox"])
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert "1.12.1: inconclusive" in job.read("summary")
    assert job.read("summary").endswith("[The whole report](https://example.org/report)\n")
    verdict = json.loads((clone.folder / "results" / "report" / "verdict.json").read_text(encoding="utf-8"))
    assert [candidate["version"] for candidate in verdict["candidates"]] == PINS[1:]


def test_all_pins_had_the_same_data_initial_weights_and_batches(clone):
    hashes = [record.hashes for record in records_of(clone, "smoke").values()]
    for name in ("data", "initial_weights", "batch_stream"):
        assert len({getattr(each, name) for each in hashes}) == 1


def test_a_second_matrix_keeps_what_is_valid_and_a_changed_recipe_does_it_again(clone):
    before = records_of(clone, "smoke")
    assert clone.plan("--profile", "smoke").returncode == 0
    again = clone.run("smoke")
    assert again.stdout.count("kept from before") == 4
    assert records_of(clone, "smoke") == before
    clone.change("cases/matrix.toml", "clip_norm = 10.0\nema_decay = 0.99\n", "clip_norm = 9.0\nema_decay = 0.99\n")
    assert clone.plan("--profile", "smoke", "--pins", "1.10.0").returncode == 0
    changed = clone.run("smoke")
    assert "kept from before" not in changed.stdout
    assert records_of(clone, "smoke")["train", "1.10.0"].identity != before["train", "1.10.0"].identity


SMALL = """
[profiles.small]
model = "yolov9-s"
cases = ["train", "converge"]
rounds = 1
flags = "pinned"
shapes = { images = 16, validation = 8, size = 64 }

[profiles.small.train]
recipe = "short"
image_size = 64
epochs = 3
batch = 8
precision = "fp32"
workers = 0
warmup_batches = 1
silence_seconds = 300
limit_hours = 0.5

[profiles.small.turns]
steps = 1
epochs = 1
"""


@pytest.fixture(scope="module")
def small(clone):
    """The clone with a profile of its own, for matrices that are killed."""
    path = clone.folder / "cases" / "matrix.toml"
    path.write_text(path.read_text(encoding="utf-8") + SMALL, encoding="utf-8")
    return clone


def wait_until(true, seconds=240):
    """Wait for something that must become true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def kill(process, *, with_children):
    """End a process at once, and with it all that it has started if asked to."""
    family = psutil.Process(process.pid).children(recursive=True) if with_children else []
    process.kill()
    for child in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    process.wait()
    return family


def begun(results):
    """Logs of runs that have said something and have no record yet."""
    logs = results.glob("runs/*/*/0.log")
    return [log for log in logs if log.stat().st_size and not log.with_suffix(".json").exists()]


def test_a_matrix_that_is_killed_with_all_its_processes_goes_on_where_it_was(small):
    results = small.folder / "results" / "killed"
    assert small.plan("--profile", "small", "--name", "killed", "--case", "converge").returncode == 0
    matrix = small.start_run("killed")
    wait_until(lambda: list(results.glob("runs/*/*/0.json")) and begun(results))
    assert kill(matrix, with_children=True)
    wait_until(lambda: small.processes() == [])
    complete = {path: path.read_bytes() for path in results.glob("runs/*/*/0.json")}
    assert len(complete) < 4
    again = small.run("killed")
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("kept from before") >= len(complete)
    assert {path: path.read_bytes() for path in complete} == complete
    assert again.stdout.count(": started (") == 4 - again.stdout.count("kept from before")
    assert [record.status for record in records_of(small, "killed").values()] == ["ok"] * 4
    assert small.processes() == []


def test_trainings_that_are_killed_while_they_take_turns_go_on_from_their_last_checkpoints(small):
    results = small.folder / "results" / "halfway"
    assert small.plan("--profile", "small", "--name", "halfway", "--case", "train").returncode == 0
    matrix = small.start_run("halfway")
    wait_until(lambda: len(list(results.glob("runs/*/*/0.1.checkpoint"))) == 4)
    assert kill(matrix, with_children=True)
    wait_until(lambda: small.processes() == [])
    assert list(results.glob("runs/*/*/0.json")) == []
    again = small.run("halfway")
    assert again.returncode == 0, again.stderr
    records = records_of(small, "halfway").values()
    assert [record.status for record in records] == ["ok"] * 4
    assert len(set(sittings_of(records))) == 3
    for log in results.glob("runs/*/*/0.log"):
        begun = [line for line in log.read_text(encoding="utf-8").splitlines() if '"epoch done","epoch":0,' in line]
        assert len(begun) == 1
    assert list(results.rglob("*.checkpoint")) == []


def test_trainings_whose_conductor_alone_is_killed_end_by_themselves_and_are_done_again(small):
    results = small.folder / "results" / "orphaned"
    assert small.plan("--profile", "small", "--name", "orphaned", "--case", "train").returncode == 0
    matrix = small.start_run("orphaned")
    wait_until(lambda: [b'"ready"' in log.read_bytes() for log in results.glob("runs/*/*/0.log")] == [True] * 4)
    kill(matrix, with_children=False)
    wait_until(lambda: small.processes() == [])
    assert list(results.glob("runs/*/*/0.json")) == []
    again = small.run("orphaned")
    assert again.returncode == 0, again.stderr
    records = records_of(small, "orphaned").values()
    assert [record.status for record in records] == ["ok"] * 4
    assert len(set(sittings_of(records))) == 3
    assert small.processes() == []


MISHAP = {
    "__init__.py": '''
        """Ends badly, on every pin in another way."""

        from harness.core.declaration import Case

        CASE = Case()
        ''',
    "body.py": """
        import os
        import time


        def measure(run):
            run.progress.tell(phase="before the mishap")
            if run.spec.pin.name == "1.10.0":
                os.kill(os.getpid(), 9)
            if run.spec.pin.name in ("1.12.1", "A/A"):
                raise RuntimeError("the reason why it failed")
            time.sleep(600)
        """,
}


@pytest.fixture(scope="module")
def mishaps(tmp_path_factory):
    """A matrix in which one run is killed, one raises and one hangs."""
    project = Project(tmp_path_factory.mktemp("mishaps"))
    project.lend_environments()
    project.add_case("mishap", MISHAP)
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
    assert mishaps.processes() == []


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
