"""The matrix at work: data prepared once, then every planned run in order, one at a time, each kept as it ends."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Protocol

import msgspec

from harness.conduct.environments import interpreter_of, why_not_built
from harness.conduct.launch import Event, Outcome, environment_for, run_process, tail_of
from harness.conduct.preparation import prepare_data
from harness.core.errors import UsageError
from harness.core.plan import Plan, write_plan
from harness.core.record import SCHEMA, Failure, Record, read_record, record_path, timestamp, write_record
from harness.core.spec import RunSpec

ROOM = 500 * 2**20
"""Bytes that must be free in the results folder before anything is started."""


class Board(Protocol):
    """What shows progress."""

    def note(self, sentence: str) -> None: ...
    def begin(self, spec: RunSpec) -> None: ...
    def hear(self, event: Event) -> None: ...
    def end(self, spec: RunSpec, record: Record, reused: bool) -> None: ...


def do_rounds(results: Path, plan: Plan, board: Board) -> None:
    """Do every run of the plan that has no valid record yet. What fails is recorded, and the others go on.

    Raises `UsageError` where nothing can be run at all: no environment, no room, bad data.
    """
    require_room(results)
    interpreters = {pin.name: interpreter_of(pin) for pin in plan.pins}
    ready = [interpreter for interpreter in interpreters.values() if interpreter]
    if not ready:
        raise UsageError(why_not_built(plan.pins[0]))
    # in the first pin's environment: numpy and Pillow are at the same version in all of them
    data = prepare_data(ready[0], plan, results, board)
    plan = msgspec.structs.replace(plan, runs=[msgspec.structs.replace(spec, data=data) for spec in plan.runs])
    write_plan(results, plan)
    for spec in plan.runs:
        path = record_path(results, spec)
        kept = valid_record(path, spec)
        if kept is None:
            board.begin(spec)
            kept = do_run(spec, interpreters[spec.pin.name], path, board)
            write_record(path, kept)
            board.end(spec, kept, reused=False)
        else:
            board.end(spec, kept, reused=True)


def require_room(results: Path) -> None:
    """Refuse to start where the disk is as good as full."""
    free = shutil.disk_usage(results).free
    if free < ROOM:
        raise UsageError(
            f"Only {free / 2**20:.0f} MiB are free where {results} lies, {ROOM / 2**20:.0f} MiB are needed: make room."
        )


def valid_record(path: Path, spec: RunSpec) -> Record | None:
    """The record of an earlier matrix if it answers exactly this spec and was not a failure; else None: run it."""
    if not path.exists():
        return None
    record = read_record(path)
    return record if record.identity == spec.identity() and record.status != "failed" else None


def do_run(spec: RunSpec, interpreter: Path | None, path: Path, board: Board) -> Record:
    """Do one run and return its record: the one that it wrote itself, or a `failed` one in its place."""
    started = timestamp()
    log = path.with_suffix(".log")
    path.unlink(missing_ok=True)  # a stale record must not be taken for this run's
    if interpreter is None:
        return failed(spec, started, why_not_built(spec.pin), None, log)
    outcome = run_process(
        [str(interpreter), "-m", "harness.cell", "--record", str(path.absolute())],
        log=log,
        listen=board.hear,
        stdin=msgspec.json.encode(spec),
        variables=environment_for(spec),
        silence_seconds=spec.train.silence_seconds,
        limit_seconds=spec.train.limit_hours * 3600,
    )
    if outcome.good and path.exists():
        return read_record(path)
    reason = outcome.in_words() if not outcome.good else "The process ended well and left no record."
    return failed(spec, started, reason, outcome, log)


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
