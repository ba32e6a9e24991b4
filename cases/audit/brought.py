"""What the distributions of this environment bring: their shared libraries, and what they require of one another."""

from __future__ import annotations

import base64
import csv
import os
import re
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import NamedTuple, Optional

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from harness.core.files import ROOT

IS_LIBRARY = re.compile(r"\.so(\.[\w.]+)?$")
MANGLED = re.compile(r"[-.][0-9a-f]{8}(?=\.)")
"""The digest that auditwheel and its like put into the name of a library, so that no other is taken for it."""
ABI = re.compile(r"\.(cpython-\d+\w*(-[\w-]+)?|abi3)(?=\.so)")
"""What Python puts into the name of a module that it was compiled for."""


class Brought(NamedTuple):
    """A shared library that a distribution brings."""

    distribution: str
    """With its version."""
    name: str
    """Its path from the folder of the packages."""
    size: Optional[int]
    """Bytes, as the wheel has it; None where that does not say."""
    digest: str
    """The first digits of the sha256 that the wheel has of it."""

    @property
    def file(self) -> str:
        """The name of its file."""
        return self.name.rpartition("/")[2]


class Needs(NamedTuple):
    """What one distribution requires of another."""

    distribution: str
    version: str
    """Its own."""
    other: str
    """Canonical, as `distribution` is."""
    specifier: str
    """The versions that will do; `any` where all of them will."""
    installed: Optional[str]
    """None where it is missing."""
    met: bool


def plain(name: str) -> str:
    """The name of a library without what wheels and Python add to it."""
    return ABI.sub("", MANGLED.sub("", name, count=1))


def distributions() -> dict[str, metadata.Distribution]:
    """What is installed, by canonical name; the project's own folder is no part of it, and of two of a name it is the
    first, which is what is imported."""
    found: dict[str, metadata.Distribution] = {}
    for one in metadata.distributions(path=[folder for folder in sys.path if Path(folder).resolve() != ROOT]):
        if one.metadata["Name"]:
            found.setdefault(canonicalize_name(one.metadata["Name"]), one)
    return found


def related(wanted: str, installed: Mapping[str, metadata.Distribution]) -> set[str]:
    """Canonical names of one distribution, of all that it requires, and of what requires it."""
    requires = {
        name: {needs.other for needs in requirements_of(name, one, installed)} for name, one in installed.items()
    }
    found, new = set(), {wanted}
    while new:
        found |= new
        new = {other for name in new for other in requires.get(name, ())} - found
    return found | {name for name, others in requires.items() if wanted in others}


def brought(installed: Mapping[str, metadata.Distribution]) -> dict[str, Brought]:
    """The shared libraries of all distributions, by their real paths."""
    return {path: one for of_one in installed.values() for path, one in libraries_of(of_one)}


def libraries_of(distribution: metadata.Distribution) -> Iterator[tuple[str, Brought]]:
    """Those of one distribution, by its RECORD; none where it has no such file, as with conda's."""
    named = named_with_version(distribution)
    for name, digest, size in rows_of(distribution):
        if IS_LIBRARY.search(name):
            path = os.path.realpath(str(distribution.locate_file(name)))
            yield path, Brought(named, name, int(size) if size else None, hexadecimal(digest))


def named_with_version(distribution: metadata.Distribution) -> str:
    """A distribution as `Brought` has it."""
    return f"{distribution.metadata['Name']} {distribution.version}"


def rows_of(distribution: metadata.Distribution) -> Iterator[tuple[str, str, str]]:
    """Path, digest and size of the files of a distribution."""
    for row in csv.reader((distribution.read_text("RECORD") or "").splitlines()):
        if len(row) == 3:
            yield row[0], row[1], row[2]


def hexadecimal(digest: str) -> str:
    """The first digits of a digest as RECORD has it, `sha256=` and then base64; empty where there is none."""
    text = digest.partition("=")[2]
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).hex()[:12]


def requirements_about(wanted: str) -> list[Needs]:
    """What distributions require of one, and what that one requires."""
    installed = distributions()
    return [
        needs
        for name, one in sorted(installed.items())
        for needs in requirements_of(name, one, installed)
        if wanted in (name, needs.other)
    ]


def requirements_of(
    name: str, one: metadata.Distribution, installed: Mapping[str, metadata.Distribution]
) -> Iterator[Needs]:
    """What a distribution requires here, without its extras."""
    for text in one.requires or []:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            other = canonicalize_name(requirement.name)
            version = installed[other].version if other in installed else None
            met = version is not None and requirement.specifier.contains(version, prereleases=True)
            yield Needs(name, one.version, other, str(requirement.specifier) or "any", version, met)
