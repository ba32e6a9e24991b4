"""The matrix at work: data prepared once, then every planned run in order, each kept as it ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import msgspec

from harness.conduct.environments import interpreter_of, require_ambient, why_not_built
from harness.conduct.launch import Event, Outcome, environment_for, run_process, tail_of
from harness.conduct.preparation import prepare_data
from harness.conduct.sitting import Seat, sit
from harness.core.errors import UsageError
from harness.core.plan import PLAN_FILE, Plan, write_plan
from harness.core.record import (
    SCHEMA,
    Failure,
    Record,
    checkpoint_of,
    read_record,
    record_path,
    scratch_of,
    timestamp,
    write_record,
)
from harness.core.spec import AMBIENT, PACE, Data, RunSpec

ROOM = 500 * 2**20
"""Bytes that must be free in the results folder before anything is started."""

LOCK_FILE = ".lock"
"""Held by the matrix that is at work in a results folder. The kernel lets go of it however that ends."""

TORN = (".{}.part.*", ".{}.json.*", ".{}.checkpoint.*")
"""What atomic writes for a round are called until they take their place."""

ERROR, BAD_INPUT = "error: ", 2
"""How the sentence begins with which a run ends that cannot use its input, and the exit code."""


class Board(Protocol):
    """What shows progress."""

    def note(self, sentence: str) -> None: ...
    def begin(self, spec: RunSpec) -> None: ...
    def hear(self, spec: RunSpec, event: Event) -> None: ...
    def end(self, spec: RunSpec, record: Record, reused: bool) -> None: ...


@contextlib.contextmanager
def sole_use(results: Path) -> Iterator[None]:
    """Hold the results folder against a second matrix; `UsageError` where there is one at work in it."""
    try:
        results.mkdir(parents=True, exist_ok=True)
        opened = (results / LOCK_FILE).open("a+", encoding="ascii")
    except OSError as error:
        raise UsageError(f"{results} cannot be written ({error.strerror}): make room for it or use --name.") from None
    with opened as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise UsageError(
                f"Another matrix is at work in {results} (process {file.read().strip()}): wait for it to end, "
                "or give this one a folder of its own with --name."
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def do_rounds(results: Path, plan: Plan, board: Board) -> None:
    """Do every run of the plan that has no valid record yet. What fails is recorded, and the others go on.

    Raises `UsageError` where nothing can be run at all: no environment, no room, bad data.
    """
    require_room(results)
    clear_torn(results)
    if not plan.calibrates and any(spec.fault for spec in plan.runs):
        raise UsageError(f"The plan in {results} plants faults and is not a calibration's: plan the matrix again.")
    interpreters = {pin.name: interpreter_of(pin) for pin in plan.pins}
    for pin, interpreter in interpreters.items():
        if pin == AMBIENT and interpreter:
            require_ambient(interpreter)
    ready = [interpreter for interpreter in interpreters.values() if interpreter]
    if not ready:
        raise UsageError(why_not_built(plan.pins[0]))
    # in the first pin's environment: numpy and Pillow are at the same version in all of them
    data = prepare_data(ready[0], plan, results, board)
    plan = msgspec.structs.replace(plan, runs=[located(spec, data[spec.case], interpreters) for spec in plan.runs])
    groups = plan.sittings()
    # all at once and before the first run, so that one that cannot be read is not found after days
    kept = [None if plan.fresh else kept_records(results, group) for group in groups]
    write_plan(results / PLAN_FILE, plan)
    for group, records in zip(groups, kept):
        for spec, record in zip(group, records or []):
            board.end(spec, record, reused=True)
    for group, records in zip(groups, kept):
        if not records:
            do_group(results, plan, group, interpreters, board)


def located(spec: RunSpec, data: Data, interpreters: dict[str, Path | None]) -> RunSpec:
    """A spec with its data set, and with the interpreters of the pins that the run may call on."""
    peers = [msgspec.structs.replace(peer, interpreter=str(interpreters[peer.pin.name] or "")) for peer in spec.peers]
    return msgspec.structs.replace(spec, data=data, peers=peers)


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


def require_room(results: Path) -> None:
    """Refuse to start where the disk is as good as full."""
    free = shutil.disk_usage(results).free
    if free < ROOM:
        raise UsageError(
            f"Only {free / 2**20:.0f} MiB are free where {results} lies, {ROOM / 2**20:.0f} MiB are needed: make room."
        )


def kept_records(results: Path, group: list[RunSpec]) -> list[Record] | None:
    """The records of an earlier matrix if they answer exactly these specs, none is a failure, and what took turns did
    so with one another; else None: run them.

    A run may have been killed with its conductor after it had written its record and before that was in its place:
    a part that is a whole record is taken up.
    """
    found: list[Record] = []
    taken_up: list[Path] = []
    for spec in group:
        path = record_path(results, spec)
        record = valid_record(path, spec)
        if record is None:
            record = whole_part(path.with_suffix(".part"), spec)
            taken_up.append(path)
        if record is None:
            return None
        found.append(record)
    if len({record.sitting for record in found if record.status == "ok"}) > 1:
        return None
    for path in taken_up:
        path.with_suffix(".part").replace(path)
        checkpoint_of(path).unlink(missing_ok=True)
    for spec in group:
        record_path(results, spec).with_suffix(".part").unlink(missing_ok=True)
    return found


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


def do_group(
    results: Path, plan: Plan, group: list[RunSpec], interpreters: dict[str, Path | None], board: Board
) -> None:
    """Do one run, or the runs of one sitting, and keep their records."""
    started = timestamp()
    seats = []
    for spec in group:
        path = record_path(results, spec)
        if plan.fresh:
            checkpoint_of(path).unlink(missing_ok=True)
        board.begin(spec)
        interpreter = interpreters[spec.pin.name]
        if interpreter is None:
            write_record(path, failed(spec, started, why_not_built(spec.pin), None, path.with_suffix(".log")))
            board.end(spec, read_record(path), reused=False)
        else:
            seats.append(Seat(spec, interpreter, path.with_suffix(".part"), path.with_suffix(".log")))
    if group[0].case == PACE:
        until = plan.laps_until * plan.rounds_of(PACE) ** 0.5  # all sittings together reach what is wanted
        outcomes = sit(seats, board.hear, baseline=plan.pins[0].name, until=until)
    else:
        outcomes = [do_run(seat, board) for seat in seats]
    for seat, outcome in zip(seats, outcomes):
        record = keep(seat, outcome, started)
        board.end(seat.spec, record, reused=False)


def do_run(seat: Seat, board: Board) -> Outcome:
    """Do one run by itself: a fresh process."""
    spec = seat.spec
    seat.part.unlink(missing_ok=True)
    try:
        return run_process(
            [str(seat.interpreter), "-m", "harness.cell", "--record", str(seat.part.absolute())],
            log=seat.log,
            listen=lambda event: board.hear(spec, event),
            stdin=msgspec.json.encode(spec) + b"\n",
            variables=environment_for(spec),
            silence_seconds=spec.train.silence_seconds,
            limit_seconds=spec.train.limit_hours * 3600,
        )
    finally:
        shutil.rmtree(scratch_of(seat.part), ignore_errors=True)
        clear_writes(seat.part.parent, str(spec.round))  # a killed run may have been at one


def keep(seat: Seat, outcome: Outcome, started: str) -> Record:
    """Put the record that the run wrote itself into its place, or a `failed` one; a stale one stays until then."""
    path = seat.part.with_suffix(".json")
    if outcome.good and seat.part.exists():
        record = read_record(seat.part)
        seat.part.replace(path)
        checkpoint_of(path).unlink(missing_ok=True)  # not before: until then it is all there is of a run of days
        return record
    reason = reason_of(outcome, seat.log)
    record = failed(seat.spec, started, reason, outcome, seat.log)
    write_record(path, record)
    seat.part.unlink(missing_ok=True)
    return record


def reason_of(outcome: Outcome, log: Path) -> str:
    """Why there is no record: the sentence that a run ended with for input that it cannot use, or how it ended."""
    if outcome.good:
        return "The process ended well and left no record."
    said = [line.removeprefix(ERROR) for line in tail_of(log) if line.startswith(ERROR)]
    return said[-1] if said and outcome.exit_code == BAD_INPUT else outcome.in_words()


def failed(spec: RunSpec, started: str, reason: str, outcome: Outcome | None, log: Path) -> Record:
    """The record of a run that wrote none."""
    failure = Failure(
        exit_code=outcome.exit_code if outcome else None,
        signal=outcome.signal if outcome else None,
        log_tail=tail_of(log) if outcome else [],
    )
    return Record(
        schema=SCHEMA,
        spec=spec,
        identity=spec.identity(),
        status="failed",
        reason=reason,
        started=started,
        ended=timestamp(),
        failure=failure,
    )
