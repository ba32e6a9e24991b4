"""The launcher that does runs on this machine, one group after another, each run as a fresh process."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec.structs import replace

from harness.conduct.environments import find_interpreters, why_not_built
from harness.conduct.folder import (
    clear_beside,
    clear_checkpoints,
    clear_torn,
    clear_writes,
    kept_records,
    require_room,
)
from harness.conduct.launcher import Board, Group, Inputs
from harness.conduct.others import Watch
from harness.conduct.preparation import prepare_data, prepare_weights
from harness.conduct.process import Exit, environment_for, run_process, tail_of
from harness.conduct.seat import Seat
from harness.conduct.sitting import NoRoomError, sit, tables_of
from harness.core.plan import PLAN_FILE, Plan, write_plan
from harness.core.record import (
    SCHEMA,
    Failure,
    Others,
    Record,
    read_record,
    record_path,
    scratch_of,
    timestamp,
    write_record,
)
from harness.core.spec import Order, RunSpec

ERROR, BAD_INPUT = "error: ", 2
"""How the sentence begins with which a run ends that cannot use its input, and the exit code."""


class ThisMachine:
    """Does runs here and keeps their records in a results folder, which its user holds (`folder.sole_use`).

    `ambient` is the interpreter of the pin that is no pin.
    """

    here = True

    def __init__(self, results: Path, ambient: Path) -> None:
        self.results = results
        self.ambient = ambient
        self.interpreters: dict[str, Path | None] = {}
        """By the name of a pin or helper; None where its environment was not built."""
        self.indexes: dict[str, str] = {}
        """By case, the index file of its data set."""
        self.weights: dict[str, str] = {}
        """By case that is given weights, the file of these."""
        self.source = ""
        """The folder of a model that lies outside of the project."""
        self.seats = 0
        """How many runs at once the device's memory was found to hold, of those that take turns; 0: not known."""

    def prepare(self, plan: Plan, board: Board) -> dict[str, Inputs]:
        """Look for room and interpreters, clear away what a kill left, and prepare data sets and weights."""
        require_room(self.results, max(map(len, plan.groups())))
        clear_torn(self.results)
        self.source = plan.source or ""
        self.interpreters = find_interpreters(plan.pins, self.ambient, plan.helpers())
        # in the first pin's environment: numpy and Pillow are at the same version in all of them
        first = next(filter(None, self.interpreters.values()))
        prepared = prepare_data(first, plan, self.results, board)
        given = prepare_weights(first, plan, prepared, self.results, board)
        self.indexes = {case: one.index for case, one in prepared.items()}
        self.weights = {case: one.path for case, one in given.items()}
        return {
            case: Inputs(one.data, given[case].weights if case in given else None) for case, one in prepared.items()
        }

    def begin(self, plan: Plan) -> None:
        """Keep the plan in the results folder, for the reports."""
        write_plan(self.results / PLAN_FILE, plan)

    def kept(self, group: Group) -> list[Record] | None:
        """The records in the results folder, where all of the group are valid."""
        return kept_records(self.results, group.runs)

    def do(self, groups: Iterable[Group], board: Board) -> Iterator[list[Record]]:
        """One group after another, in their order: nothing else of ours runs beside a run."""
        for group in groups:
            yield self.do_group(group, board)

    def do_group(self, group: Group, board: Board) -> list[Record]:
        """Do the runs of one group and keep their records."""
        started = timestamp()
        records, seats = [], []
        for spec in group.runs:
            path = record_path(self.results, spec)
            if group.fresh:
                clear_checkpoints(path)
            board.begin(spec)
            interpreter = self.interpreters[spec.pin.name]
            missing = [one for one in spec.needs() if self.interpreters[one.name] is None]
            if interpreter is None or missing:
                records.append(keep_failure(path, spec, started, why_not_built(missing[0]), None))
                board.end(spec, records[-1], reused=False)
            else:
                seats.append(Seat(self.order(spec), interpreter, path.with_suffix(".part"), path.with_suffix(".log")))
        watch = Watch(group.runs[0].device)
        ends = self.done(seats, group, board)
        others = watch.others()
        for seat, ended in ends:
            record = keep(seat, ended, started, others)
            if seat in seats:
                records.append(record)
                board.end(seat.spec, record, reused=False)
        ended_well = [record.spec for record in records if record.status != "failed"]
        for seat in seats:  # not before, and not of a failure: they are all that there is of a run of days
            if seat.spec in ended_well:
                clear_checkpoints(seat.part)
        return records

    def done(self, seats: list[Seat], group: Group, board: Board) -> list[tuple[Seat, Exit]]:
        """Do the runs of a group, in turns or the one by itself, and tell how each ended; with what the baseline does
        beside others, where memory does not hold all at once."""
        if not group.turns:
            return [(seat, do_alone(seat, board)) for seat in seats]
        for seat in seats:
            clear_beside(seat.part)
        while seats:
            found: list[tuple[Seat, Exit]] = []
            size = min(self.seats or len(seats), len(seats))
            try:
                for table in tables_of(seats, size):
                    found += zip(table, sit(table, board.hear, group.rounds))
            except NoRoomError:
                self.seats = size - 1
                board.note(f"The memory does not hold all of them at once: {self.seats} at a time.")
            else:
                return found
        return []

    def order(self, spec: RunSpec) -> Order:
        """What the process of a run is told: what to do, and where things are here."""
        others = {one.name: str(self.interpreters[one.name] or "") for one in spec.calls_on()}
        weights = self.weights.get(spec.case, "")
        index = self.indexes[spec.case]
        return Order(spec=spec, index=index, weights=weights, source=self.source, interpreters=others)


