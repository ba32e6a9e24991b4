"""The environments of pins and helpers: how one is built from its lock and checked, and where its interpreter is."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from harness.conduct.alone import Say
from harness.conduct.holding import Holder, take, who_holds
from harness.conduct.planning import read_helper, read_pin
from harness.conduct.process import environment_for
from harness.core.errors import UsageError
from harness.core.files import ROOT, to_json, write_atomically
from harness.core.locks import lock_of
from harness.core.matrix import MatrixFile
from harness.core.names import TWIN_ENDING
from harness.core.spec import AMBIENT, Helper, Locked, Pin

FOLDER = ROOT / ".nox"
BUILT = FOLDER / "built"
"""One file for each environment that is complete: its interpreter, and what it was built from."""

NEEDED = ("torch", "numpy", "PIL", "msgspec", "psutil", "pynvml", "yaml", "packaging", "faster_coco_eval")
"""Modules that the harness imports in a cell. A lock has them all; an ambient interpreter may not."""

COMPILING = "600"
"""Seconds in which uv has to compile a file; its own 60 do not do where two processors are shared with others."""


class Source(msgspec.Struct):
    """What an environment has to be built from to be used again: the digest of its lock, and the version of Python."""

    lock: str | None
    python: str | None = None


class Built(msgspec.Struct):
    """What is kept of an environment that is complete."""

    interpreter: str
    source: Source


def build(environment: str, matrix: MatrixFile, say: Say) -> Path:
    """Build an environment from its lock, or keep it while lock and Python version are unchanged, and check it:
    its interpreter. Where another process builds or uses it, that is waited for, and `say` is told. `UsageError` where
    there is no such pin or helper, lock or Python, or where it is not what the lock says."""
    wanted = locked(environment, matrix)
    if wanted.lock is None:
        raise UsageError(f"The pin {wanted.name} is an interpreter that is there already: nothing is built for it.")
    marker, source = BUILT / f"{environment}.json", Source(wanted.lock, wanted.python)
    with held(environment, "", say, shared=True):
        interpreter = own_interpreter(marker, source)
        if interpreter:
            check(environment, wanted, interpreter, marker)
            return interpreter
    with held(environment, "building it", say):
        interpreter = own_interpreter(marker, source)  # somebody else may have built it meanwhile
        if interpreter is None:
            marker.unlink(missing_ok=True)
            interpreter = install(environment, wanted)
        check(environment, wanted, interpreter, marker)
        write_atomically(marker, to_json(Built(str(interpreter), source)))
    return interpreter


def locked(environment: str, matrix: MatrixFile) -> Locked:
    """The helper of that name, or the pin that has an environment of that name; `UsageError` where there is none."""
    if environment in matrix.environments:
        return read_helper(environment, matrix)
    pin, _, model = environment.removesuffix(TWIN_ENDING).partition("-")  # no version has a hyphen
    return read_pin(pin, matrix, model)


def session_of(one: Locked) -> str:
    """The session that builds its environment."""
    return f"{'helper' if isinstance(one, Helper) else 'pin'}-{one.environment}"


def check(environment: str, wanted: Locked, interpreter: Path, marker: Path) -> None:
    """Hold an environment against its lock, as a run does. `UsageError` where it differs; it is then built anew the
    next time."""
    lock = lock_of(wanted.locked).relative_to(ROOT)
    program = "harness.cell.label" if isinstance(wanted, Helper) else "harness.cell.preflight"
    if call([str(interpreter), "-m", program, str(lock)], environment_for(None)):
        marker.unlink(missing_ok=True)
        raise UsageError(f"The environment {environment} is not as {lock} says: it is built anew the next time.")


@contextlib.contextmanager
def held(environment: str, what: str, say: Say, *, shared: bool = False) -> Iterator[None]:
    """Hold an environment of this checkout: alone to build it, shared with others who use it as it is. `what` is said
    to those who wait."""
    path = FOLDER / "held" / f"{environment}.lock"

    def wait(holder: Holder | None) -> None:
        say(f"Waiting for the environment {environment}: {who_holds(path, holder)}, has it (Ctrl-C ends the waiting).")

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        hold = take(path, what, shared=shared, wait=wait)
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror}): make room for it.") from None
    with hold:
        yield


@contextlib.contextmanager
def in_use(those: Sequence[Locked], what: str, say: Say) -> Iterator[None]:
    """Hold the environments of pins and helpers, so that nobody builds them anew meanwhile."""
    with contextlib.ExitStack() as stack:
        for environment in sorted({one.environment for one in those if one.lock}):
            stack.enter_context(held(environment, what, say, shared=True))
        yield


def own_interpreter(marker: Path, source: Source) -> Path | None:
    """The interpreter of an environment that was built here from that source, or None."""
    built = read_marker(marker)
    if built is None or built.source != source:
        return None
    path = Path(built.interpreter)
    return path if path.is_relative_to(FOLDER) and path.exists() else None


def install(environment: str, wanted: Locked) -> Path:
    """Make an environment that holds exactly what the lock says: its interpreter."""
    kind = "helper" if isinstance(wanted, Helper) else "pin"
    folder = FOLDER / re.sub(r"[^\w]+", "-", f"{kind}-{environment}")
    variables = variables_for_uv(os.environ)
    uv = [sys.executable, "-m", "uv"]
    if call([*uv, "venv", "--no-project", "--clear", "--python", str(wanted.python), str(folder)], variables):
        raise UsageError(f"The environment {environment} cannot be made: {how_to_get(wanted.python)}.")
    interpreter = folder / "bin" / "python"
    lock = lock_of(wanted.locked)
    # compiled now: a process of a run writes no bytecode, and would compile all of torch at each of its many starts
    sync = ["pip", "sync", "--compile-bytecode", "--require-hashes", "--python", str(interpreter), str(lock)]
    if call([*uv, *sync], variables):
        raise UsageError(f"The environment {environment} cannot be made from {lock.relative_to(ROOT)}: uv says why.")
    return interpreter


def call(command: Sequence[str], variables: Mapping[str, str]) -> int:
    """Run a program in the project's folder and let it say what it has to: its exit code."""
    return subprocess.run(command, cwd=ROOT, env=variables, check=False).returncode


