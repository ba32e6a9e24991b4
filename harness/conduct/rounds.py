"""The matrix at work: data prepared once, then every planned run in order, one at a time, each kept as it ends."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Protocol

import msgspec

from harness.conduct.environments import interpreter_of, require_ambient, why_not_built
from harness.conduct.launch import Event, Outcome, environment_for, run_process, tail_of
from harness.conduct.preparation import prepare_data
from harness.core.errors import UsageError
from harness.core.plan import PLAN_FILE, Plan, write_plan
from harness.core.record import SCHEMA, Failure, Record, read_record, record_path, timestamp, write_record
from harness.core.spec import AMBIENT, RunSpec

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
    for pin, interpreter in interpreters.items():
        if pin == AMBIENT and interpreter:
            require_ambient(interpreter)
    ready = [interpreter for interpreter in interpreters.values() if interpreter]
    if not ready:
        raise UsageError(why_not_built(plan.pins[0]))
    # in the first pin's environment: numpy and Pillow are at the same version in all of them
    data = prepare_data(ready[0], plan, results, board)
    plan = msgspec.structs.replace(plan, runs=[msgspec.structs.replace(spec, data=data) for spec in plan.runs])
    # all at once and before the first run, so that one that cannot be read is not found after days
    records = [None if plan.fresh else valid_record(record_path(results, spec), spec) for spec in plan.runs]
    write_plan(results / PLAN_FILE, plan)
    for spec, kept in zip(plan.runs, records):
        if kept:
            board.end(spec, kept, reused=True)
    for spec, kept in zip(plan.runs, records):
        if not kept:
            path = record_path(results, spec)
            board.begin(spec)
            record = do_run(spec, interpreters[spec.pin.name], path, board)
            write_record(path, record)
            board.end(spec, record, reused=False)


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
    """Do one run and return its record: the one that it wrote itself, or a `failed` one in its place.

    A stale record stays until the new one takes its place: the run writes to a file beside it.
    """
    started = timestamp()
    log, part = path.with_suffix(".log"), path.with_suffix(".part")
    part.unlink(missing_ok=True)
    if interpreter is None:
        return failed(spec, started, why_not_built(spec.pin), None, log)
    outcome = run_process(
        [str(interpreter), "-m", "harness.cell", "--record", str(part.absolute())],
        log=log,
        listen=board.hear,
        stdin=msgspec.json.encode(spec),
        variables=environment_for(spec),
        silence_seconds=spec.train.silence_seconds,
        limit_seconds=spec.train.limit_hours * 3600,
    )
    if outcome.good and part.exists():
        record = read_record(part)
        part.unlink()
        return record
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
