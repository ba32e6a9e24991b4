"""A results folder on this machine: who holds it, what a kill left there, and which of its records are kept."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from harness.conduct.holding import InUseError, take
from harness.core.errors import UsageError
from harness.core.record import Record, besides, checkpoint_of, checkpoints_of_parts, read_record, record_path
from harness.core.spec import RunSpec

ROOM = 250 * 2**20
"""Bytes that must be free in the results folder for each run that is alive at once, before anything is started: two
checkpoints of 115 MB, as the old one goes when all have the next, and what the run leaves."""
LEAST = 2 * ROOM
"""Bytes that must be free there in any case: a case may keep further checkpoints beside its run."""

LOCK_FILE = ".lock"
"""Held by the matrix that is at work in a results folder. The kernel lets go of it however that ends."""

TORN = (".{}.part.*", ".{}.json.*", ".{}.checkpoint.*", ".{}.*.checkpoint.*")
"""What atomic writes for a round are called until they take their place."""


@contextlib.contextmanager
def sole_use(results: Path) -> Iterator[None]:
    """Hold the results folder against a second matrix; `UsageError` where there is one at work in it."""
    try:
        results.mkdir(parents=True, exist_ok=True)
        hold = take(results / LOCK_FILE, f"at work in {results.absolute()}")
    except InUseError as in_use:
        who = f"process {in_use.holder.pid}" if in_use.holder else "which has not said who it is"
        raise UsageError(
            f"Another matrix is at work in {results} ({who}): wait for it to end, "
            "or give this one a folder of its own with --name."
        ) from None
    except OSError as error:
        raise UsageError(f"{results} cannot be written ({error.strerror}): make room for it or use --name.") from None
    with hold:
        yield


def clear_torn(results: Path) -> None:
    """Remove what a kill left of writes that never took their place. The folder is held, so nobody is writing there."""
    clear_writes(results / "runs")
    for scratch in list((results / "runs").rglob("*.scratch")):
        shutil.rmtree(scratch, ignore_errors=True)


def clear_writes(folder: Path, name: str = "*") -> None:
    """Remove the torn writes below a folder, or those of one round, where nobody is writing any more."""
    for pattern in TORN:
        for torn in folder.rglob(pattern.format(name)):
            torn.unlink(missing_ok=True)  # within a scratch folder it may be gone already


def require_room(results: Path, at_once: int) -> None:
    """Refuse to start where the disk would be full before the end; `at_once`: how many runs are alive at once."""
    free, needed = shutil.disk_usage(results).free, max(LEAST, at_once * ROOM)
    if free < needed:
        raise UsageError(
            f"Only {free / 2**20:.0f} MiB are free where {results} lies, "
            f"{needed / 2**20:.0f} MiB are needed: make room."
        )


def kept_records(results: Path, specs: list[RunSpec]) -> list[Record] | None:
    """The records of an earlier matrix if they answer exactly these specs, none is a failure, and what took turns did
    so with one another; else None: run them.

    A run may have been killed with its conductor after it had written its record and before that was in its place:
    a part that is a whole record is taken up.
    """
    found: list[Record] = []
    taken_up: list[Path] = []
    for spec in specs:
        path = record_path(results, spec)
        record = valid_record(path, spec)
        if record is None:
            record = whole_part(path.with_suffix(".part"), spec)
            taken_up.append(path)
        if record is None:
            return None
        found.append(record)
    baseline = [read_record(path) for path in besides(record_path(results, specs[0]))]
    if not sat_together([record for record in found if record.status == "ok"], baseline):
        return None
    for path in taken_up:
        path.with_suffix(".part").replace(path)
    for spec in specs:
        path = record_path(results, spec)
        path.with_suffix(".part").unlink(missing_ok=True)
        clear_checkpoints(path)
    return found


def sat_together(records: list[Record], beside_others: list[Record]) -> bool:
    """Whether all took turns with the first, the baseline's, or with what that did at further tables; or everybody had
    the device to itself. What takes no turns has no sittings."""
    names = [{sitting.name for sitting in record.sittings} for record in [*records[:1], *beside_others]]
    own = [{sitting.name for sitting in record.sittings} for record in records[1:]]
    together = [any(mine & name for name in names) for mine in own if mine]
    return all(together) or not any(together)


def clear_beside(record: Path) -> None:
    """Remove what a run left at further tables: it is done again."""
    for path in reversed(besides(record)):  # so that a kill leaves no gap in their numbers
        path.unlink(missing_ok=True)


def clear_checkpoints(record: Path) -> None:
    """Remove those from which a run could have gone on."""
    checkpoint_of(record).unlink(missing_ok=True)
    for path in checkpoints_of_parts(record):
        path.unlink(missing_ok=True)


def valid_record(path: Path, spec: RunSpec) -> Record | None:
    """The record of an earlier matrix if it answers exactly this spec and was not a failure; else None."""
    if not path.exists():
        return None
    record = read_record(path)
    return record if record.identity == spec.identity() and record.status != "failed" else None


def whole_part(path: Path, spec: RunSpec) -> Record | None:
    """Likewise of a record that was left beside its place. Records are written atomically: a part is whole."""
    with contextlib.suppress(UsageError):
        return valid_record(path, spec)
    return None
