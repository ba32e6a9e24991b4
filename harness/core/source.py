"""The folder of a user's own: a model or a script that lies outside of the project. What belongs to it, and its digest.

Hidden files and Python's caches do not. A link, and a file of more than `MOST_BYTES`, is taken for data: it is known by
its name, and a file by its size, and never read.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from harness.core.errors import UsageError
from harness.core.files import is_text, spelt_out

MOST_BYTES = 2**20
MOST_FILES = 10_000


def source_folder(path: str, root: Path) -> Path:
    """The absolute folder that a path names: `~` is the user's own, and what is relative begins at `root`."""
    return (root / Path(path).expanduser()).absolute()


def entries_of(folder: Path) -> Iterator[Path]:
    """Files and links in a folder and below, in the order of their names. `UsageError` where it cannot be read, or
    holds more than a program does."""
    found = 0
    for place, folders, files in os.walk(folder, onerror=refuse):
        linked = [name for name in folders if Path(place, name).is_symlink()]
        folders[:] = sorted(name for name in folders if belongs(name) and name not in linked)
        for name in sorted(filter(belongs, [*files, *linked])):
            found += 1
            if found > MOST_FILES:
                raise UsageError(
                    f"{folder} holds more than {MOST_FILES:,} files: keep data elsewhere, and leave a link to them."
                )
            yield Path(place, name)


def belongs(name: str) -> bool:
    """Whether a name is none of a hidden file or of Python's caches."""
    return not name.startswith(".") and name != "__pycache__" and not name.endswith(".pyc")


def refuse(error: OSError) -> None:
    """A folder that cannot be read."""
    raise UsageError(f"{spelt_out(str(error.filename))} cannot be read: {error.strerror}.")


def is_data(path: Path) -> bool:
    """Whether it is known by name and size alone."""
    return path.is_symlink() or path.stat().st_size > MOST_BYTES


def digest_of_source(folder: Path) -> str:
    """sha256 over names and contents. Where the folder lies is no part of it. `UsageError` where it cannot be read."""
    total = hashlib.sha256()
    for path in entries_of(folder):
        name = path.relative_to(folder).as_posix()
        if not is_text(name):
            raise UsageError(f"{folder} holds a file whose name is not text in UTF-8: {spelt_out(name)}; rename it.")
        try:
            size = "link" if path.is_symlink() else str(path.stat().st_size)
            content = b"" if is_data(path) else path.read_bytes()
        except OSError as error:
            refuse(error)
        total.update(f"{name}\0{size}\0".encode())
        total.update(hashlib.sha256(content).digest())
    return total.hexdigest()


def copy_source(folder: Path, to: Path) -> None:
    """A copy of a folder in `to`, which is made. Data are not copied: links in the copy lead to them."""
    to.mkdir(parents=True)
    for path in entries_of(folder):
        target = to / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        if is_data(path):
            target.symlink_to(path.resolve())
        else:
            shutil.copy2(path, target)
