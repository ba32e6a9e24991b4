"""The search for the release in which something changed, as `nox -s bisect` keeps it in a results folder.

The conductor begins it and measures; the reports read what was measured and say what to measure next. So it goes on
after a kill: what is known lies in records, and what follows from them is worked out anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Optional, TypeVar

import msgspec
from msgspec import Meta

from harness.core.errors import UsageError
from harness.core.files import read_text, to_json, write_atomically
from harness.core.settings import Count, Positive, Strict

SCHEMA = 1
SEARCH_FILE = "search.json"
SKIPPED_FILE = "skipped.json"
"""By release, why it cannot be run here: no wheel, or no environment."""
TWICE_FILE = "twice.json"
"""The folders within that of the search in which the runs that failed are done a second time."""

ENDS, EVERY, NEIGHBOURS = "ends", "every", "neighbours"
"""What the folders within that of a search are called: of its two ends, of all releases at once, and of the two
neighbours that it ends at. That of one release has its name."""

Kind = Literal["metric", "check", "fingerprint"]
"""What is searched by; a probe is a fingerprint."""

T = TypeVar("T")


class Search(Strict, frozen=True):
    """What is searched for, and where."""

    schema: int
    name: str
    """The folder in results/."""
    what: str
    """The metric's key, or the name of the check or fingerprint, as records have it."""
    kind: Kind
    case: str
    profile: str
    releases: Annotated[list[str], Meta(min_length=3)]
    """From the one end to the other, in order, as the index has them."""
    rounds: Positive
    """Of a metric: after so many a comparison is given up as open."""
    every: bool
    """Whether all releases are looked at, and not as few as possible."""
    device: str
    threads: Positive
    data: Optional[str] = None
    weights: Optional[str] = None


class Wanted(Strict, frozen=True):
    """What has to be measured next: these releases beside one another, the first as the baseline."""

    name: str
    """The folder within that of the search."""
    pins: Annotated[list[str], Meta(min_length=2)]
    rounds: Count
    """In all, with those that are there; 0: as many as the profile has."""
    again: bool = False
    """Whether it is there, and only what failed in it is done a second time."""


def keep_search(folder: Path, search: Search) -> None:
    """Keep what is searched for."""
    write_atomically(folder / SEARCH_FILE, to_json(search))


def read_search(folder: Path) -> Search:
    """What is searched for in a folder; `UsageError` where there is none, or it is of another schema."""
    path = folder / SEARCH_FILE
    if not path.exists():
        raise UsageError(f"{folder} holds no {SEARCH_FILE}: nox -s bisect begins a search.")
    search = read_file(path, Search)
    if search.schema != SCHEMA:
        raise UsageError(f"{path} is of schema {search.schema}, this version reads {SCHEMA}: remove {folder}.")
    return search


def read_file(path: Path, kind: type[T]) -> T:
    """One file of a search; `UsageError` where it cannot be used."""
    try:
        return msgspec.json.decode(read_text(path, "the search").encode(), type=kind)
    except msgspec.DecodeError as error:
        raise UsageError(f"{path} cannot be used ({error}): remove {path.parent} and search again.") from None


def read_skipped(folder: Path) -> dict[str, str]:
    """By release, why it was left out; empty where none was."""
    path = folder / SKIPPED_FILE
    return read_file(path, dict[str, str]) if path.exists() else {}


def keep_skipped(folder: Path, skipped: dict[str, str]) -> None:
    """Keep which releases are left out, and why."""
    write_atomically(folder / SKIPPED_FILE, to_json(skipped))


def read_twice(folder: Path) -> list[str]:
    """Where the runs that failed were done a second time, or are about to be; empty where nowhere."""
    path = folder / TWICE_FILE
    return read_file(path, list[str]) if path.exists() else []


def keep_twice(folder: Path, names: list[str]) -> None:
    """Keep where the runs that failed are done a second time."""
    write_atomically(folder / TWICE_FILE, to_json(names))
