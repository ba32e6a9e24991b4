"""A results folder as it was left: the plan, and for every planned run its record or the reason why there is none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.core.errors import UsageError
from harness.core.plan import PLAN_FILE, Plan, read_plan
from harness.core.record import Record, read_record, record_path
from harness.core.spec import RunSpec

RunStatus = Literal["ok", "failed", "unsupported", "missing"]


@dataclass(frozen=True)
class Run:
    """One planned run. `missing` is never stored: it is a planned run without a record that answers its spec."""

    spec: RunSpec
    status: RunStatus
    reason: str
    """Why it is not ok, as text from the record; empty when it is."""
    record: Record | None


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
    return plan


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
            yield run_of(spec, record)
        else:
            yield Run(spec, "missing", "There is no record of it: the run was not done.", None)


def run_of(spec: RunSpec, record: Record) -> Run:
    """The planned run that this record answers; a record of another spec is stale, and the run is missing."""
    if record.identity != spec.identity():
        return Run(spec, "missing", f"stale: {stale_because(spec, record.spec)}.", None)
    return Run(spec, record.status, "" if record.status == "ok" else reason_of(record), record)


def stale_because(planned: RunSpec, done: RunSpec) -> str:
    """What a record was made from that is not what the plan asks for."""
    differing = [
        name
        for name in planned.__struct_fields__
        if name != "data" and getattr(planned, name) != getattr(done, name)  # where the index lies does not count
    ]
    if planned.data.digest != done.data.digest:
        differing.append("data")
    what = f"{', '.join(differing)} of the record" if differing else "the identity that the record carries"
    return f"{what} and of the plan differ, so the run has to be done again"


def reason_of(record: Record) -> str:
    """Why a run is failed or unsupported. An exit code says little, so the last line of the log is added to it."""
    reason = record.reason or "The record gives no reason."
    failure = record.failure
    last = next((line.strip() for line in reversed(failure.log_tail) if line.strip()), "") if failure else ""
    if failure and failure.exit_code and last:
        return f"{reason} Its log ends with: {last}"
    return reason
