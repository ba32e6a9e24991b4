"""A machine measures one thing at a time: real conductors, of one checkout and of two."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from harness.conduct.__main__ import main
from harness.conduct.alone import FILE, VARIABLE, alone_on_machine, folder_of_lock
from harness.conduct.folder import sole_use
from harness.core.errors import UsageError
from harness.core.files import ROOT
from tests.project import Project


def silent(_):
    pass


# --- where the lock lies ------------------------------------------------------------------------------------------


def test_the_lock_lies_in_the_folder_that_is_named(tmp_path):
    assert folder_of_lock({VARIABLE: str(tmp_path)}) == tmp_path


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_a_folder_that_is_named_and_is_none_is_refused(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=f"{VARIABLE} names .*{name}, which is no folder"):
        folder_of_lock({VARIABLE: str(tmp_path / name)})


def test_else_it_lies_in_the_first_place_that_everybody_can_write_to(tmp_path):
    mine, everybodys = tmp_path / "mine", tmp_path / "everybodys"
    for folder, mode in ((mine, 0o755), (everybodys, 0o1777)):
        folder.mkdir()
        folder.chmod(mode)
    assert folder_of_lock({}, [tmp_path / "nowhere", mine, everybodys]) == everybodys
    assert folder_of_lock({}, [tmp_path / "nowhere", mine]) == mine


def test_where_no_place_can_be_written_to_one_has_to_be_named(tmp_path):
    with pytest.raises(UsageError, match=f"name a folder .* in {VARIABLE}"):
        folder_of_lock({}, [tmp_path / "nowhere"])


def test_a_lock_that_cannot_be_opened_is_one_sentence_with_what_to_do(tmp_path, monkeypatch):
    (tmp_path / FILE).mkdir()
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(UsageError, match=f"Is a directory.*{VARIABLE}"), alone_on_machine("me", silent):
        pass


# --- conductors ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkouts(tmp_path_factory):
    """Two copies of the project, in both of which a small matrix is planned."""
    copies = [Project(tmp_path_factory.mktemp(name)) for name in ("one", "other")]
    for copy in copies:
        planned = copy.plan("--profile", "smoke", "--device", "cpu")
        assert planned.returncode == 0, planned.stderr
    return copies


@pytest.fixture
def started():
    """Start a program of a copy; what is still running is killed at the end."""
    running = []

    def start(project, *arguments):
        running.append(
            subprocess.Popen(
                [sys.executable, "-u", "-m", "harness.conduct", *arguments],
                cwd=project.folder,
                env=project.environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate()


WORK = [("run", "results/smoke"), ("build", "1.13.1")]


@pytest.mark.parametrize("arguments", WORK)
@pytest.mark.parametrize("place", [0, 1])
def test_whoever_measures_or_builds_waits_for_who_measures_and_says_for_whom(checkouts, started, place, arguments):
    with alone_on_machine("measuring for /home/me/results/a", silent):
        process = started(checkouts[place], *arguments)
        said = process.stdout.readline()
        assert said.startswith(f"Waiting for process {os.getpid()}, measuring for /home/me/results/a since 20")
        assert "a machine measures one thing at a time" in said
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)  # ends it as Ctrl-C does, which a shell may have its background ignore
        out, err = process.communicate()
    assert process.returncode == 130
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("interrupted")
    assert not (checkouts[place].folder / "results" / "smoke" / "runs").exists()


def test_it_goes_on_when_the_machine_is_free(checkouts, started):
    with alone_on_machine("measuring", silent):
        process = started(checkouts[0], "run", "results/smoke")
        assert process.stdout.readline().startswith("Waiting for process")
    _, err = process.communicate()
    assert process.returncode == 2  # no environment is built in the copy
    assert err.startswith("error: The environment of pin 1.10.0 was not built")


def test_a_second_matrix_in_the_same_folder_is_refused_and_does_not_wait(checkouts):
    with sole_use(checkouts[0].folder / "results" / "smoke"):
        outcome = checkouts[0].run("smoke")
    assert outcome.returncode == 2
    assert f"process {os.getpid()}" in outcome.stderr
    assert "--name" in outcome.stderr


def test_a_plan_is_made_while_somebody_measures(checkouts):
    with alone_on_machine("measuring", silent):
        assert checkouts[0].plan("--profile", "smoke", "--device", "cpu").returncode == 0


CONDUCTOR = """
import sys, time
sys.path[:0] = [{root!r}, {tests!r}]
from test_sitting import Table
from pathlib import Path
import msgspec
from harness.conduct.alone import alone_on_machine
from harness.core.spec import RunSpec

