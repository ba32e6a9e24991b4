"""Checkouts of other people's code that claims are about: which version, and in which lines a pattern is found."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import UsageError
from harness.core.files import digest_of_files

MOST_PLACES = 5
"""Lines that are kept of one pattern."""


@dataclass(frozen=True)
class Found:
    """What was looked for in a checkout. No text of it is kept, only places."""

    commit: str
    """Empty where the folder is no checkout of git."""
    digest: str
    """Of the names and contents of the files that were looked at; empty where there are none."""
    files: int
    places: tuple[str, ...]
    """`train.py:12` for the first lines in which the pattern is found, the file alone for a pattern that is empty."""


def checkout_of(variable: str) -> Path | None:
    """The folder that an environment variable names; None where it is not set. `UsageError` where there is no such
    folder."""
    named = os.environ.get(variable, "")
    if named and not Path(named).is_dir():
        raise UsageError(f"{variable} names {named}, which is no folder: name a checkout, or unset it.")
    return Path(named) if named else None


def look(checkout: Path, globs: Sequence[str], pattern: str) -> Found:
    """Look for a pattern (a regular expression, line by line) in the files that match any of these globs."""
    files = sorted({path for each in globs for path in checkout.glob(each) if path.is_file()})
    places = tuple(place for path in files for place in places_in(path, checkout, re.compile(pattern)))
    digest = digest_of_files(files, checkout)[:12] if files else ""
    return Found(commit_of(checkout), digest, len(files), places[:MOST_PLACES])


def places_in(path: Path, checkout: Path, pattern: re.Pattern[str]) -> Iterator[str]:
    """Where a file has the pattern."""
    name = path.relative_to(checkout).as_posix()
    if not pattern.pattern:
        yield name
        return
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if pattern.search(line):
            yield f"{name}:{number}"


def commit_of(checkout: Path) -> str:
    """The commit of a checkout that is the top of one, shortened; empty for any other folder, or without git."""
    command = ["git", "-C", str(checkout), "rev-parse", "--show-toplevel", "--short=12", "HEAD"]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    except OSError:
        return ""
    top, _, commit = ended.stdout.strip().partition("\n")
    return commit if ended.returncode == 0 and Path(top) == checkout.resolve() else ""
