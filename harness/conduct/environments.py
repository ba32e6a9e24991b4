"""The pins' environments: how one is built from its lock and checked, and where its interpreter is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from harness.conduct.planning import lock_of, read_pin
from harness.conduct.process import environment_for
from harness.core.errors import UsageError
from harness.core.files import ROOT, to_json, write_atomically
from harness.core.matrix import MatrixFile
from harness.core.names import TWIN_ENDING
from harness.core.spec import AMBIENT, Pin

FOLDER = ROOT / ".nox"
BUILT = FOLDER / "built"
"""One file for each environment that is complete: its interpreter, and what it was built from."""

NEEDED = ("torch", "numpy", "PIL", "msgspec", "psutil", "pynvml", "yaml", "packaging", "faster_coco_eval")
"""Modules that the harness imports in a cell. A lock has them all; an ambient interpreter may not."""


class Source(msgspec.Struct):
    """What an environment has to be built from to be used again: the digest of its lock, and the version of Python."""

    lock: str | None
    python: str | None = None


class Built(msgspec.Struct):
    """What is kept of an environment that is complete."""

    interpreter: str
    source: Source


def build(environment: str, matrix: MatrixFile) -> Path:
    """Build an environment from its pin's lock, or keep it while lock and Python version are unchanged, and check it:
    its interpreter. `UsageError` where there is no such pin, lock or Python, or where it is not what the lock says."""
    pin = read_pin(environment.removesuffix(TWIN_ENDING), matrix)
    if pin.lock is None:
        raise UsageError(f"The pin {pin.name} is an interpreter that is there already: nothing is built for it.")
    marker, source = BUILT / f"{environment}.json", Source(pin.lock, pin.python)
    interpreter = own_interpreter(marker, source)
    if interpreter is None:
        marker.unlink(missing_ok=True)
        interpreter = install(environment, pin)
    lock = lock_of(pin.name).relative_to(ROOT)
    if call([str(interpreter), "-m", "harness.cell.preflight", str(lock)], environment_for(None)):
        marker.unlink(missing_ok=True)  # what differs from its lock is built anew next time
        raise UsageError(f"The environment {environment} is not as {lock} says: it is built anew the next time.")
    write_atomically(marker, to_json(Built(str(interpreter), source)))
    return interpreter


def own_interpreter(marker: Path, source: Source) -> Path | None:
    """The interpreter of an environment that was built here from that source, or None."""
    built = read_marker(marker)
    if built is None or built.source != source:
        return None
    path = Path(built.interpreter)
    return path if path.is_relative_to(FOLDER) and path.exists() else None


def install(environment: str, pin: Pin) -> Path:
    """Make an environment that holds exactly what the lock says: its interpreter."""
    folder = FOLDER / re.sub(r"[^\w]+", "-", f"pin-{environment}")
    variables = variables_for_uv(os.environ)
    uv = [sys.executable, "-m", "uv"]
    if call([*uv, "venv", "--no-project", "--clear", "--python", str(pin.python), str(folder)], variables):
        raise UsageError(f"The environment {environment} cannot be made: {how_to_get(pin.python)}.")
    interpreter = folder / "bin" / "python"
    lock = lock_of(pin.name)
    # compiled now: a process of a run writes no bytecode, and would compile all of torch at each of its many starts
    sync = ["pip", "sync", "--compile-bytecode", "--require-hashes", "--python", str(interpreter), str(lock)]
    if call([*uv, *sync], variables):
        raise UsageError(f"The environment {environment} cannot be made from {lock.relative_to(ROOT)}: uv says why.")
    return interpreter


def call(command: Sequence[str], variables: Mapping[str, str]) -> int:
    """Run a program in the project's folder and let it say what it has to: its exit code."""
    return subprocess.run(command, cwd=ROOT, env=variables, check=False).returncode


def variables_for_uv(environ: Mapping[str, str]) -> dict[str, str]:
    """The user's variables, by which uv finds a Python and an index, without those of the environment we run in."""
    kept = {name: value for name, value in environ.items() if name not in ("VIRTUAL_ENV", "UV_PYTHON")}
    return {**kept, "PATH": os.pathsep.join(without_shims(environ.get("PATH", "").split(os.pathsep)))}


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


def find_interpreters(pins: Sequence[Pin], ambient: Path) -> dict[str, Path | None]:
    """The interpreters by the names of the pins; `UsageError` where there is none, or where the ambient one lacks what
    the harness imports."""
    found = {pin.name: interpreter_of(pin, ambient) for pin in pins}
    if AMBIENT in found:
        require_ambient(ambient)
    if not any(found.values()):
        raise UsageError(why_not_built(pins[0]))
    return found


def interpreter_of(pin: Pin, ambient: Path) -> Path | None:
    """The interpreter of the pin's environment, or None where it was not built from the lock as it is now."""
    if pin.environment == AMBIENT:
        return ambient
    built = read_marker(BUILT / f"{pin.environment}.json")
    if built is None or built.source.lock != pin.lock:
        return None
    path = Path(built.interpreter)
    return path if path.exists() else None


def require_ambient(interpreter: Path) -> None:
    """`UsageError` where the ambient interpreter lacks a module that the harness imports."""
    look = "import importlib.util, sys; print(*[n for n in sys.argv[1:] if not importlib.util.find_spec(n)])"
    found = subprocess.run([str(interpreter), "-c", look, *NEEDED], capture_output=True, text=True, check=False)
    if found.returncode or found.stdout.strip():
        missing = found.stdout.strip() or found.stderr.strip().splitlines()[-1]
        raise UsageError(
            f"The pin `ambient` is {interpreter}, which lacks {missing}: install it there, "
            "or run nox with the interpreter that has your torch."
        )


def why_not_built(pin: Pin) -> str:
    """The sentence for a pin whose environment is not there."""
    return (
        f"The environment of pin {pin.name} was not built: `nox -s pin-{pin.environment}` shows why; "
        f"{how_to_get(pin.python)}."
    )


def how_to_get(python: str | None) -> str:
    """What to do where a version of Python is missing, as the end of a sentence."""
    return (
        f"if it is Python {python} that is missing, get it with `uv python install {python}`, pyenv or your system's "
        "packages"
    )
