"""The data set, prepared once for all pins in the first pin's environment: made or checked, indexed, hashed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Protocol

import msgspec

from harness.conduct.process import Event, Exit, environment_for, run_process, tail_of
from harness.core.errors import UsageError
from harness.core.files import ROOT
from harness.core.plan import Plan
from harness.core.preparation import PrepareAnswer, Prepared, PrepareRequest
from harness.core.settings import Shapes

CACHE = ROOT / ".cache" / "data"
SCRATCH = "data.scratch"
"""The folder in that of the results for the answer of the process that prepares."""


LOG = "data.log"
"""What that process prints."""


class Notes(Protocol):
    """What shows how far the preparation is, and for good what it found."""

    def note(self, sentence: str) -> None: ...
    def say(self, text: str) -> None: ...


def prepare_data(interpreter: Path, plan: Plan, results: Path, board: Notes) -> dict[str, Prepared]:
    """Have the data set of every case prepared; `UsageError` when one is bad, before any training starts."""
    prepared: dict[Shapes, Prepared] = {}
    for shapes in plan.shapes.values():
        if shapes not in prepared:
            ready = next(iter(prepared.values()), None) if plan.data else None  # the user's own serves all cases
            prepared[shapes] = ready or prepare_one(interpreter, plan.data, shapes, results, board)
    return {case: prepared[shapes] for case, shapes in plan.shapes.items()}


def prepare_one(interpreter: Path, data: str | None, shapes: Shapes, results: Path, board: Notes) -> Prepared:
    """Have one data set prepared, the user's or the embedded shapes."""
    request = PrepareRequest(data=data, shapes=shapes, cache=str(CACHE), workers=min(8, os.cpu_count() or 1))
    board.note("preparing the data")
    scratch = results / SCRATCH
    shutil.rmtree(scratch, ignore_errors=True)  # of a matrix that was killed
    scratch.mkdir()
    try:
        ended = ask(interpreter, request, scratch / "answer.json", results / LOG, board)
        answer = answer_in(scratch / "answer.json")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if answer.prepared:
        if data:
            show(answer.prepared, board)
        return answer.prepared
    if answer.problem:
        raise UsageError(*answer.problem)
    log = results / LOG
    ending = " | ".join(tail_of(log)[-3:])
    raise UsageError(f"The data could not be prepared: {ended.in_words()} {log} ends: {ending}")


def show(prepared: Prepared, board: Notes) -> None:
    """Say what the user's data set holds and what was left out of it."""
    board.say(f"data set {prepared.data.name}:")
    for line in prepared.summary.in_words():
        board.say(f"  {line}")


def ask(interpreter: Path, request: PrepareRequest, answer: Path, log: Path, board: Notes) -> Exit:
    """Run the process that prepares. It leaves its answer in a file, and says how far it is."""

    def listen(event: Event) -> None:
        board.note(f"preparing the data: {event['done']:,} of {event['total']:,} pictures checked")

    return run_process(
        [str(interpreter), "-m", "harness.cell.data.prepare", "--answer", str(answer.absolute())],
        log=log,
        listen=listen,
        stdin=msgspec.json.encode(request),
        variables=environment_for(None),
        silence_seconds=1800,
        limit_seconds=24 * 3600,
    )


def answer_in(file: Path) -> PrepareAnswer:
    """The answer that was left, or an empty one."""
    return msgspec.json.decode(file.read_bytes(), type=PrepareAnswer) if file.exists() else PrepareAnswer()