def variables_for_uv(environ: Mapping[str, str]) -> dict[str, str]:
    """The user's variables, by which uv finds a Python and an index, without those of the environment we run in, and
    without what tells uv to install somewhere else. A busy machine has time to compile."""
    others = ("VIRTUAL_ENV", "UV_PYTHON", "UV_SYSTEM_PYTHON", "UV_BREAK_SYSTEM_PACKAGES")
    kept = {name: value for name, value in environ.items() if name not in others}
    path = os.pathsep.join(without_shims(environ.get("PATH", "").split(os.pathsep)))
    return {"UV_COMPILE_BYTECODE_TIMEOUT": COMPILING, **kept, "PATH": path}


def without_shims(path: Sequence[str]) -> list[str]:
    """The folders of a PATH, with what they stand for in place of the shims of pyenv, asdf or mise. A shim of a Python
    that is installed, but not chosen for this folder, does nothing but fail, and uv then looks no further."""
    folders: list[str] = []
    for folder in map(Path, path):
        if folder.name == "shims":
            folders += map(str, sorted(folder.parent.glob("versions/*/bin")))
            folders += map(str, sorted(folder.parent.glob("installs/python/*/bin")))
        else:
            folders.append(str(folder))
    return folders


def read_marker(marker: Path) -> Built | None:
    """What was kept of an environment, or None where it is not complete."""
    try:
        return msgspec.json.decode(marker.read_bytes(), type=Built)
    except (OSError, msgspec.DecodeError):
        return None


def find_interpreters(pins: Sequence[Pin], ambient: Path, helpers: Sequence[Helper] = ()) -> dict[str, Path | None]:
    """The interpreters by the names of the pins, then of the helpers; `UsageError` where no pin has one, or where the
    ambient one lacks what the harness imports."""
    found = {pin.name: interpreter_of(pin, ambient) for pin in pins}
    if AMBIENT in found:
        require_ambient(ambient)
    if not any(found.values()):
        raise UsageError(why_not_built(pins[0]))
    return {**found, **{helper.name: interpreter_of(helper, ambient) for helper in helpers}}


def interpreter_of(one: Locked, ambient: Path) -> Path | None:
    """The interpreter of an environment, or None where it was not built from the lock as it is now."""
    if one.environment == AMBIENT:
        return ambient
    built = read_marker(BUILT / f"{one.environment}.json")
    if built is None or built.source.lock != one.lock:
        return None
    path = Path(built.interpreter)
    return path if path.exists() else None


def require_ambient(interpreter: Path) -> None:
    """`UsageError` where the ambient interpreter lacks a module that the harness imports, looked for as a run would."""
    look = "import importlib.util, sys; print(*[n for n in sys.argv[1:] if not importlib.util.find_spec(n)])"
    command = [str(interpreter), "-c", look, *NEEDED]
    found = subprocess.run(command, cwd=ROOT, env=environment_for(None), capture_output=True, text=True, check=False)
    if found.returncode or found.stdout.strip():
        missing = found.stdout.strip() or (found.stderr.strip().splitlines() or ["all of it: it does not start"])[-1]
        raise UsageError(
            f"The pin `ambient` is {interpreter}, which lacks {missing}: install it there (what PYTHONPATH or a user's "
            "own site-packages add does not count), or run nox with the interpreter that has your torch."
        )


def why_not_built(one: Locked) -> str:
    """The sentence for a pin or helper whose environment is not there."""
    return (
        f"The environment of {'' if isinstance(one, Helper) else 'pin '}{one.name} was not built: "
        f"`nox -s {session_of(one)}` shows why; {how_to_get(one.python)}."
    )


def how_to_get(python: str | None) -> str:
    """What to do where a version of Python is missing, as the end of a sentence."""
    return (
        f"if it is Python {python} that is missing, get it with `uv python install {python}`, pyenv or your system's "
        "packages"
    )
