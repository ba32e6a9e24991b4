"""The releases of torch that the package index has, and pins of those that matrix.toml does not name."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec
from msgspec.structs import replace

from harness.conduct.locks import PYTHONS, make_lock, resolving, title_of
from harness.core.errors import UsageError
from harness.core.files import digest_of, read_text, to_json, write_atomically
from harness.core.locks import KEPT, lock_of
from harness.core.matrix import MatrixFile, PinEntry, is_early, version_of

NOTHING_FITS = "No solution found"
"""What uv says where an index has no such version, and not where it cannot be reached."""


class KeptPin(msgspec.Struct, frozen=True):
    """A pin that a bisect made. `beside`: the digest of what matrix.toml had installed beside torch."""

    entry: PinEntry
    beside: str


def release_of(version: str) -> tuple[int, ...]:
    """The numbers of a release; `UsageError` for what is none, such as a nightly or a build."""
    match = version_of(version)
    if is_early(version) or match["build"]:
        raise UsageError(f"{version} is no release: give one such as 1.13.1.")
    return tuple(int(match[part]) for part in ("major", "minor", "patch"))


def releases_between(first: str, last: str) -> list[str]:
    """The releases from one to another, both included, that the index has wheels of for this machine, in order.
    `UsageError` where it cannot be asked, where the two are not in this order, or where it does not have one of them.

    uv tells the newest that meets a requirement. So it is asked again and again for the one before, for each Python
    until a release is known already.
    """
    if release_of(first) >= release_of(last):
        raise UsageError(f"--from {first} --to {last}: name the older release first, and two that differ.")
    found: dict[str, tuple[int, ...]] = {}
    for python in PYTHONS:
        newest = newest_release(f"torch<={last}", python)
        while newest and newest not in found and release_of(newest) >= release_of(first):
            found[newest] = release_of(newest)
            newest = newest_release(f"torch<{newest}", python)
    for option, version in (("--from", first), ("--to", last)):
        if version not in found:
            have = (
                f"between the two it has {', '.join(sorted(found, key=found.__getitem__))}" if found else "nor others"
            )
            raise UsageError(f"{option} {version}: the index has no such release of torch for this machine; {have}.")
    return sorted(found, key=found.__getitem__)


def newest_release(requirement: str, python: str) -> str | None:
    """The newest version that meets a requirement and has a wheel for this version of Python here; None where there is
    none. `UsageError` where the index cannot be asked."""
    with tempfile.TemporaryDirectory() as scratch:
        wanted = Path(scratch) / "wanted.in"
        wanted.write_text(f"{requirement}\n", encoding="utf-8")
        command = [sys.executable, "-m", "uv", "pip", "compile", str(wanted), "--quiet", "--no-deps", "--no-header"]
        command += ["--no-annotate", "--only-binary", "torch", "--python-version", python]
        result = subprocess.run(command, capture_output=True, text=True, cwd=scratch, env=resolving(), check=False)
    if result.returncode == 0:
        return result.stdout.strip().partition("==")[2].split()[0].partition("+")[0]
    if NOTHING_FITS in result.stderr:
        return None
    raise UsageError(f"The index cannot be asked for the releases of torch. uv said: {' '.join(result.stderr.split())}")


def beside(matrix: MatrixFile) -> str:
    """The digest of what is installed beside torch."""
    return digest_of(matrix.requirements)


def with_kept(matrix: MatrixFile) -> MatrixFile:
    """What matrix.toml says, with the pins that bisects made and it does not have."""
    kept = {}
    for path in sorted(KEPT.glob("*.json")):
        pin = msgspec.json.decode(read_text(path, "the pin").encode(), type=KeptPin)
        if pin.beside == beside(matrix) and path.with_suffix(".txt").exists():
            kept[path.stem] = pin.entry
    return replace(matrix, pins={**kept, **matrix.pins})


def keep_pin(name: str, matrix: MatrixFile) -> None:
    """Make the lock of a release, unless there is one, and keep it beside the project's own. `UsageError` with uv's
    reason where nothing resolves."""
    if name in with_kept(matrix).pins and lock_of(name).exists():
        return
    entry, text = make_lock(name, matrix)
    write_atomically(KEPT / f"{name}.txt", f"# {title_of(name, entry)}. Made by nox -s bisect.\n{text}".encode())
    write_atomically(KEPT / f"{name}.json", to_json(KeptPin(entry, beside(matrix))))
