"""The sessions: every command that a person or CI runs is one of these. `nox -l` lists them."""

from __future__ import annotations

import fcntl
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import nox

if sys.version_info < (3, 11):
    sys.exit(
        f"torch-matrix needs Python 3.11 or newer outside the pins, and this nox runs on {sys.version.split()[0]}: "
        "install nox with a newer Python, for example `python3.11 -m venv .venv`."
    )

import tomllib

sys.path.insert(0, str(Path(__file__).parent))  # nox does not do so

from harness.core.names import TWIN_ENDING, locked_name

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv"
nox.options.sessions = ["lint", "types", "tests"]

# Nothing that a session starts looks for modules where the caller's own programs do, or installs any there.
for _name in ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONUSERBASE", "UV_SYSTEM_PYTHON"):
    os.environ.pop(_name, None)
os.environ["PYTHONNOUSERSITE"] = "1"

WORKFLOWS = Path(".github/workflows")
NO_TESTS = 5
"""pytest's exit code where the arguments choose no test of a suite."""


def table_in_matrix_file(table: str) -> dict[str, Any]:
    """A table. A file that is broken is explained by the program that reads it strictly."""
    try:
        return {**tomllib.loads(Path("cases/matrix.toml").read_text(encoding="utf-8"))[table]}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}


PINS = [*table_in_matrix_file("pins")]
HELPERS = [*table_in_matrix_file("environments")]
MODELS = ["", *(name for name, said in table_in_matrix_file("models").items() if "requirements" in said)]
"""No model, and those whose own requirements a pin's environment may have to have too."""
TESTED_HELPERS = [name for name in HELPERS if Path("tests", "helpers", name).is_dir()]
TESTED_PINS = ("1.10.0", "1.12.1", "1.13.1")


def refuse(sentence: str) -> NoReturn:
    """End nox as bad usage does."""
    print(f"error: {sentence}", file=sys.stderr)
    sys.exit(2)


ELSEWHERE = ("target", "prefix", "python-version", "python-platform")
"""What the table [pip] of uv's configuration can say by which uv installs in another place or for another Python. No
option takes it back."""