def do_alone(seat: Seat, board: Board) -> Exit:
    """Do one run by itself: a fresh process."""
    spec = seat.spec
    seat.part.unlink(missing_ok=True)
    try:
        return run_process(
            seat.command,
            log=seat.log,
            listen=lambda event: board.hear(spec, event),
            stdin=seat.words(),
            variables=environment_for(spec),
            silence_seconds=spec.train.silence_seconds,
            limit_seconds=spec.train.limit_hours * 3600,
        )
    finally:
        shutil.rmtree(scratch_of(seat.part), ignore_errors=True)
        clear_writes(seat.part.parent, str(spec.round))  # a killed run may have been at one


def keep(seat: Seat, ended: Exit, started: str, others: Others) -> Record:
    """Put the record that the run wrote itself into its place, with what others did meanwhile, or a `failed` one; a
    stale one stays until then."""
    path = seat.part.with_suffix(".json")
    if ended.good and seat.part.exists():
        record = replace(read_record(seat.part), others=others)
        write_record(path, record)
    else:
        record = keep_failure(path, seat.spec, started, reason_of(ended, seat.log), ended)
    seat.part.unlink(missing_ok=True)
    return record


def reason_of(ended: Exit, log: Path) -> str:
    """Why there is no record: the sentence that a run ended with for input that it cannot use, or how it ended."""
    if ended.good:
        return "The process ended well and left no record."
    said = [line.removeprefix(ERROR) for line in tail_of(log) if line.startswith(ERROR)]
    return said[-1] if said and ended.exit_code == BAD_INPUT else ended.in_words()


def keep_failure(
    path: Path, spec: RunSpec, started: str, reason: str, ended: Exit | None, log: Path | None = None
) -> Record:
    """Write the record of a run that wrote none; `ended` is None for one of whose process nothing is known. `log`: one
    that says more than the run's own, of which there is none before its process is started."""
    log = log or (path.with_suffix(".log") if ended else None)
    failure = Failure(
        exit_code=ended.exit_code if ended else None,
        signal=ended.signal if ended else None,
        log_tail=tail_of(log) if log else [],
    )
    record = Record(
        schema=SCHEMA,
        spec=spec,
        identity=spec.identity(),
        status="failed",
        reason=reason,
        started=started,
        ended=timestamp(),
        failure=failure,
    )
    write_record(path, record)
    return record
