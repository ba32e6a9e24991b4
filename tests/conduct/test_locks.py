"""Locks, made from an index of the test's own: a folder of wheels that hold nothing but their metadata."""

import sys

import pytest

from harness.conduct.locks import torchvisions
from harness.core.errors import UsageError
from harness.core.matrix import is_early, read_matrix, version_of
from tests.project import Project, wheel


@pytest.fixture
def project(tmp_path):
    """A copy of the project that can resolve nothing but the wheels of the test."""
    copy = Project(tmp_path / "project")
    copy.require_nothing(until="# --- machines")
    wheels = tmp_path / "wheels"
    wheel(wheels, "torch", "1.11.0", ["typing-extensions"])
    wheel(wheels, "torch", "1.11.0+cu113", ["typing-extensions"])
    wheel(wheels, "torchvision", "0.12.0", ["torch==1.11.0"])
    wheel(wheels, "torchvision", "0.12.0+cu113", ["torch==1.11.0"])
    wheel(wheels, "torchvision", "0.13.0", ["torch"])
    wheel(wheels, "typing_extensions", "4.0.0")
    wheel(wheels, "setuptools", "69.0.0")

    def lock(*pins):
        only_these = {"UV_FIND_LINKS": str(wheels), "UV_OFFLINE": "1", "UV_CACHE_DIR": str(tmp_path / "cache")}
        return copy.python("-m", "harness.conduct.locks", *pins, **only_these)

    copy.lock = lock
    return copy


def test_a_further_pin_gets_a_lock_with_hashes_and_is_named_in_the_matrix_file(project):
    before = (project.folder / "cases" / "matrix.toml").read_text(encoding="utf-8")
    outcome = project.lock("1.11.0")
    assert outcome.returncode == 0, outcome.stderr
    text = (project.folder / "cases" / "locks" / "1.11.0.txt").read_text(encoding="utf-8")
    names = [line.split()[0] for line in text.splitlines() if "==" in line and not line.startswith("#")]
    assert names == ["setuptools==69.0.0", "torch==1.11.0", "torchvision==0.12.0", "typing-extensions==4.0.0"]
    assert text.count("--hash=sha256:") == 4
    after = (project.folder / "cases" / "matrix.toml").read_text(encoding="utf-8")
    pin = read_matrix(project.folder / "cases" / "matrix.toml").pins["1.11.0"]
    assert (pin.torchvision, pin.python, pin.requirements) == ("0.12.0", "3.9", ["setuptools<70"])
    assert all(line in after for line in before.splitlines())


def test_a_build_gets_the_torchvision_of_the_same_build_and_no_address_ends_in_the_lock(project):
    outcome = project.lock("1.11.0+cu113")
    assert outcome.returncode == 0, outcome.stderr
    text = (project.folder / "cases" / "locks" / "1.11.0+cu113.txt").read_text(encoding="utf-8")
    assert "torch==1.11.0+cu113" in text
    assert "torchvision==0.12.0+cu113" in text
    assert str(project.folder.parent) not in text
    assert "://" not in text


def test_a_pin_that_was_locked_can_be_planned(project):
    project.lock("1.11.0")
    outcome = project.plan("--profile", "smoke", "--pins", "1.11.0", "1.13.1")
    assert outcome.returncode == 0, outcome.stderr
    assert "pins: 1.11.0, A/A, 1.13.1; the first is the baseline" in outcome.stdout


def test_a_version_that_no_index_has_is_one_sentence_with_uvs_reason(project):
    outcome = project.lock("1.99.0")
    assert outcome.returncode == 2
    assert outcome.stderr.startswith("error: No lock for torch 1.99.0 could be made.")
    assert "Traceback" not in outcome.stderr


def test_a_build_that_no_index_has_asks_for_its_index(project):
    assert "UV_EXTRA_INDEX_URL" in project.lock("1.11.0+cu999").stderr


MODEL = '[models.mine]\npath = "mine"\nrequirements = ["typing-extensions<5", "setuptools>60"]\n\n# --- recipes'


