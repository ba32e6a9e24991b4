"""What the sessions decide by themselves: which there are, what is queued, how tests are run."""

import fcntl
import importlib.util
import json
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import tomllib
from nox import registry

from harness.conduct.environments import session_of
from harness.conduct.planning import read_helper
from harness.core.files import ROOT
from harness.core.spec import TWIN, Pin
from tests.project import Project


@pytest.fixture(scope="module")
def noxfile():
    """The project's noxfile, loaded once: nox registers its sessions."""
    spec = importlib.util.spec_from_file_location("noxfile_under_test", ROOT / "noxfile.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        spec.loader.exec_module(module)
    module.TOOLS[:] = [sys.executable]
    return module


def test_every_pin_of_the_matrix_file_has_a_session(noxfile, matrix):
    assert set(noxfile.PINS) == set(matrix.pins)
    assert {f"pin-{pin}" for pin in matrix.pins} <= set(registry.get())


def test_every_pin_has_a_session_for_a_second_environment(noxfile, matrix):
    assert {f"pin-{pin}-twin" for pin in matrix.pins} <= set(registry.get())


def test_a_second_environment_has_the_name_that_its_pin_says(noxfile, matrix):
    for name in matrix.pins:
        pin = Pin(TWIN, name, "", "", "")
        assert f"pin-{pin.environment}" in registry.get()


def test_every_environment_of_the_matrix_file_has_a_session(noxfile, matrix):
    assert set(noxfile.HELPERS) == set(matrix.environments)
    for name in matrix.environments:
        assert session_of(read_helper(name, matrix)) in registry.get()


def test_the_pins_in_which_tests_are_run_are_in_the_matrix_file(noxfile, matrix):
    assert set(noxfile.TESTED_PINS) <= set(matrix.pins)


def test_what_calls_programs_of_ours_shares_one_environment(noxfile):
    alone = {"hold", "tools", "tests", "lint", "types"}
    sessions = {name: function for name, function in registry.get().items() if name not in alone}
    assert {"matrix", "plan", "report", "measure", "pin-1.10.0"} <= set(sessions)
    assert all(function.requires == ["tools"] for function in sessions.values())
    assert all(function.venv_backend == "none" for function in sessions.values())


class Session:
    """A session that installs nothing and whose program leaves the handoff that the test wants."""

    posargs = ["--profile", "smoke"]

    def __init__(self, folder):
        self.folder, self.queued = folder, []

    def create_tmp(self):
        return str(self.folder)

    def notify(self, name, arguments):
        self.queued.append((name, arguments))


@pytest.fixture
def queued(noxfile, tmp_path, monkeypatch):
    """What is queued, and how the planning was called, when it hands over what the test says."""

    def queue(handoff, *arguments):
        called = []

        def call(python, *words):
            called.append(words)
            if handoff:
                Path(words[words.index("--handoff") + 1]).write_text(json.dumps(handoff), encoding="utf-8")

        monkeypatch.setattr(noxfile, "call", call)
        session = Session(tmp_path)
        noxfile.queue(session, "after", *arguments)
        return session.queued, called[0]

    return queue


def test_the_planned_environments_are_queued_and_then_what_comes_after(queued):
    handoff = {"results": ["results/smoke"], "sessions": ["pin-1.10.0", "helper-onnx"], "report": []}
    sessions, called = queued(handoff, "--proofs", "times")
    assert sessions == [("pin-1.10.0", []), ("helper-onnx", []), ("after", ["results/smoke"])]
    assert called[:7] == ("-m", "harness.conduct", "plan", "--proofs", "times", "--profile", "smoke")


def test_the_sessions_that_prove_something_name_every_proof_of_the_matrix_file_once(noxfile, matrix, monkeypatch):
    named = []
    monkeypatch.setattr(noxfile, "queue", lambda session, after, option, *proofs: named.extend(proofs))
    for name in ("calibrate", "bench", "seats"):
        getattr(noxfile, name)(None)
    assert sorted(named) == sorted(matrix.proofs)


def test_a_gate_is_handed_on_to_the_reports(queued):
    sessions, _ = queued({"results": ["results/smoke"], "sessions": [], "report": ["--gate"]})
    assert sessions == [("after", ["results/smoke", "--gate"])]


def test_a_call_that_plans_nothing_queues_nothing(queued, tmp_path):
    (tmp_path / "handoff.json").write_text('{"results": ["of the last call"]}', encoding="utf-8")
    assert queued(None)[0] == []


@pytest.fixture
def planned(noxfile, tmp_path, monkeypatch):
    """The programs that the session `plan` calls, where the first of them leaves plans or does not."""

    def run(leaves):
        called = []

        def call(python, *words):
            called.append(words)
            if leaves and "--plans" in words:
                Path(words[-1]).write_text("[]", encoding="utf-8")

        monkeypatch.setattr(noxfile, "call", call)
        noxfile.plan.func(Session(tmp_path))
        return called

    return run


def test_a_plan_is_made_and_shown_and_what_it_will_be_able_to_tell_is_said(planned, tmp_path):
    left = str(tmp_path / "plans.json")
    made, foreseen = planned(leaves=True)
    assert made == ("-m", "harness.conduct", "plan", "--profile", "smoke", "--plans", left)
    assert foreseen == ("-m", "reports.foresee", left)


def test_where_no_plan_is_made_as_with_help_nothing_is_foreseen(planned, tmp_path):
    (tmp_path / "plans.json").write_text("of the last call", encoding="utf-8")
    (made,) = planned(leaves=False)
    assert made[1] == "harness.conduct"


def test_a_search_measures_what_is_wanted_until_nothing_is(noxfile, tmp_path, monkeypatch):
    called, wanted = [], ["ends", "1.11.0"]
    monkeypatch.setattr(noxfile, "run_in", lambda results: called.append(("run", results)))

    def call(python, *words):
        called.append(words[1:3])
        left = Path(words[-1])
        if words[2] == "bisect":
            left.write_text('{"results": "results/bisect/it"}', encoding="utf-8")
        elif words[1] == "reports.bisect" and wanted:
            left.write_text(json.dumps({"name": wanted.pop(0)}), encoding="utf-8")
        elif words[2] == "ready" and wanted:  # of the second one nothing can be had
            left.write_text('{"results": "results/bisect/it/ends"}', encoding="utf-8")

    monkeypatch.setattr(noxfile, "call", call)
    noxfile.bisect.func(Session(tmp_path))
    judged, ready = ("reports.bisect", "results/bisect/it"), ("harness.conduct", "ready")
    assert called == [
        ("harness.conduct", "bisect"),
        judged,
        ready,
        ("run", "results/bisect/it/ends"),
        judged,
        ready,
        judged,
    ]


class Suites:
    """A session that keeps what it logs, and ends as nox ends one."""

    def __init__(self, *posargs):
        self.posargs, self.logged = posargs, []

    def log(self, words):
        self.logged.append(words)

    def error(self, words):
        raise AssertionError(words)


@pytest.fixture
def suites(tmp_path):
    """Two suites for the interpreter of these tests: one that passes, and one that does not."""
    options = ["-q", "-p", "no:cacheprovider"]
    (tmp_path / "test_good.py").write_text("def test_good(): pass\n", encoding="utf-8")
    (tmp_path / "test_bad.py").write_text("def test_bad(): assert False, 'so it says'\n", encoding="utf-8")
    return {name: [sys.executable, str(tmp_path / f"test_{name}.py"), *options] for name in ("good", "bad")}


def test_a_suite_that_fails_fails_the_session_and_the_others_are_run_and_shown(noxfile, suites, capfd):
    session = Suites()
    with pytest.raises(AssertionError, match=r"Tests failed bad\.$"):
        noxfile.side_by_side(session, suites)
    shown = capfd.readouterr().out
    assert "so it says" in shown
    assert "1 passed" in shown
    assert {"pytest good:", "pytest bad:"} <= set(session.logged)


def test_suites_that_pass_pass_the_session(noxfile, suites):
    noxfile.side_by_side(Suites(), {"good": suites["good"]})


@pytest.mark.parametrize(("arguments", "passes"), [(["-k", "good"], True), ([], False)])
def test_a_suite_without_tests_is_no_failure_only_where_arguments_choose_among_them(
    noxfile, suites, tmp_path, arguments, passes
):
    (tmp_path / "test_bad.py").write_text("", encoding="utf-8")
    if passes:
        noxfile.side_by_side(Suites(*arguments), suites)
    else:
        with pytest.raises(AssertionError, match="Tests failed bad"):
            noxfile.side_by_side(Suites(), suites)


def test_arguments_that_choose_no_test_of_any_suite_fail(noxfile, suites):
    with pytest.raises(AssertionError, match=r"Tests failed (good, bad|bad, good)\."):
        noxfile.side_by_side(Suites("-k", "mistyped"), suites)


# --- environments of one's own ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the project of which no session can install anything: its requirements are none."""
    copy = Project(tmp_path_factory.mktemp("project"))
    for name in ("requirements.txt", "requirements-dev.txt"):
        (copy.folder / name).write_text("no requirement at all ===\n", encoding="utf-8")
    return copy


@pytest.mark.parametrize("backend", [["--no-venv"], ["--force-venv-backend", "none"]])
@pytest.mark.parametrize("session", ["plan", "tests", "lint", "types"])
def test_a_session_that_would_install_into_the_callers_environment_is_refused_before_it_does(project, session, backend):
    outcome = project.python("-m", "nox", *backend, "-s", session)
    assert outcome.returncode == 2
    said = [line for line in outcome.stderr.splitlines() if not line.startswith("nox > ")]
    assert len(said) == 1, outcome.stderr
    assert said[0].startswith("error: The session ")
    assert "no environment of its own" in said[0]
    assert "uv pip sync" not in outcome.stderr
    assert outcome.stdout == ""


def test_a_session_without_the_environment_of_the_tools_is_refused(project):
    outcome = project.python("-m", "nox", "--no-dependencies", "-s", "plan")
    assert outcome.returncode == 2
    assert outcome.stderr.splitlines()[-1].startswith("error: The environment of the tools was not made")


def test_packages_are_installed_into_the_environment_that_is_named(noxfile, tmp_path):
    (tmp_path / "python").touch(mode=0o755)
    called = []
    session = SimpleNamespace(
        name="tools",
        bin=str(tmp_path),
        virtualenv=SimpleNamespace(is_sandboxed=True),
        run_install=lambda *words: called.append(words),
    )
    noxfile.install(session, "requirements.txt")
    (words,) = called
    assert words[words.index("--python") + 1] == str(tmp_path / "python")


@pytest.fixture
def uv_toml(tmp_path, monkeypatch):
    """The user's configuration of uv."""
    for name in ("UV_NO_CONFIG", "UV_CONFIG_FILE", "XDG_CONFIG_DIRS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "uv").mkdir()
    return tmp_path / "uv" / "uv.toml"


@pytest.mark.parametrize("line", ['target = "/x"', 'prefix = "/x"', 'python-version = "3.12"'])
def test_a_configuration_that_has_uv_install_elsewhere_is_refused_before_anything_is_installed(
    noxfile, uv_toml, capsys, line
):
    uv_toml.write_text(f"[pip]\n{line}\n", encoding="utf-8")
    session = SimpleNamespace(name="tools", virtualenv=SimpleNamespace(is_sandboxed=True))
    with pytest.raises(SystemExit, match="2"):
        noxfile.install(session, "requirements.txt")
    assert capsys.readouterr().err.startswith(f"error: {uv_toml} says under [pip] '{line.split()[0]}'")


@pytest.mark.parametrize("text", ['index-url = "https://mirror"\n[pip]\nstrict = true\n', "pip = 3", "[", "", "[pip]"])
def test_any_other_configuration_of_uv_is_left_to_it(noxfile, uv_toml, text):
    uv_toml.write_text(text, encoding="utf-8")
    noxfile.refuse_other_places()


def test_a_file_that_uv_is_told_to_read_counts_in_place_of_the_users(noxfile, uv_toml, tmp_path, monkeypatch):
    uv_toml.write_text('[pip]\ntarget = "/x"\n', encoding="utf-8")
    monkeypatch.setenv("UV_CONFIG_FILE", str(tmp_path / "other.toml"))
    assert noxfile.uv_configurations() == [tmp_path / "other.toml"]
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    assert noxfile.uv_configurations() == []


def test_uv_does_not_take_the_configuration_of_a_folder_above_the_checkout():
    assert "uv" in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]


def test_what_tells_the_callers_python_where_modules_are_is_told_to_nothing_that_a_session_starts(project, tmp_path):
    told = dict.fromkeys(("PYTHONPATH", "PYTHONSTARTUP", "PYTHONUSERBASE", "UV_SYSTEM_PYTHON"), str(tmp_path))
    look = f"import noxfile, os; print(set(os.environ) & {set(told)}, os.environ['PYTHONNOUSERSITE'])"
    outcome = project.python("-c", look, **told)
    assert outcome.stdout == "set() 1\n", outcome.stderr


@pytest.mark.parametrize("pins", ["3", "[[1]]", '"1.10.0"', "[", "[1.10.0]", "x = " + "[" * 3000])
def test_pins_that_are_none_leave_the_sentence_to_the_program_that_reads_the_file_strictly(
    noxfile, tmp_path, monkeypatch, pins
):
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases" / "matrix.toml").write_text(f"pins = {pins}\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert noxfile.table_in_matrix_file("pins") == {}


def test_of_two_nox_in_one_checkout_one_makes_the_environment_of_the_tools_after_the_other(
    noxfile, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(noxfile, "HELD", [])
    path = tmp_path / ".nox" / "held" / "tools.lock"
    path.parent.mkdir(parents=True)
    session, waiting = Suites(), threading.Event()
    session.log = lambda words: (session.logged.append(words), waiting.set())
    with path.open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        second = threading.Thread(target=noxfile.hold.func, args=(session,))
        second.start()
        assert waiting.wait(60)
        assert second.is_alive()
    second.join(60)
    assert not second.is_alive()
    assert "Waiting for another nox" in session.logged[0]
    with path.open("a") as third, pytest.raises(BlockingIOError):
        fcntl.flock(third, fcntl.LOCK_EX | fcntl.LOCK_NB)
    noxfile.HELD[0].close()