def uv_configurations() -> list[Path]:
    """The files in which uv finds the user's and the system's configuration. (That of a folder above this one it does
    not look for: pyproject.toml has a [tool.uv].)"""
    environ = os.environ
    if environ.get("UV_NO_CONFIG"):
        return []
    if environ.get("UV_CONFIG_FILE"):
        return [Path(environ["UV_CONFIG_FILE"])]
    own = Path(environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    shared = [*filter(None, environ.get("XDG_CONFIG_DIRS", "").split(":")), "/etc/xdg", "/etc"]
    return [folder / "uv" / "uv.toml" for folder in (own, *map(Path, shared))]


def refuse_other_places() -> None:
    """Refuse what would have uv install into a folder of the user's in place of an environment of ours."""
    for path in uv_configurations():
        try:
            said = [*tomllib.loads(path.read_text(encoding="utf-8"))["pip"]]
        except (OSError, ValueError, KeyError, TypeError):  # there is none, or uv says what is wrong with it
            continue
        for key in set(said).intersection(ELSEWHERE):
            refuse(
                f"{path} says under [pip] {key!r}, by which uv would not install into the environments of this "
                "checkout: take it out, or name a file without it in UV_CONFIG_FILE."
            )


def install(session: nox.Session, requirements: str) -> None:
    """Make the session's environment hold exactly what the hash-locked file says, and nothing else: so it must be the
    session's own."""
    if not session.virtualenv.is_sandboxed:
        refuse(
            f"The session {session.name} has no environment of its own here, and would uninstall packages of yours: "
            "leave out --no-venv, or whatever else says that the venv backend is none."
        )
    refuse_other_places()
    # named, as uv would else take the one that its variables name
    session.run_install("uv", "pip", "sync", "--require-hashes", "--python", python_of(session), requirements)


TOOLS: list[str] = []
"""The Python of the tools, once the session `tools` has been run."""

HELD: list[io.FileIO] = []
"""What the session `hold` holds."""

session_with_tools = partial(nox.session, requires=["tools"], venv_backend="none", default=False)
"""Declares a session that calls this project's own programs. All of them share one environment."""


@nox.session(venv_backend="none", default=False)
def hold(session: nox.Session) -> None:
    """Required by `tools`, before nox makes its environment: others in this checkout do that before or after."""
    path = Path(".nox", "held", "tools.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    HELD.append(io.FileIO(path, "a"))
    try:
        fcntl.flock(HELD[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        session.log("Waiting for another nox, which makes the environment of the tools in this checkout.")
        fcntl.flock(HELD[0], fcntl.LOCK_EX)


@nox.session(default=False, reuse_venv=True, requires=["hold"])
def tools(session: nox.Session) -> None:
    """Required by others: the environment of this project's own programs."""
    install(session, "requirements.txt")
    TOOLS[:] = [python_of(session)]
    for held in HELD:
        held.close()


def ours(*arguments: str) -> list[str]:
    """The command that runs a program of ours."""
    if not TOOLS:
        refuse("The environment of the tools was not made: leave out --no-dependencies.")
    return [*TOOLS, *arguments]


def python_of(session: nox.Session) -> str:
    """The interpreter of a session's environment."""
    return str(shutil.which("python", path=session.bin))


def call(python: str, *arguments: str) -> None:
    """Run a program of ours; end nox with its exit code when that is not 0 (nox by itself knows only 0 and 1)."""
    process = subprocess.Popen([python, *arguments])
    before = signal.signal(signal.SIGTERM, lambda *_: process.terminate())  # a cancelled CI job ends as Ctrl-C does
    try:
        code = process.wait()
    except KeyboardInterrupt:
        process.wait()  # it got the signal too, and clears up
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
    if code:
        sys.exit(code)


def handed_over(session: nox.Session, python: str, *arguments: str) -> dict[str, Any] | None:
    """Call a program that leaves a file for us, and read it; None where there was nothing to leave, as with --help."""
    handoff = left_by(session, "--handoff", python, *arguments)
    if not handoff:
        return None
    said: dict[str, Any] = json.loads(handoff.read_text(encoding="utf-8"))
    return said


def left_by(session: nox.Session, option: str, python: str, *arguments: str) -> Path | None:
    """Call a program with an option that names a file for it to leave; None where it left none."""
    path = Path(session.create_tmp()) / f"{option.strip('-')}.json"
    path.unlink(missing_ok=True)
    call(python, *arguments, option, str(path))
    return path if path.exists() else None


def queue(session: nox.Session, after: str, *arguments: str) -> None:
    """Make the plan that the arguments ask for, then queue the sessions of its environments and the one `after`."""
    planned = handed_over(session, *ours("-m", "harness.conduct", "plan", *arguments, *session.posargs))
    if planned:
        for building in planned["sessions"]:
            session.notify(building, [])
        session.notify(after, planned["results"] + planned["report"])


def run_in(results: str) -> None:
    """Do the planned runs of a results folder."""
    call(*ours("-m", "harness.conduct", "run", "--ambient", sys.executable, results))


@session_with_tools()
def matrix(session: nox.Session) -> None:
    """Build the pins' environments, run the same harness in each, print the cross-version table. `-- --help` says how.

    Which pins are needed follows from the arguments and the GPU found, which nox's `requires` cannot know, and a
    prerequisite that fails would stop the others; so the plan is made first and the sessions it needs are queued.
    """
    queue(session, "measure")


def building_session(name: str, environment: str, what: str) -> None:
    """Declare the session that builds and checks one environment."""

    @session_with_tools(name=name)
    def build(session: nox.Session) -> None:
        session.run(*ours("-m", "harness.conduct", "build", environment))  # one that fails does not stop the others

    build.__doc__ = f"Build the {what} from its lock and check it."


for _pin in (locked_name(pin, model) for pin in PINS for model in MODELS):
    building_session(f"pin-{_pin}", _pin, f"environment of pin {_pin}")
    building_session(f"pin-{_pin}{TWIN_ENDING}", _pin + TWIN_ENDING, f"second environment of pin {_pin}")
for _helper in HELPERS:
    building_session(f"helper-{_helper}", _helper, f"environment {_helper}, which is no pin's,")


@session_with_tools()
def measure(session: nox.Session) -> None:
    """Queued by `matrix`: do the planned runs of a results folder, then report."""
    run_in(session.posargs[0])
    call(*ours("-m", "reports", *session.posargs))


@session_with_tools()
def calibrate(session: nox.Session) -> None:
    """Prove the instrument on this machine: copies of the baseline with a planted fault each, and a clean one."""
    queue(session, "prove", "--proofs", "times", "health", "labels", "soak", "fidelity", "inference", "attribution")


@session_with_tools()
def prove(session: nox.Session) -> None:
    """Queued by `calibrate`: run its matrices, then say which faults were found."""
    for results in session.posargs:
        run_in(results)
    call(*ours("-m", "reports.calibrate", *session.posargs))


@session_with_tools()
def bench(session: nox.Session) -> None:
    """What the instruments cost: training steps with and without them, in turns, and the ratio."""
    queue(session, "weigh", "--proofs", "instruments")


@session_with_tools()
def weigh(session: nox.Session) -> None:
    """Queued by `bench`: take the turns, then print the ratio."""
    run_in(session.posargs[0])
    call(*ours("-m", "reports.weigh", *session.posargs))


@session_with_tools()
def seats(session: nox.Session) -> None:
    """Whether a seat is favoured: identical processes take turns, and the mean of each seat is told (minutes)."""
    queue(session, "compare_seats", "--proofs", "seats")


@session_with_tools()
def compare_seats(session: nox.Session) -> None:
    """Queued by `seats`: take the turns, then print the seats."""
    run_in(session.posargs[0])
    call(*ours("-m", "reports.seats", *session.posargs))


@session_with_tools()
def bisect(session: nox.Session) -> None:
    """Find the release in which something changed: `nox -s bisect -- --metric training_memory --from V --to V`.

    What is measured next follows from what was measured, so the two programs take turns until the search is at its end.
    """
    begun = handed_over(session, *ours("-m", "harness.conduct", "bisect", *session.posargs))
    while begun:
        wanted = left_by(session, "--next", *ours("-m", "reports.bisect", begun["results"]))
        if not wanted:
            return
        ready = handed_over(session, *ours("-m", "harness.conduct", "ready", begun["results"], str(wanted)))
        if ready:
            run_in(ready["results"])


@session_with_tools()
def plan(session: nox.Session) -> None:
    """Say what `nox -s matrix` would do with the same arguments and be able to tell, and do nothing."""
    plans = left_by(session, "--plans", *ours("-m", "harness.conduct", "plan", *session.posargs))
    if plans:
        call(*ours("-m", "reports.foresee", str(plans)))


@session_with_tools()
def report(session: nox.Session) -> None:
    """Make the table of a results folder again: `nox -s report -- results/quick`."""
    call(*ours("-m", "reports", *(session.posargs or ["results/quick"])))


@session_with_tools()
def lock(session: nox.Session) -> None:
    """Make the hash-locked file of a pin, `-- 1.11.0`, or of a helper; without arguments, of this project's tools."""
    if session.posargs:
        call(*ours("-m", "harness.conduct.locks", *session.posargs))
        return
    compile_ = ours("-m", "uv", "pip", "compile", "pyproject.toml", "--quiet", "--universal", "--generate-hashes")
    compile_ += ["--no-header", "--python-version", "3.11", "--output-file"]
    session.run_install(*compile_, "requirements.txt")
    session.run_install(*compile_, "requirements-dev.txt", "--group", "dev")


@nox.session(reuse_venv=True)
def tests(session: nox.Session) -> None:
    """The tests: outside the pins, and what runs inside of each environment there. Arguments go to pytest."""
    install(session, "requirements-dev.txt")
    python = python_of(session)
    suites = {"outside the pins": [python, "--ignore", "tests/cell", "--ignore", "tests/helpers"]}
    environments = handed_over(session, python, "-m", "harness.conduct", "build", *TESTED_PINS, *TESTED_HELPERS) or {}
    for environment, interpreter in environments.items():
        tested = f"tests/helpers/{environment}" if environment in TESTED_HELPERS else "tests/cell"
        suites[f"in {environment}"] = [interpreter, tested]
    side_by_side(session, suites)


def side_by_side(session: nox.Session, suites: dict[str, list[str]]) -> None:
    """Run pytest by several interpreters, one for each processor at a time, and print what each said when it ends: one
    after another they would take three times as long, and most of them use one thread."""
    codes: dict[str, int] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        running = {}
        for name, (interpreter, *arguments) in suites.items():
            command = [interpreter, "-m", "pytest", *arguments, *session.posargs]
            running[pool.submit(subprocess.run, command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)] = name
        session.log(f"pytest {', '.join(suites)}: what each says comes when it ends, in minutes")
        try:
            for ended in as_completed(running):
                session.log(f"pytest {running[ended]}:")
                print(ended.result().stdout.decode(errors="replace"), flush=True)
                codes[running[ended]] = ended.result().returncode
        except KeyboardInterrupt:  # those at work got the signal too
            pool.shutdown(cancel_futures=True)
            raise
    # arguments may choose no test of some suite, but of all of them they are mistyped
    fine = (0, NO_TESTS) if session.posargs and set(codes.values()) != {NO_TESTS} else (0,)
    failed = [name for name, code in codes.items() if code not in fine]
    if failed:
        session.error(f"Tests failed {', '.join(failed)}.")


@nox.session(reuse_venv=True)
def lint(session: nox.Session) -> None:
    """Style and common mistakes, by ruff; of the CI workflows, by zizmor and GitHub's schema."""
    install(session, "requirements-dev.txt")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("zizmor", "--quiet", "--offline", "--persona=auditor", "--strict-collection", str(WORKFLOWS))
    workflows = sorted(map(str, WORKFLOWS.glob("*.yml")))
    session.run("check-jsonschema", "--quiet", "--builtin-schema", "vendor.github-workflows", *workflows)


@nox.session(reuse_venv=True)
def types(session: nox.Session) -> None:
    """Types, by mypy."""
    install(session, "requirements-dev.txt")
    session.run("mypy")