def test_a_model_gets_locks_beside_those_of_the_pins_that_differ_by_what_it_requires_alone(project):
    project.lock("1.11.0+cu113")
    own = (project.folder / "cases" / "locks" / "1.11.0+cu113.txt").read_text(encoding="utf-8")
    project.change("cases/matrix.toml", "# --- recipes", MODEL)
    for lock in (project.folder / "cases" / "locks").glob("*.txt"):  # of pins that this index does not have
        if lock.name != "1.11.0+cu113.txt":
            lock.unlink()
    wheel(project.folder.parent / "wheels", "typing_extensions", "4.9.0")
    outcome = project.lock("--model", "mine")
    assert outcome.returncode == 0, outcome.stderr
    assert "and what the model mine requires, in cases/locks/1.11.0+cu113-mine.txt" in outcome.stdout
    text = (project.folder / "cases" / "locks" / "1.11.0+cu113-mine.txt").read_text(encoding="utf-8")
    assert text.startswith("# Pin 1.11.0+cu113: ")
    assert "--model mine" in text.splitlines()[0]
    assert "typing-extensions==4.0.0" in text
    assert set(own.splitlines()[1:]) <= set(text.splitlines())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Nothing is named"),
        (("--model", "absent"), "There is no model 'absent'"),
        (("--model", "yolov9-s"), "has no requirements: it needs no locks"),
        (("latest", "--model", "mine"), "'latest' is not a torch version"),
    ],
)
def test_locks_of_a_model_that_cannot_be_made_are_one_sentence(project, arguments, said):
    project.change("cases/matrix.toml", "# --- recipes", MODEL)
    outcome = project.lock(*arguments)
    assert outcome.returncode == 2
    assert outcome.stderr.startswith("error: ")
    assert said in outcome.stderr
    assert "Traceback" not in outcome.stderr


HELPER = '[environments.onnx]\npython = "3.11"\nrequirements = ['


@pytest.fixture
def with_helper(project):
    """The same with an environment that is no pin's and needs one of the wheels."""
    path = project.folder / "cases" / "matrix.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("# --- machines", f'{HELPER}"setuptools"]\n\n# --- machines'), encoding="utf-8")
    return project


def test_an_environment_that_is_no_pin_gets_a_lock_with_hashes_and_the_matrix_file_stays_as_it_is(with_helper):
    path = with_helper.folder / "cases" / "matrix.toml"
    before = path.read_text(encoding="utf-8")
    (with_helper.folder / "cases" / "locks" / "onnx.txt").unlink()
    outcome = with_helper.lock("onnx")
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout == "locked environment onnx: Python 3.11, in cases/locks/onnx.txt\n"
    text = (with_helper.folder / "cases" / "locks" / "onnx.txt").read_text(encoding="utf-8")
    assert "setuptools==69.0.0" in text
    assert text.count("--hash=sha256:") == 1
    assert path.read_text(encoding="utf-8") == before


def test_an_environment_whose_packages_no_index_has_is_one_sentence_with_uvs_reason(with_helper):
    with_helper.change("cases/matrix.toml", f'{HELPER}"setuptools"]', f'{HELPER}"setuptools==1"]')
    (with_helper.folder / "cases" / "locks" / "onnx.txt").unlink()
    outcome = with_helper.lock("onnx")
    assert outcome.returncode == 2
    assert outcome.stderr.startswith("error: No lock for the environment onnx could be made. uv said: ")
    assert "Traceback" not in outcome.stderr


@pytest.mark.parametrize(
    ("torch", "torchvision"),
    [
        ("1.10.0", "0.11.0"),
        ("1.13.1", "0.14.1"),
        ("2.0.1", "0.15.1"),
        ("2.13.0", "0.28.0"),
        ("1.12.1+cu113", "0.13.1+cu113"),
    ],
)
def test_torch_is_paired_with_its_torchvision(torch, torchvision):
    assert torchvisions(torch)[0] == f"torchvision==={torchvision}"


EARLY = ["2.9.0rc1", "2.9.0a0+gitabc1234", "2.10.0.dev20250901", "2.10.0.dev20250901+cpu", "2.10.0b2.dev3+cu128"]


@pytest.mark.parametrize("name", EARLY)
def test_what_comes_before_a_release_may_have_any_torchvision_of_its_minor_version_or_of_the_one_before(name):
    minor = 24 if name.startswith("2.9") else 25
    assert torchvisions(name) == [
        f"torchvision>=0.{minor}.0.dev0,<0.{minor + 1}.0.dev0",
        f"torchvision>=0.{minor - 1}.0.dev0,<0.{minor}.0.dev0",
    ]


@pytest.mark.parametrize("name", EARLY)
def test_what_comes_before_a_release_can_be_a_pin_of_the_matrix_file(name):
    assert is_early(name)
    assert version_of(name)["major"] == "2"


@pytest.mark.parametrize("name", ["1.13.1", "1.10.0+cu113", "1.3.0.post2", "2.8.0+rocm6.4"])
def test_a_release_and_its_builds_do_not_come_before_it(name):
    assert not is_early(name)


@pytest.mark.parametrize(
    "name", ["latest", "1.13", "../../etc", "", "v1.13.1", "2.9.0-rc1", "2.9.0RC1", "2.9.0+", "2.9.0+CU113", "2.9.0 "]
)
def test_what_is_no_version_is_refused(name):
    with pytest.raises(UsageError, match=r"is not a torch version.*2\.9\.0rc1"):
        torchvisions(name)


