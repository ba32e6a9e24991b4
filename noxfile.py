"""The sessions: every command that a person or CI runs is one of these. `nox -l` lists them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import nox

if sys.version_info < (3, 11):
    sys.exit(
        f"torch-matrix needs Python 3.11 or newer outside the pins, and this nox runs on {sys.version.split()[0]}: "
        "install nox with a newer Python, for example `python3.11 -m venv .venv`."
    )

import tomllib

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv"
nox.options.sessions = ["lint", "types", "tests"]

LOCKS = Path("cases/locks")
WORKFLOWS = Path(".github/workflows")
NO_TESTS = 5
"""pytest's exit code where the arguments choose no test of a suite."""
BUILT = Path(".nox/built")
"""One file per pin whose environment is complete: its interpreter, and what it was built from."""


def pins_of_matrix_file() -> dict[str, str]:
    """Pin name to Python version. A file that is broken is explained by the program that reads it strictly."""
    try:
        pins = tomllib.loads(Path("cases/matrix.toml").read_text(encoding="utf-8"))["pins"]
        return {name: str(pin["python"]) for name, pin in pins.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


PINS = pins_of_matrix_file()
TESTED_PINS = [f"pin-{name}" for name in PINS if name in ("1.10.0", "1.12.1", "1.13.1")]


TWIN = "-twin"
"""Ends the name of a pin's second environment, in which the baseline runs once more as the control A/A."""


def source_of(environment: str) -> dict[str, str]:
    """What an environment must have been built from to be used again: the lock's content and the Python version."""
    pin = environment.removesuffix(TWIN)
    lock = LOCKS / f"{pin}.txt"
    return {"lock": hashlib.sha256(lock.read_bytes()).hexdigest() if lock.exists() else "", "python": PINS[pin]}


def is_built(environment: str) -> bool:
    """Whether the environment was completed from the lock as it is now."""
    try:
        built = json.loads((BUILT / f"{environment}.json").read_text(encoding="utf-8"))
        return built["source"] == source_of(environment) and Path(built["interpreter"]).exists()
    except (OSError, ValueError, KeyError, TypeError):
        return False


def install(session: nox.Session, requirements: str) -> None:
    """Make the session's environment hold exactly what the hash-locked file says."""
    session.run_install("uv", "pip", "sync", "--require-hashes", requirements)


def call(session: nox.Session, *arguments: str) -> None:
    """Run a program of ours; end nox with its exit code when that is not 0 (nox by itself knows only 0 and 1)."""
    python = shutil.which("python", path=session.bin)
    process = subprocess.Popen([str(python), *arguments], env={**os.environ, "TORCH_MATRIX_AMBIENT": sys.executable})
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


def queue(session: nox.Session, after: str, *arguments: str) -> None:
    """Make the plan that the arguments ask for, then queue the sessions of its environments and the one `after`."""
    install(session, "requirements.txt")
    handoff = Path(session.create_tmp()) / "plan.json"
    handoff.unlink(missing_ok=True)
    call(session, "-m", "harness.conduct", "plan", "--handoff", str(handoff), *arguments, *session.posargs)
    if handoff.exists():  # --help plans nothing
        planned = json.loads(handoff.read_text(encoding="utf-8"))
        for environment in planned["environments"]:
            session.notify(f"pin-{environment}", [])
        session.notify(after, planned["results"] + planned["report"])


@nox.session(default=False, reuse_venv=True)
def matrix(session: nox.Session) -> None:
    """Build the pins' environments, run the same harness in each, print the cross-version table. `-- --help` says how.

    Which pins are needed follows from the arguments and the GPU found, which nox's `requires` cannot know, and a
    prerequisite that fails would stop the others; so the plan is made first and the sessions it needs are queued.
    """
    queue(session, "measure")


def pin_session(environment: str, python: str) -> None:
    """Declare the session that builds and checks one environment of a pin."""
    pin = environment.removesuffix(TWIN)

    @nox.session(name=f"pin-{environment}", python=python, default=False, reuse_venv=is_built(environment))
    def build(session: nox.Session) -> None:
        lock = LOCKS / f"{pin}.txt"
        if not lock.exists():
            session.error(f"pin {pin} has no lock: make it with nox -s lock -- {pin}")
        marker = BUILT / f"{environment}.json"
        interpreter = str(Path(session.bin, "python").absolute())
        if not is_built(environment) or json.loads(marker.read_text(encoding="utf-8"))["interpreter"] != interpreter:
            marker.unlink(missing_ok=True)
            install(session, str(lock))
        try:
            session.run("python", "-m", "harness.cell.preflight", str(lock))
        except nox.command.CommandFailed:
            marker.unlink(missing_ok=True)  # what differs from its lock is built anew next time
            raise
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.write_text(json.dumps({"interpreter": interpreter, "source": source_of(environment)}), encoding="utf-8")

    which = "second environment" if environment.endswith(TWIN) else "environment"
    build.__doc__ = f"Build the {which} of pin {pin} from its lock and check it."


for _name, _python in PINS.items():
    pin_session(_name, _python)
    pin_session(_name + TWIN, _python)


@nox.session(default=False, reuse_venv=True)
def measure(session: nox.Session) -> None:
    """Queued by `matrix`: do the planned runs of a results folder, then report."""
    install(session, "requirements.txt")
    call(session, "-m", "harness.conduct", "run", session.posargs[0])
    call(session, "-m", "reports", *session.posargs)


@nox.session(default=False, reuse_venv=True)
def calibrate(session: nox.Session) -> None:
    """Prove the instrument on this machine: copies of the baseline with a planted fault each, and a clean one."""
    queue(session, "prove", "--proofs", "pace", "health", "labels", "soak")


@nox.session(default=False, reuse_venv=True)
def prove(session: nox.Session) -> None:
    """Queued by `calibrate`: run its matrices, then say which faults were found."""
    install(session, "requirements.txt")
    for results in session.posargs:
        call(session, "-m", "harness.conduct", "run", results)
    call(session, "-m", "reports.proofs.calibration", *session.posargs)


@nox.session(default=False, reuse_venv=True)
def bench(session: nox.Session) -> None:
    """What the instruments cost: training steps with and without them, in turns, and the ratio."""
    queue(session, "weigh", "--proofs", "instruments")


@nox.session(default=False, reuse_venv=True)
def weigh(session: nox.Session) -> None:
    """Queued by `bench`: take the turns, then print the ratio."""
    install(session, "requirements.txt")
    call(session, "-m", "harness.conduct", "run", *session.posargs)
    call(session, "-m", "reports.proofs.cost", *session.posargs)


@nox.session(default=False, reuse_venv=True)
def plan(session: nox.Session) -> None:
    """Say what `nox -s matrix` would do with the same arguments, and do nothing."""
    install(session, "requirements.txt")
    call(session, "-m", "harness.conduct", "plan", *session.posargs)


@nox.session(default=False, reuse_venv=True)
def report(session: nox.Session) -> None:
    """Make the table of a results folder again: `nox -s report -- results/quick`."""
    install(session, "requirements.txt")
    call(session, "-m", "reports", *(session.posargs or ["results/quick"]))


@nox.session(default=False, reuse_venv=True)
def lock(session: nox.Session) -> None:
    """Make the hash-locked file of a pin, `-- 1.11.0`; without arguments, of this project's own tools."""
    install(session, "requirements.txt")
    if session.posargs:
        call(session, "-m", "harness.conduct.locks", *session.posargs)
        return
    compile_ = ["uv", "pip", "compile", "pyproject.toml", "--quiet", "--universal", "--generate-hashes", "--no-header"]
    compile_ += ["--python-version", "3.11", "--output-file"]
    session.run_install(*compile_, "requirements.txt")
    session.run_install(*compile_, "requirements-dev.txt", "--group", "dev")


@nox.session(requires=TESTED_PINS, reuse_venv=True)
def tests(session: nox.Session) -> None:
    """The tests: outside the pins, and the harness inside each pin's environment. Arguments go to pytest."""
    install(session, "requirements-dev.txt")
    suites = {"outside the pins": [str(shutil.which("python", path=session.bin)), "--ignore", "tests/cell"]}
    for name in TESTED_PINS:
        built = json.loads((BUILT / f"{name.removeprefix('pin-')}.json").read_text(encoding="utf-8"))
        suites[f"in {name}"] = [built["interpreter"], "tests/cell"]
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
