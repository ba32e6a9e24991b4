"""`python -m harness.conduct.locks PIN …`: makes the hash-locked file of each pin and adds the pin to matrix.toml.

What is installed beside torch is in matrix.toml. The index that serves a build such as 1.10.0+cu113 is whatever uv is
told by its usual variables; none of it ends in the lock.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import tomlkit

from harness.conduct.planning import LOCKS, MATRIX
from harness.core.errors import UsageError
from harness.core.files import ROOT, read_text, write_atomically
from harness.core.matrix import MatrixFile, PinEntry, read_matrix

PYTHONS = ("3.9", "3.10", "3.11", "3.12", "3.13")
"""Tried in this order for a pin that matrix.toml does not have: the oldest that it has wheels for."""

VERSION = re.compile(r"(?P<major>\d+)\.(?P<minor>\d+)\.(?P<patch>\d+)(?P<build>\+[a-z0-9.]+)?")


def paired_torchvision(torch: str) -> list[str]:
    """Versions of torchvision that may belong to a torch, to be tried in order.

    torch 1.x goes with torchvision 0.(x + 1), torch 2.x with 0.(x + 15). The patch numbers mostly agree but not
    always (1.10.0 goes with 0.11.1); what torchvision requires of torch rules out the wrong ones.
    """
    match = VERSION.fullmatch(torch)
    if not match:
        raise UsageError(f"{torch!r} is not a torch version: give one like 1.13.1, or 1.10.0+cu113 for a build.")
    minor = int(match["minor"]) + {"1": 1, "2": 15}.get(match["major"], 0)
    patches = sorted(range(5), key=lambda patch: patch != int(match["patch"]))
    return [f"0.{minor}.{patch}{match['build'] or ''}" for patch in patches]


def resolve(requirements: Sequence[str], python: str, previous: Path) -> tuple[str | None, str]:
    """The resolved, hashed requirements or None, and what uv said. Versions of a previous lock are kept if they do."""
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
        result = subprocess.run(
            [*command, "--output-file", str(output)], capture_output=True, text=True, cwd=scratch, check=False
        )
        return (output.read_text(encoding="utf-8") if result.returncode == 0 else None), result.stderr.strip()


def make_lock(name: str, matrix: MatrixFile) -> tuple[PinEntry, str]:
    """The pin's entry and the text of its lock. `UsageError` with uv's reason where nothing resolves."""
    entry = matrix.pins.get(name)
    candidates = [entry.torchvision] if entry else paired_torchvision(name)
    extra = entry.requirements if entry else setuptools_for(name)
    reasons = []
    for python in [entry.python] if entry else PYTHONS:
        for torchvision in candidates:
            # === and not ==, which another build of the same version would satisfy
            exact = [f"torch==={name}", f"torchvision==={torchvision}"]
            text, reason = resolve([*exact, *matrix.requirements, *extra], python, LOCKS / f"{name}.txt")
            if text:
                return PinEntry(torchvision=torchvision, python=python, requirements=list(extra)), text
            reasons.append(f"Python {python}, torchvision {torchvision}: {' '.join(reason.split())}")
    hint = " Has uv been told the index that serves this build (UV_EXTRA_INDEX_URL)?" if "+" in name else ""
    raise UsageError(f"No lock for torch {name} could be made.{hint} uv said: {reasons[-1][:800]}")


def setuptools_for(torch: str) -> list[str]:
    """torch before 1.12 imports pkg_resources, which setuptools 70 began to take out."""
    match = VERSION.fullmatch(torch)
    return ["setuptools<70"] if match and match["major"] == "1" and int(match["minor"]) < 12 else []


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


def main(arguments: Sequence[str]) -> int:
    """Exit code 0 when every lock was made, 2 with one sentence otherwise."""
    parser = argparse.ArgumentParser(prog="nox -s lock --", description="Make the hash-locked file of pins.")
    parser.add_argument("pins", nargs="+", metavar="PIN", help="a torch version, with its build if it has one")
    os.environ.setdefault("UV_PYTHON_DOWNLOADS", "never")  # resolving needs no interpreter of the pin's own
    try:
        for name in parser.parse_args(arguments).pins:
            matrix = read_matrix(MATRIX)
            entry, text = make_lock(name, matrix)
            title = f"# Pin {name}: torch {name}, torchvision {entry.torchvision}, Python {entry.python}. "
            write_atomically(LOCKS / f"{name}.txt", f"{title}Made by nox -s lock -- {name}.\n{text}".encode())
            if name not in matrix.pins:
                add_pin(name, entry)
            print(f"locked {name}: torchvision {entry.torchvision}, Python {entry.python}, "
                  f"in {(LOCKS / name).relative_to(ROOT)}.txt")  # fmt: skip
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
