"""`python -m harness.conduct.locks NAME …`: makes the hash-locked file of each pin and adds the pin to matrix.toml; or
that of an environment that matrix.toml has.

What is installed beside torch is in matrix.toml. The index that serves a build such as 1.10.0+cu113 is whatever uv is
told by its usual variables; none of it ends in the lock.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import tomlkit

from harness.conduct.arguments import Parser
from harness.conduct.planning import MATRIX, model_entry
from harness.core.errors import UsageError
from harness.core.files import ROOT, read_text, spelt_out, write_atomically
from harness.core.locks import LOCKS, lock_of
from harness.core.matrix import EnvironmentEntry, MatrixFile, PinEntry, is_early, read_matrix, version_of
from harness.core.names import locked_name

PYTHONS = ("3.9", "3.10", "3.11", "3.12", "3.13")
"""Tried in this order for a pin that matrix.toml does not have: the oldest that it has wheels for."""


def torchvisions(torch: str) -> list[str]:
    """Requirements on the torchvision that may belong to a torch, to be tried in order.

    torch 1.x goes with torchvision 0.(x + 1), torch 2.x with 0.(x + 15). The patch numbers mostly agree but not always
    (1.10.0 goes with 0.11.1), and what comes before a release has a number or date of its own, at times of the minor
    version before; what torchvision requires of torch rules out the wrong ones. `UsageError` for what is no version.
    """
    match = version_of(torch)
    minor = int(match["minor"]) + {"1": 1, "2": 15}.get(match["major"], 0)
    if is_early(torch):
        return [f"torchvision>=0.{each}.0.dev0,<0.{each + 1}.0.dev0" for each in (minor, minor - 1)]
    patches = sorted(range(5), key=lambda patch: patch != int(match["patch"]))
    return [exactly("torchvision", f"0.{minor}.{patch}{match['build'] or ''}") for patch in patches]


def exactly(package: str, version: str) -> str:
    """The requirement of this version alone: === and not ==, which another build of the same version would satisfy."""
    return f"{package}==={version}"


def resolve(requirements: Sequence[str], python: str, previous: Path, *, early: bool) -> tuple[str | None, str]:
    """The resolved, hashed requirements or None, and what uv said. Versions of a previous lock are kept if they do.
    `early`: whether release candidates and the like will do, of what torch requires too."""
    with tempfile.TemporaryDirectory() as scratch:
        wanted, output = Path(scratch) / "wanted.in", Path(scratch) / "lock.txt"
        wanted.write_text("\n".join(requirements) + "\n", encoding="utf-8")
        if previous.exists():
            output.write_text(previous.read_text(encoding="utf-8"), encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "uv",
            "pip",
            "compile",
            str(wanted),
            "--quiet",
            "--generate-hashes",
            "--no-header",
            "--no-annotate",
        ]
        command += ["--no-emit-index-url", "--no-emit-find-links", "--python-version", python]
        command += ["--prerelease", "allow"] if early else []
        command += ["--output-file", str(output)]
        result = subprocess.run(command, capture_output=True, text=True, cwd=scratch, env=resolving(), check=False)
        return (output.read_text(encoding="utf-8") if result.returncode == 0 else None), result.stderr.strip()


def resolving() -> dict[str, str]:
    """The variables for uv where it resolves, which needs no interpreter of the pin's own."""
    return {"UV_PYTHON_DOWNLOADS": "never", **os.environ}


def make_lock(name: str, matrix: MatrixFile, model: str = "") -> tuple[PinEntry, str]:
    """The pin's entry and the text of its lock, with what a model requires. `UsageError` with uv's reason where nothing
    resolves."""
    entry = matrix.pins.get(name)
    candidates = [exactly("torchvision", entry.torchvision)] if entry else torchvisions(name)
    extra = entry.requirements if entry else setuptools_for(name)
    own = model_entry(matrix, model).requirements if model else []
    reasons = []
    for python in [entry.python] if entry else PYTHONS:
        for torchvision in candidates:
            beside = [*matrix.requirements, *extra, *own]
            text, reason = resolve_pair(name, torchvision, beside, python, previous_lock(name, model))
            if text:
                return PinEntry(torchvision=torchvision_in(text), python=python, requirements=list(extra)), text
            reasons.append(f"Python {python}, {torchvision}: {' '.join(reason.split())}")
    with_it = f" with what the model {model} requires" if model else ""
    raise UsageError(f"No lock for torch {name}{with_it} could be made.{hint(name)} uv said: {reasons[-1][:800]}")


def previous_lock(name: str, model: str) -> Path:
    """The lock whose versions are kept if they do: of the pin with the model, else of the pin, so that what a model
    adds changes nothing else."""
    own = lock_of(locked_name(name, model))
    return own if own.exists() else lock_of(name)


def make_helper_lock(name: str, entry: EnvironmentEntry) -> str:
    """The text of the lock of an environment that is no pin's. `UsageError` with uv's reason where nothing resolves."""
    text, reason = resolve(entry.requirements, entry.python, lock_of(name), early=False)
    if text is None:
        raise UsageError(f"No lock for the environment {name} could be made. uv said: {' '.join(reason.split())[:800]}")
    return text


