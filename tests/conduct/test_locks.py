"""Locks, made from an index of the test's own: a folder of wheels that hold nothing but their metadata."""

import zipfile

import pytest

from harness.conduct.locks import paired_torchvision
from harness.core.errors import UsageError
from harness.core.matrix import read_matrix
from tests.project import Project


def wheel(folder, name, version, requires=()):
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {one}\n" for one in requires)
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as file:
        file.writestr(f"{info}/METADATA", metadata)
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")


@pytest.fixture
def project(tmp_path):
    """A copy of the project that can resolve nothing but the wheels of the test."""
    copy = Project(tmp_path / "project")
    path = copy.folder / "cases" / "matrix.toml"
    text = path.read_text(encoding="utf-8")
    start, end = text.index("requirements = ["), text.index("# --- machines")
    path.write_text(f"{text[:start]}requirements = []\n\n{text[end:]}", encoding="utf-8")
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
    assert paired_torchvision(torch)[0] == torchvision


@pytest.mark.parametrize("name", ["latest", "1.13", "../../etc", ""])
def test_what_is_no_version_is_refused(name):
    with pytest.raises(UsageError, match="is not a torch version"):
        paired_torchvision(name)
