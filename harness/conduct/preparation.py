"""What runs are given, prepared once for all pins in the first pin's environment: data sets and weights."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec
from msgspec.structs import replace

from harness.conduct.process import Event, Exit, environment_for, run_process, tail_of
from harness.conduct.reach import OwnCode
from harness.core.cases import read_case
from harness.core.errors import UsageError
from harness.core.files import ROOT
from harness.core.plan import Plan
from harness.core.preparation import (
    GivenWeights,
    PrepareAnswer,
    Prepared,
    PrepareRequest,
    WeightsAnswer,
    WeightsRequest,
)
from harness.core.settings import Shapes
from harness.core.spec import RunSpec

WEIGHTS_PROGRAM = "harness.cell.given"
"""Reads the user's weights, or trains some."""

CACHE = ROOT / ".cache" / "data"
WEIGHTS_CACHE = ROOT / ".cache" / "weights"
SCRATCH = "prepare.scratch"
"""The folder in that of the results for the answer of a process that prepares."""


DATA_LOG, WEIGHTS_LOG = "data.log", "weights.log"
"""What such a process prints."""

Answer = TypeVar("Answer", PrepareAnswer, WeightsAnswer)


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

    def listen(event: Event) -> None:
        board.note(f"preparing the data: {event['done']:,} of {event['total']:,} pictures checked")

    command = [str(interpreter), "-m", "harness.cell.data.prepare"]
    answer, ended = ask(command, request, PrepareAnswer, results / DATA_LOG, listen)
    if not answer.prepared:
        raise UsageError(*(answer.problem or [failed("data", ended, results / DATA_LOG)]))
    if data:
        show(answer.prepared, board)
    return answer.prepared


def show(prepared: Prepared, board: Notes) -> None:
    """Say what the user's data set holds and what was left out of it."""
    board.say(f"data set {prepared.data.name}:")
    for line in prepared.summary.in_words():
        board.say(f"  {line}")


def prepare_weights(
    interpreter: Path, plan: Plan, prepared: Mapping[str, Prepared], results: Path, board: Notes
) -> dict[str, GivenWeights]:
    """Have the weights prepared that cases are given, by case: the user's, or those of a training of the first pin.
    `UsageError` where they cannot be used."""
    code = OwnCode()
    by_request: dict[bytes, GivenWeights] = {}
    by_case: dict[str, GivenWeights] = {}
    for case in plan.cases:
        if read_case(case).weights == "given" or (plan.weights and read_case(case).weights == "either"):
            request = weights_request(plan, case, prepared[case], code)
            key = msgspec.json.encode(request)
            if key not in by_request:
                by_request[key] = prepare_some(interpreter, request, results, board)
            by_case[case] = by_request[key]
    return by_case


def weights_request(plan: Plan, case: str, data: Prepared, code: OwnCode) -> WeightsRequest:
    """What is asked for a case: of its runs all that a training rests on, so that cases that train alike share one, and
    nothing but the model where the user's file is read."""
    first = next(run for run in plan.runs if run.case == case)
    program = code.digest_of_program(WEIGHTS_PROGRAM, first.model.package)
    spec = replace(first, case="", profile="", pin=plan.pins[0], round=0, seed=0, harness=program, data=data.data)
    spec = replace(spec, settings=None, peers=[], helpers=[], nudged=False, instruments=True, fault=None)
    return WeightsRequest(
        spec=spec,
        index=data.index,
        file=plan.weights,
        same_classes=read_case(case).weights == "given",
        cache=str(WEIGHTS_CACHE),
        source=plan.source or "",
    )


def prepare_some(interpreter: Path, request: WeightsRequest, results: Path, board: Notes) -> GivenWeights:
    """Have weights prepared."""
    doing = "reading the weights" if request.file else f"training the weights on {request.spec.pin.name}"
    board.note(doing)

    def listen(event: Event) -> None:
        if "epoch" in event:  # an evaluation tells of its batches alone
            board.note(f"{doing}: epoch {event['epoch'] + 1} of {request.spec.train.epochs}, step {event['step'] + 1}")

    command = [str(interpreter), "-m", WEIGHTS_PROGRAM]
    answer, ended = ask(command, request, WeightsAnswer, results / WEIGHTS_LOG, listen, request.spec)
    if not answer.given:
        raise UsageError(answer.problem or failed("weights", ended, results / WEIGHTS_LOG))
    board.say(f"weights {answer.given.weights.name}: {answer.given.said}")
    return answer.given


def failed(what: str, ended: Exit, log: Path) -> str:
    """What to say of a process that has left no answer."""
    return f"The {what} could not be prepared: {ended.in_words()} {log} ends: {' | '.join(tail_of(log)[-3:])}"


def ask(
    command: Sequence[str],
    request: PrepareRequest | WeightsRequest,
    kind: type[Answer],
    log: Path,
    listen: Callable[[Event], None],
    spec: RunSpec | None = None,
) -> tuple[Answer, Exit]:
    """Run a process that prepares. It leaves its answer in a file, and says how far it is; the answer is an empty one
    where it left none. `spec`: of a process that trains."""
    scratch = log.parent / SCRATCH
    shutil.rmtree(scratch, ignore_errors=True)  # of a matrix that was killed
    scratch.mkdir()
    file = scratch / "answer.json"
    try:
        ended = run_process(
            [*command, "--answer", str(file.absolute())],
            log=log,
            listen=listen,
            stdin=msgspec.json.encode(request),
            variables=environment_for(spec),
            silence_seconds=1800,
            limit_seconds=24 * 3600,
        )
        answer = msgspec.json.decode(file.read_bytes(), type=kind) if file.exists() else kind()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return answer, ended