def resolve_pair(
    torch: str, torchvision: str, beside: Sequence[str], python: str, previous: Path
) -> tuple[str | None, str]:
    """`resolve` of a torch and its torchvision, which is of the same build."""
    build = version_of(torch)["build"] or ""
    early, exact = is_early(torch), exactly("torch", torch)
    text, reason = resolve([exact, torchvision, *beside], python, previous, early=early)
    if text and build and not torchvision_in(text).endswith(build):
        same = exactly("torchvision", torchvision_in(text).partition("+")[0] + build)
        text, reason = resolve([exact, same, *beside], python, previous, early=early)
    return text, reason


def torchvision_in(lock: str) -> str:
    """The version of torchvision that the text of a lock has."""
    return next(line.split()[0] for line in lock.splitlines() if line.startswith("torchvision==")).partition("==")[2]


def hint(torch: str) -> str:
    """What may be done where an index does not have a version."""
    if is_early(torch):
        return (
            " What comes before a release is on an index of its own, and nightlies stay there for some weeks: has uv "
            "been told that index (UV_EXTRA_INDEX_URL, see README), and does it have this version?"
        )
    build = version_of(torch)["build"]
    return " Has uv been told the index that serves this build (UV_EXTRA_INDEX_URL)?" if build else ""


def setuptools_for(torch: str) -> list[str]:
    """torch before 1.12 imports pkg_resources, which setuptools 70 began to take out."""
    match = version_of(torch)
    return ["setuptools<70"] if match["major"] == "1" and int(match["minor"]) < 12 else []


def add_pin(name: str, entry: PinEntry) -> None:
    """Add a pin to matrix.toml, leaving the rest of the file as it is."""
    document = tomlkit.parse(read_text(MATRIX, "the matrix file"))
    table = tomlkit.table()
    table["torchvision"] = entry.torchvision
    table["python"] = entry.python
    if entry.requirements:
        table["requirements"] = entry.requirements
    list(document["pins"].values())[-1].add(tomlkit.nl())
    document["pins"][name] = table
    write_atomically(MATRIX, tomlkit.dumps(document).encode())


def lock_pin(name: str, model: str = "") -> None:
    """Make the lock of a pin, with what a model requires if one is named, and name the pin in matrix.toml where it is
    not."""
    matrix = read_matrix(MATRIX)
    entry, text = make_lock(name, matrix, model)
    asked = f"{name} --model {model}" if model else name
    keep_lock(locked_name(name, model), title_of(name, entry, model), text, asked)
    if name not in matrix.pins:
        add_pin(name, entry)


def lock_helper(name: str, entry: EnvironmentEntry) -> None:
    """Make the lock of an environment that is no pin's."""
    keep_lock(name, f"Environment {name}: Python {entry.python}", make_helper_lock(name, entry))


def title_of(name: str, entry: PinEntry, model: str = "") -> str:
    """What a pin is, for the first line of its lock."""
    with_it = f", and what the model {model} requires" if model else ""
    return f"Pin {name}: torch {name}, torchvision {entry.torchvision}, Python {entry.python}{with_it}"


def keep_lock(name: str, title: str, text: str, asked: str = "") -> None:
    """Write a lock of the project's own, and say so. `asked`: by which arguments it is made, where not by its name."""
    path = LOCKS / f"{name}.txt"
    write_atomically(path, f"# {title}. Made by nox -s lock -- {asked or name}.\n{text}".encode())
    print(f"locked {title[0].lower()}{title[1:]}, in {path.relative_to(ROOT)}")


def names_to_lock(named: Sequence[str], model: str, matrix: MatrixFile) -> list[str]:
    """What is locked: what is named, or for a model every pin that has a lock; `UsageError` where that is nothing."""
    if model and not model_entry(matrix, model).requirements:
        raise UsageError(f"[models.{model}] of {MATRIX.relative_to(ROOT)} has no requirements: it needs no locks.")
    names = [*named] or [pin for pin in matrix.pins if model and lock_of(pin).exists()]
    if not names:
        raise UsageError("Nothing is named: give a torch version, the name of an environment, or --model NAME.")
    return names


def main(arguments: Sequence[str]) -> int:
    """Exit code 0 when every lock was made, 2 with one sentence otherwise, 130 when interrupted."""
    parser = Parser("nox -s lock --", "Make the hash-locked file of pins, or of other environments of matrix.toml.")
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="a torch version, with its build if it has one, or [environments.NAME] "
        "(default, with --model: every version that has a lock)",
    )
    parser.add_argument("--model", metavar="NAME", default="", help="with what [models.NAME] requires: locks beside "
        "those of the pins")  # fmt: skip
    try:
        asked = parser.read(arguments)
        matrix = read_matrix(MATRIX)
        helpers = {} if asked.model else matrix.environments
        names = names_to_lock(asked.names, asked.model, matrix)
        for name in names:  # before the first one is made, which takes a while
            if name not in helpers:
                version_of(name)
        for name in names:
            lock_helper(name, helpers[name]) if name in helpers else lock_pin(name, asked.model)
    except UsageError as error:
        print(f"error: {spelt_out(str(error))}", file=sys.stderr)
        return 2
    except OSError as error:  # such as no room for the files that uv is given
        print(f"error: {error.filename} cannot be used: {error.strerror}.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: locks that were made are kept.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