def test_one_that_is_no_version_is_found_before_the_first_lock_is_made(project):
    outcome = project.lock("1.11.0", "latest")
    assert outcome.returncode == 2
    assert outcome.stderr.startswith("error: 'latest' is not a torch version")
    assert not (project.folder / "cases" / "locks" / "1.11.0.txt").exists()


NIGHTLY = "2.10.0.dev20250901"


@pytest.fixture
def early(project, tmp_path):
    """The same with release candidates and nightlies in the index, each torch with the torchvision built for it."""
    wheels = tmp_path / "wheels"
    wheel(wheels, "torch", "2.9.0rc1", ["helper==3.0.0rc2"])
    wheel(wheels, "torchvision", "0.24.0rc3", ["torch==2.9.0rc1"])
    wheel(wheels, "torchvision", "0.24.0rc4", ["torch==2.9.0rc2"])
    wheel(wheels, "helper", "3.0.0rc2")
    for build in ("+cpu", "+cu128"):
        wheel(wheels, "torch", f"{NIGHTLY}{build}")
        wheel(wheels, "torchvision", f"0.25.0.dev20250830{build}", ["torch==2.10.0.dev20250830"])
        wheel(wheels, "torchvision", f"0.25.0.dev20250902{build}", [f"torch=={NIGHTLY}"])
        wheel(wheels, "torchvision", f"0.25.0.dev20250903{build}", ["torch==2.10.0.dev20250903"])
    wheel(wheels, "torch", "2.11.0.dev20251101+cpu")
    wheel(wheels, "torchvision", "0.25.0.dev20251101+cpu", ["torch==2.11.0.dev20251101"])
    return project


@pytest.mark.parametrize(
    ("torch", "torchvision"),
    [
        ("2.9.0rc1", "0.24.0rc3"),
        (f"{NIGHTLY}+cpu", "0.25.0.dev20250902+cpu"),
        (f"{NIGHTLY}+cu128", "0.25.0.dev20250902+cu128"),
        ("2.11.0.dev20251101+cpu", "0.25.0.dev20251101+cpu"),  # of the minor version before
    ],
)
def test_a_release_candidate_or_nightly_gets_a_lock_with_the_torchvision_that_was_built_for_it(
    early, torch, torchvision
):
    outcome = early.lock(torch)
    assert outcome.returncode == 0, outcome.stderr
    text = (early.folder / "cases" / "locks" / f"{torch}.txt").read_text(encoding="utf-8")
    assert f"torch=={torch} " in text
    assert f"torchvision=={torchvision} " in text
    assert read_matrix(early.folder / "cases" / "matrix.toml").pins[torch].torchvision == torchvision
    assert early.lock(torch).returncode == 0  # once more, as it is in the matrix file by now


def test_a_nightly_that_was_locked_can_be_planned_and_its_lock_be_installed(early):
    torch = f"{NIGHTLY}+cpu"
    assert f"`nox -s lock -- {torch}`" in early.plan("--profile", "smoke", "--pins", torch, "1.13.1").stderr
    early.lock(torch)
    planned = early.plan("--profile", "smoke", "--pins", torch, "1.13.1")
    assert planned.returncode == 0, planned.stderr
    assert f"pins: {torch}, A/A, 1.13.1; the first is the baseline" in planned.stdout
    lock = early.folder / "cases" / "locks" / f"{torch}.txt"
    wheels = {"UV_FIND_LINKS": str(early.folder.parent / "wheels"), "UV_OFFLINE": "1"}
    sync = ["-m", "uv", "pip", "sync", "--require-hashes", "--dry-run", "--python", sys.executable, str(lock)]
    installed = early.python(*sync, UV_CACHE_DIR=str(early.folder.parent / "cache"), **wheels)
    assert f" + torch=={torch}" in installed.stderr, installed.stderr


def test_one_that_no_index_has_says_that_such_have_an_index_of_their_own(early):
    outcome = early.lock("2.10.0.dev20240101+cpu")
    assert outcome.returncode == 2
    assert "an index of its own, and nightlies stay there for some weeks" in outcome.stderr
    assert "UV_EXTRA_INDEX_URL" in outcome.stderr
    assert outcome.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["latest", "1.13", "2.9.0-rc1"])
def test_no_lock_is_recommended_for_what_cannot_be_locked(early, name):
    said = early.plan("--profile", "smoke", "--pins", name, "1.13.1").stderr
    assert said.startswith(f"error: '{name}' is not a torch version")
    assert "nox -s lock" not in said
