"""Holds what is installed against a lock.

`python -m harness.cell.label LOCK` does so in an environment that is no pin's, and so has no torch.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from harness.core.files import ROOT, read_text
from harness.core.record import LABEL_TRUE


def locked_packages(text: str) -> dict[str, str]:
    """Canonical name to version of every `name==version` line of a lock whose marker holds here."""
    packages: dict[str, str] = {}
    for line in text.splitlines():
        candidate = line.strip().rstrip("\\").strip()
        if not candidate or candidate.startswith(("#", "--")):
            continue
        try:
            requirement = Requirement(candidate)
        except InvalidRequirement:
            continue
        if requirement.marker is None or requirement.marker.evaluate():
            version = re.fullmatch(r"==(.+)", str(requirement.specifier))
            packages[canonicalize_name(requirement.name)] = version.group(1) if version else ""
    return packages


def installed_packages() -> dict[str, str]:
    """Canonical name to version of everything that is installed where this process looks for modules, but for the
    project's own folder: what lies there (an `egg-info`, say) is no part of any environment. Of a package that is
    there twice it is the first, which is what is imported; what an installation that was cut short has left has no
    name."""
    folders = [folder for folder in sys.path if Path(folder).resolve() != ROOT]
    found: dict[str, str] = {}
    for item in metadata.distributions(path=folders):
        name = item.metadata["Name"]
        if name:
            found.setdefault(canonicalize_name(name), item.version)
    return dict(sorted(found.items()))


def differences(locked: dict[str, str], installed: dict[str, str]) -> list[str]:
    """What is installed otherwise than locked, one phrase each; empty when the label is true."""
    found = [
        f"{name} is {installed.get(name, 'missing')}, the lock says {version}"
        for name, version in sorted(locked.items())
        if installed.get(name) != version
    ]
    return found + [f"{name} {installed[name]} is not in the lock" for name in sorted(set(installed) - set(locked))]


def differences_from(lock: Path) -> list[str]:
    """What is installed in this environment otherwise than the lock says."""
    return differences(locked_packages(read_text(lock, "the lock")), installed_packages())


def matches(lock: Path, *further: str) -> bool:
    """Whether this environment is what the lock says. What was found is printed, with what else is to be told of an
    environment that is."""
    wrong = differences_from(lock)
    about = ", ".join([f"Python {sys.version.split()[0]}", *further])
    print(
        f"This environment is not what {lock} says: {'; '.join(wrong)}." if wrong else f"{about}: {LABEL_TRUE} {lock}."
    )
    return not wrong


def main(arguments: Sequence[str]) -> int:
    """Exit code 1 when the environment is not what the lock says."""
    return 0 if matches(Path(arguments[0])) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
