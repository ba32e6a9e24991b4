"""A results folder as it was left: the plan, and for every planned run its record or the reason why there is none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import msgspec

from harness.core.errors import UsageError
from harness.core.plan import PLAN_FILE, Plan, read_plan
from harness.core.record import Record, besides, read_record, record_path
from harness.core.spec import RunSpec

RunStatus = Literal["ok", "failed", "unsupported", "missing"]


@dataclass(frozen=True)
class Trouble:
    """Why a run is not ok: as its record says (`detail`, foreign text), without a reason, because it was not done, or
    because its record answers another spec (`detail`: what of the two differs, in the spec's own names; empty where
    only the identity that the record carries does)."""

    kind: Literal["recorded", "no reason", "not done", "stale"]
    detail: str = ""
    log: str = ""
    """The last line of its log, foreign text, where an exit code alone would say little."""


@dataclass(frozen=True)
class Run:
    """One planned run. `missing` is never stored: it is a planned run without a record that answers its spec."""

    spec: RunSpec
    status: RunStatus
    trouble: Trouble | None
    """Why it is not ok; None when it is."""
    record: Record | None
    beside: tuple[Record, ...] = ()
    """What it left at further tables, where memory did not hold all pins at once: only its laps count."""


def read_planned(results: Path) -> Plan:
    """The plan of a results folder; `UsageError` for no such folder, no plan, or one that contradicts itself."""
    if not results.is_dir():
        raise UsageError(f"There is no folder {results}: name one that nox -s matrix has made, such as results/quick.")
    plan = read_plan(results / PLAN_FILE)
    pins = {pin.name for pin in plan.pins}
    cells = [(spec.case, spec.pin.name, spec.round) for spec in plan.runs]
    fits = all(case in plan.cases and pin in pins and index < len(cells) for case, pin, index in cells)
    if not cells or not fits or len(set(cells)) < len(cells):
        raise UsageError(f"{results / PLAN_FILE} contradicts itself about what is to be run: run nox -s matrix again.")
    return msgspec.structs.replace(plan, runs=[*sharing(plan.runs)])


def sharing(specs: Iterable[RunSpec]) -> Iterator[RunSpec]:
    """Specs that hold once what they have in common with the one before of their case and pin: a fleet has a hundred
    thousand of them."""
    before: dict[tuple[str, str], RunSpec] = {}
    for spec in specs:
        other = before.get((spec.case, spec.pin.name), spec)
        same = {
            name: getattr(other, name) for name in spec.__struct_fields__ if getattr(spec, name) == getattr(other, name)
        }
        before[spec.case, spec.pin.name] = msgspec.structs.replace(spec, **same)
        yield before[spec.case, spec.pin.name]


def read_runs(results: Path, plan: Plan) -> Iterator[Run]:
    """Every planned run in plan order, read one at a time: whole records hold long series and need not all be kept.

    Raises `UsageError` for a record of another schema or one that is not whole.
    """
    for spec in plan.runs:
        path = record_path(results, spec)
        if path.exists():
            try:
                record = read_record(path)
            except RecursionError:  # of msgspec, which descends into what it will not keep
                raise UsageError(f"{path} is not a record: delete it and run the matrix again.") from None
            run = run_of(spec, record)
            yield replace(run, beside=beside_in(path, spec)) if run.status == "ok" else run
        else:
            yield Run(spec, "missing", Trouble("not done"), None)


def beside_in(path: Path, spec: RunSpec) -> tuple[Record, ...]:
    """The records that a run left at further tables, those that answer its spec and ended well."""
    found = map(read_record, besides(path))
    return tuple(record for record in found if record.identity == spec.identity() and record.status == "ok")


def run_of(spec: RunSpec, record: Record) -> Run:
    """The planned run that this record answers; a record of another spec is stale, and the run is missing."""
    if record.identity != spec.identity():
        return Run(spec, "missing", Trouble("stale", ", ".join(differing_in(spec, record.spec))), None)
    return Run(spec, record.status, None if record.status == "ok" else trouble_of(record), record)


def differing_in(planned: RunSpec, done: RunSpec) -> list[str]:
    """What a record was made from that is not what the plan asks for."""
    return [name for name in planned.__struct_fields__ if getattr(planned, name) != getattr(done, name)]


def trouble_of(record: Record) -> Trouble:
    """Why a run is failed or unsupported. An exit code says little, so the last line of the log is added to it."""
    failure = record.failure
    last = next((line.strip() for line in reversed(failure.log_tail) if line.strip()), "") if failure else ""
    log = last if failure and failure.exit_code else ""
    return Trouble("recorded", record.reason, log) if record.reason else Trouble("no reason", log=log)
