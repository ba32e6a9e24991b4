"""A machine measures one thing at a time, whichever user, checkout or results folder that is for."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from harness.conduct.holding import Holder, take, who_holds
from harness.core.errors import UsageError

VARIABLE = "TORCH_MATRIX_LOCKS"
"""Names the folder of the lock. Containers that share a GPU have no folder in common but one that all of them mount."""

PLACES = (Path("/run/lock"), Path("/tmp"))
"""Where the lock lies otherwise: fixed, as TMPDIR differs from user to user. The first is in memory, is not cleared of
old files, and is no service's own."""

FILE = "torch-matrix.lock"

Say = Callable[[str], None]


def folder_of_lock(environ: Mapping[str, str], places: Sequence[Path] = PLACES) -> Path:
    """Where the lock of this machine lies: the folder that the variable names, or the first one that everybody can
    write to. `UsageError` where there is none."""
    named = environ.get(VARIABLE)
    if named:
        if not Path(named).is_dir():
            raise UsageError(f"{VARIABLE} names {named}, which is no folder: make it, or name one that there is.")
        return Path(named)
    usable = [folder for folder in places if os.access(folder, os.W_OK | os.X_OK)]
    for_all = [folder for folder in usable if folder.stat().st_mode & stat.S_IWOTH]
    if not usable:
        where = " nor ".join(map(str, places))
        raise UsageError(
            f"Neither {where} can be written to: name a folder for the lock of this machine in {VARIABLE}."
        )
    return [*for_all, *usable][0]


@contextlib.contextmanager
def alone_on_machine(what: str, say: Say) -> Iterator[None]:
    """Hold the machine for `what`, and wait for it where somebody else does: `say` is told for whom. `UsageError` where
    its lock cannot be used."""
    path = folder_of_lock(os.environ) / FILE

    def wait(holder: Holder | None) -> None:
        say(f"Waiting for {who_holds(path, holder)}: a machine measures one thing at a time (Ctrl-C ends the waiting).")

    try:
        hold = take(path, what, wait=wait)
    except OSError as error:
        raise UsageError(
            f"{path}, by which a machine measures one thing at a time, cannot be used ({error.strerror}): name a "
            f"folder for it in {VARIABLE}, the same for all who share the machine."
        ) from None
    with hold:
        yield
