"""How environments are built and kept, and which interpreter a pin gets. Only the last test lets uv work."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from msgspec.structs import replace

from harness.conduct import environments
from harness.conduct.environments import (
    build,
    find_interpreters,
    in_use,
    interpreter_of,
    variables_for_uv,
    why_not_built,
)
from harness.conduct.holding import InUseError, take
from harness.conduct.planning import read_helper
from harness.core.errors import UsageError
from harness.core.files import ROOT
from harness.core.spec import AMBIENT, Pin
from tests.project import Project

AMBIENT_PIN = Pin(AMBIENT, None, None, None, None)


def test_an_environment_built_from_another_lock_is_not_used(spec, tmp_path, monkeypatch):
    monkeypatch.setattr(environments, "BUILT", tmp_path)
    built = f'{{"interpreter": "{sys.executable}", "source": {{"lock": "other"}}}}'
    (tmp_path / "1.13.1.json").write_text(built, encoding="utf-8")
    assert interpreter_of(spec.pin, Path("ambient")) is None
    (tmp_path / "1.13.1.json").write_text(built.replace("other", spec.pin.lock), encoding="utf-8")
    assert str(interpreter_of(spec.pin, Path("ambient"))) == sys.executable


@pytest.mark.parametrize("text", ["", "[]", "{}"])
def test_a_broken_marker_counts_as_not_built(spec, tmp_path, monkeypatch, text):
    monkeypatch.setattr(environments, "BUILT", tmp_path)
    (tmp_path / "1.13.1.json").write_text(text, encoding="utf-8")
    assert interpreter_of(spec.pin, Path("ambient")) is None


def test_what_is_not_built_says_how_to_get_the_python_that_it_needs(spec):
    assert "uv python install 3.9" in why_not_built(spec.pin)


def test_where_nothing_is_built_that_is_said(spec, tmp_path, monkeypatch):
    monkeypatch.setattr(environments, "BUILT", tmp_path)
    with pytest.raises(UsageError, match=r"nox -s pin-1\.13\.1"):
        find_interpreters([spec.pin], Path("ambient"))


def test_the_ambient_interpreter_is_the_one_that_is_named():
    assert interpreter_of(AMBIENT_PIN, Path("/some/python")) == Path("/some/python")


def test_an_ambient_interpreter_without_torch_is_one_sentence(monkeypatch):
    monkeypatch.setattr(environments, "NEEDED", ("sys", "no_such_module"))
    with pytest.raises(UsageError, match="lacks no_such_module"):
        find_interpreters([AMBIENT_PIN], Path(sys.executable))


class Yard:
    """A folder for environments in which uv and the check only pretend, and what they were called with."""

    def __init__(self, folder, matrix):
        self.folder, self.matrix = folder, matrix
        self.called = []
        self.said = []
        self.on_sync = lambda: None
        self.fails = ""
        """A word of the command that fails."""

    def call(self, command, variables):
        words = ("venv", "sync", "harness.cell.preflight", "harness.cell.label")
        word = next(word for word in words if word in command)
        self.called.append(word)
        if word == self.fails:
            return 1
        if word == "venv":
            python = Path(command[-1]) / "bin" / "python"
            python.parent.mkdir(parents=True, exist_ok=True)
            python.touch()
        if word == "sync":
            self.on_sync()
        return 0

    def build(self, environment="1.13.1", matrix=None):
        self.called = []
        return build(environment, matrix or self.matrix, self.said.append)

    def marker(self, environment="1.13.1"):
        return self.folder / "built" / f"{environment}.json"


BUILDS = ["venv", "sync", "harness.cell.preflight"]
KEEPS = ["harness.cell.preflight"]


@pytest.fixture
def yard(tmp_path, matrix, monkeypatch):
    yard = Yard(tmp_path, matrix)
    monkeypatch.setattr(environments, "FOLDER", tmp_path)
    monkeypatch.setattr(environments, "BUILT", tmp_path / "built")
    monkeypatch.setattr(environments, "call", yard.call)
    return yard


def test_an_environment_is_built_from_its_lock_checked_and_then_kept(yard, spec, matrix):
    interpreter = yard.build()
    assert interpreter == yard.folder / "pin-1-13-1" / "bin" / "python"
    assert yard.called == BUILDS
    pin = environments.read_pin("1.13.1", matrix)
    assert json.loads(yard.marker().read_bytes()) == {
        "interpreter": str(interpreter),
        "source": {"lock": pin.lock, "python": "3.9"},
    }
    assert interpreter_of(pin, Path("ambient")) == interpreter
    assert yard.build() == interpreter
    assert yard.called == KEEPS


def test_a_changed_lock_means_a_new_environment(yard, monkeypatch):
    yard.build()
    read_pin = environments.read_pin
    monkeypatch.setattr(environments, "read_pin", lambda *named: replace(read_pin(*named), lock="another"))
    yard.build()
    assert yard.called == BUILDS


def test_another_python_means_a_new_environment(yard, matrix):
    yard.build()
    pins = {**matrix.pins, "1.13.1": replace(matrix.pins["1.13.1"], python="3.10")}
    yard.build(matrix=replace(matrix, pins=pins))
    assert yard.called == BUILDS


@pytest.mark.parametrize("gone", ["interpreter", "marker"])
def test_an_environment_that_was_deleted_or_never_completed_is_built(yard, gone):
    interpreter = yard.build()
    (interpreter if gone == "interpreter" else yard.marker()).unlink()
    yard.build()
    assert yard.called == BUILDS


def test_an_environment_of_another_checkout_is_not_taken_for_ones_own(yard):
    interpreter = yard.build()
    elsewhere = yard.marker().read_text(encoding="utf-8").replace(str(interpreter), sys.executable)
    yard.marker().write_text(elsewhere, encoding="utf-8")
    assert yard.build() == interpreter
    assert yard.called == BUILDS


def test_the_second_environment_is_built_from_the_pins_own_lock_into_a_folder_of_its_own(yard):
    first, second = yard.build("1.13.1"), yard.build("1.13.1-twin")
    assert yard.called == BUILDS  # the first makes it no more built
    assert (first.parents[1].name, second.parents[1].name) == ("pin-1-13-1", "pin-1-13-1-twin")
    sources = [json.loads(yard.marker(name).read_bytes())["source"] for name in ("1.13.1", "1.13.1-twin")]
    assert sources[0] == sources[1]


def test_a_helpers_environment_is_built_from_its_lock_checked_without_torch_and_then_kept(yard, matrix):
    interpreter = yard.build("onnx")
    assert interpreter == yard.folder / "helper-onnx" / "bin" / "python"
    assert yard.called == ["venv", "sync", "harness.cell.label"]
    helper = read_helper("onnx", matrix)
    assert json.loads(yard.marker("onnx").read_bytes())["source"] == {"lock": helper.lock, "python": helper.python}
    assert interpreter_of(helper, Path("ambient")) == interpreter
    assert yard.build("onnx") == interpreter
    assert yard.called == ["harness.cell.label"]


def test_a_helper_that_is_not_built_names_its_session(matrix):
    said = why_not_built(read_helper("onnx", matrix))
    assert said.startswith("The environment of onnx was not built: `nox -s helper-onnx` shows why")
    assert "uv python install 3.11" in said


def test_an_environment_that_is_not_what_its_lock_says_is_built_anew_the_next_time(yard):
    yard.build()
    yard.fails = "harness.cell.preflight"
    with pytest.raises(UsageError, match=r"is not as cases/locks/1\.13\.1\.txt says"):
        yard.build()
    assert not yard.marker().exists()
    yard.fails = ""
    yard.build()
    assert yard.called == BUILDS


@pytest.mark.parametrize(
    ("fails", "said"), [("venv", "uv python install 3.9"), ("sync", "cannot be made from cases/locks/1.13.1.txt")]
)
def test_an_environment_that_cannot_be_made_leaves_no_marker_and_says_why(yard, fails, said):
    yard.fails = fails
    with pytest.raises(UsageError, match=said):
        yard.build()
    assert not yard.marker().exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("1.99.0", "nox -s lock -- 1.99.0"),
        ("1.99.0-twin", "nox -s lock -- 1.99.0"),
        ("../x", "is not a torch version"),
        (AMBIENT, "noth"),
    ],
)
def test_what_is_no_locked_pin_is_refused(yard, name, said):
    with pytest.raises(UsageError, match=said):
        yard.build(name)
    assert yard.called == []


def test_uv_gets_what_the_shims_of_a_version_manager_stand_for_in_their_place(tmp_path):
    for folder in ("pyenv/versions/3.9.1/bin", "pyenv/versions/3.11.2/bin", "mise/installs/python/3.9/bin"):
        (tmp_path / folder).mkdir(parents=True)
    path = f"/first:{tmp_path}/pyenv/shims:{tmp_path}/mise/shims:/last"
    variables = variables_for_uv({"PATH": path, "VIRTUAL_ENV": "/of/nox", "UV_PYTHON": "/of/nox", "UV_INDEX_URL": "x"})
    assert variables == {
        "UV_INDEX_URL": "x",
        "UV_COMPILE_BYTECODE_TIMEOUT": "600",
        "PATH": f"/first:{tmp_path}/pyenv/versions/3.11.2/bin:{tmp_path}/pyenv/versions/3.9.1/bin:"
        f"{tmp_path}/mise/installs/python/3.9/bin:/last",
    }


def test_a_python_that_is_nowhere_to_be_had_is_one_sentence_after_uvs_own(tmp_path):
    project = Project(tmp_path)
    project.change(
        "cases/matrix.toml", 'torchvision = "0.14.1"\npython = "3.9"', 'torchvision = "0.14.1"\npython = "3.2"'
    )
    outcome = project.python("-m", "harness.conduct", "build", "1.13.1")
    assert outcome.returncode == 2
    assert "Traceback" not in outcome.stderr
    assert outcome.stderr.splitlines()[-1].startswith("error: The environment 1.13.1 cannot be made")
    assert "uv python install 3.2" in outcome.stderr
    assert not (tmp_path / ".nox" / "built").exists()


def hold_of(yard):
    return yard.folder / "held" / "1.13.1.lock"


def test_two_that_build_one_environment_do_so_one_after_the_other_and_the_second_keeps_what_the_first_built(yard):
    building, go_on = threading.Event(), threading.Event()

    def work():
        building.set()
        assert go_on.wait(60)

    yard.on_sync = work
    first = threading.Thread(target=yard.build)
    first.start()
    assert building.wait(60)
    second = threading.Thread(
        target=build, args=("1.13.1", yard.matrix, lambda said: (yard.said.append(said), go_on.set()))
    )
    second.start()
    for thread in (first, second):
        thread.join(60)
        assert not thread.is_alive()
    assert yard.called == [*BUILDS, *KEEPS]
    (said,) = yard.said
    assert said.startswith(f"Waiting for the environment 1.13.1: process {os.getpid()}, building it since 20")


def test_an_environment_that_is_built_already_is_checked_beside_others_who_use_it(yard, spec):
    yard.build()
    with in_use([spec.pin], "measuring", yard.said.append):
        yard.build()
    assert (yard.called, yard.said) == (KEEPS, [])


def test_an_environment_in_use_is_not_built_anew_until_it_is_no_longer(yard, spec, monkeypatch):
    yard.build()
    read_pin = environments.read_pin
    monkeypatch.setattr(environments, "read_pin", lambda *named: replace(read_pin(*named), lock="another"))
    called = []
    using = in_use([spec.pin], "measuring for results/a", yard.said.append)
    using.__enter__()

    def say(said):
        called.append([*yard.called])
        yard.said.append(said)
        using.__exit__(None, None, None)

    yard.called = []
    build("1.13.1", yard.matrix, say)
    assert (called, yard.called) == ([[]], BUILDS)
    assert "measuring for results/a" in yard.said[0]


def test_an_environment_is_held_by_all_who_use_it_and_is_free_when_they_have_ended(yard, spec):
    with in_use([spec.pin], "one", print), in_use([spec.pin], "other", print), pytest.raises(InUseError):
        take(hold_of(yard), "me")
    take(hold_of(yard), "me").close()


def test_the_ambient_interpreter_is_nobodys_to_hold(yard):
    with in_use([AMBIENT_PIN], "one", print):
        assert not (yard.folder / "held").exists()


def test_modules_that_only_pythonpath_has_do_not_count_as_the_ambient_interpreters(tmp_path, monkeypatch):
    (tmp_path / "on_pythonpath.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    look = [sys.executable, "-c", "import on_pythonpath"]
    assert subprocess.run(look, check=False).returncode == 0  # it would be found by the caller's own programs
    monkeypatch.setattr(environments, "NEEDED", ("sys", "on_pythonpath"))
    with pytest.raises(UsageError, match="lacks on_pythonpath"):
        find_interpreters([AMBIENT_PIN], Path(sys.executable))


def test_an_ambient_interpreter_that_does_not_start_is_one_sentence():
    with pytest.raises(UsageError, match="false, which lacks all of it"):
        find_interpreters([AMBIENT_PIN], Path("/bin/false"))


def test_uv_is_not_told_to_install_into_the_system():
    told = {"UV_SYSTEM_PYTHON": "1", "UV_BREAK_SYSTEM_PACKAGES": "1", "UV_INDEX": "kept", "PATH": "/bin"}
    variables = variables_for_uv(told)
    assert {"UV_INDEX": "kept", "PATH": "/bin"}.items() <= variables.items()
    assert not {"UV_SYSTEM_PYTHON", "UV_BREAK_SYSTEM_PACKAGES"} & set(variables)


def test_uv_has_time_to_compile_on_a_busy_machine_and_as_long_as_its_user_says():
    assert variables_for_uv({})["UV_COMPILE_BYTECODE_TIMEOUT"] == "600"
    assert variables_for_uv({"UV_COMPILE_BYTECODE_TIMEOUT": "5"})["UV_COMPILE_BYTECODE_TIMEOUT"] == "5"


def test_the_folders_are_those_of_nox():
    assert ROOT / ".nox" == environments.FOLDER
