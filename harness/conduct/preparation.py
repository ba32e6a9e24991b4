"""The data set, prepared once for all pins in the first pin's environment: made or checked, indexed, hashed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Protocol

import msgspec

from harness.conduct.launch import Event, environment_for, run_process, tail_of
from harness.core.errors import UsageError
from harness.core.files import ROOT
from harness.core.plan import Plan
from harness.core.preparation import PrepareAnswer, PrepareRequest
from harness.core.settings import Shapes
from harness.core.spec import Data

CACHE = ROOT / ".cache" / "data"
SCRATCH = "data.scratch"
"""The folder in that of the results for the answer of the process that prepares."""


class Notes(Protocol):
    """What shows how far the preparation is."""

    def note(self, sentence: str) -> None: ...


def prepare_data(interpreter: Path, plan: Plan, results: Path, board: Notes) -> dict[str, Data]:
    """Have the data set of every case prepared; `UsageError` when one is bad, before any training starts."""
    prepared: dict[Shapes, Data] = {}
    for shapes in plan.shapes.values():
        if shapes not in prepared:
            ready = next(iter(prepared.values()), None) if plan.data else None  # the user's own serves all cases
            prepared[shapes] = ready or prepare_one(interpreter, plan.data, shapes, results, board)
    return {case: prepared[shapes] for case, shapes in plan.shapes.items()}


def prepare_one(interpreter: Path, data: str | None, shapes: Shapes, results: Path, board: Notes) -> Data:
    """Have one data set prepared, the user's or the embedded shapes."""
    request = PrepareRequest(data=data, shapes=shapes, cache=str(CACHE), workers=min(8, os.cpu_count() or 1))
    log = results / "data.log"

    def listen(event: Event) -> None:
        board.note(f"preparing the data: {event['done']:,} of {event['total']:,} pictures checked")

    board.note("preparing the data")
    scratch = results / SCRATCH
    shutil.rmtree(scratch, ignore_errors=True)  # of a matrix that was killed
    scratch.mkdir()
    try:
        answer_file = scratch / "answer.json"
        outcome = run_process(
            [str(interpreter), "-m", "harness.cell.data.prepare", "--answer", str(answer_file.absolute())],
            log=log,
            listen=listen,
            stdin=msgspec.json.encode(request),
            variables=environment_for(None),
            silence_seconds=1800,
            limit_seconds=24 * 3600,
        )
        answer = (
            msgspec.json.decode(answer_file.read_bytes(), type=PrepareAnswer)
            if answer_file.exists()
            else PrepareAnswer()
        )
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if answer.data is None:
        ending = " | ".join(tail_of(log)[-3:])
        raise UsageError(answer.problem or f"The data could not be prepared: {outcome.in_words()} {log} ends: {ending}")
    return answer.data