spec = msgspec.json.decode(Path({spec!r}).read_bytes(), type=RunSpec)
table = Table(spec, Path(sys.argv[1]))
table.tell({{pin: {{"turns": 3, "slow_turn": 0.02}} for pin in ("1.10.0", "A/A", "1.12.1", "1.13.1")}})
with alone_on_machine(f"measuring for {{sys.argv[1]}}", lambda said: print(said, flush=True)):
    began = time.monotonic()
    outcomes = table.sit()
    print(began, time.monotonic(), all(outcome.good for outcome in outcomes.values()))
"""


def test_of_two_conductors_at_once_one_measures_after_the_other(spec, tmp_path):
    (tmp_path / "spec.json").write_bytes(msgspec.json.encode(spec))
    program = CONDUCTOR.format(root=str(ROOT), tests=str(Path(__file__).parent), spec=str(tmp_path / "spec.json"))
    conductors = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        command = [sys.executable, "-c", program, str(tmp_path / name)]
        conductors.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    said = [conductor.communicate()[0].splitlines() for conductor in conductors]
    assert [conductor.returncode for conductor in conductors] == [0, 0]
    (first, second) = sorted(json.loads(f"[{','.join(lines[-1].split()[:2])}]") for lines in said)
    assert first[1] <= second[0]
    assert all(lines[-1].endswith("True") for lines in said)
    (waited,) = [lines[0] for lines in said if len(lines) > 1]
    assert "measuring for" in waited


# --- a full disk --------------------------------------------------------------------------------------------------


def refused(outcome, *said):
    assert outcome.returncode == 2, outcome.stdout + outcome.stderr
    assert outcome.stderr.startswith("error: ")
    assert outcome.stderr.count("\n") == 1
    assert all(text in outcome.stderr for text in said), outcome.stderr
    return True


@pytest.fixture
def on_disk(checkouts, disk):
    """A copy whose results go to a small disk; its plan is there."""
    folder = checkouts[1].folder / "results"
    before = folder.with_name("before")
    folder.rename(before)
    folder.symlink_to(disk.folder)
    (disk.folder / "smoke").mkdir()
    (disk.folder / "smoke" / "asked.json").write_bytes((before / "smoke" / "asked.json").read_bytes())
    yield checkouts[1]
    folder.unlink()
    before.rename(folder)


def test_a_plan_that_cannot_be_left_on_a_full_disk_is_one_sentence(on_disk, disk):
    disk.fill()
    assert refused(on_disk.plan("--profile", "smoke", "--device", "cpu"), "No space left on device", "make room")


def test_a_matrix_on_a_disk_as_good_as_full_is_refused_before_anything_is_run(on_disk, disk):
    disk.fill()
    assert refused(on_disk.run("smoke"), "MiB are free", "make room")
    assert not (disk.folder / "smoke" / "runs").exists()


def test_output_that_cannot_be_written_is_one_sentence():
    with Path("/dev/full").open("wb") as full:
        outcome = subprocess.run(
            [sys.executable, "-m", "harness.conduct", "plan", "--profile", "smoke", "--device", "cpu"],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (outcome.returncode, outcome.stderr) == (
        2,
        "error: the output cannot be written: No space left on device.\n",
    )


def test_what_is_said_of_a_holder_does_not_steer_the_terminal(capfd, monkeypatch, tmp_path):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "a\x1b[31mb"))
    assert main(["build", "1.13.1"]) == 2
    assert "\x1b" not in capfd.readouterr().err
