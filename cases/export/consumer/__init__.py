"""What reads exported files: programs that run in the environment `onnx`, in a process of their own for each file.

`python -m cases.export.consumer.NAME ANSWER < QUESTION`: the question is one `Question` as JSON, the answer is left in
the file ANSWER.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Optional

import msgspec
import numpy as np
from numpy.typing import NDArray

from harness.core.files import write_atomically
from harness.core.settings import Count, Strict

INPUT, OUTPUTS = "images", ("boxes", "scores")
"""What inputs and outputs are called in the file."""

Values = NDArray[np.float32]


class Question(Strict, frozen=True):
    """A file, and what it is to be fed."""

    file: str
    pictures: str
    """An npz file of pictures (1, 3, height, width) in 0..1, float32, called 0, 1, …: one after another."""
    outputs: str
    """The npz file for what comes out: of picture 0 `0.boxes` and `0.scores`, and so on."""
    runs: Count
    """So many runs are timed for each picture, after the first."""


class Result(Strict, frozen=True):
    """What became of one picture: why it failed, or the seconds of each run."""

    problem: Optional[str] = None
    seconds: list[float] = []


class Answer(Strict, frozen=True):
    """What a reader has found."""

    reader: str
    """The reader with its version."""
    problem: Optional[str] = None
    """Why it cannot read the file, or what is wrong with it."""
    opset: Optional[int] = None
    operators: dict[str, Count] = {}
    """How many nodes there are of each operator."""
    results: list[Result] = []
    """By picture."""


def serve(work: Callable[[Question], Answer]) -> None:
    """Answer the question on standard input."""
    question = msgspec.json.decode(sys.stdin.buffer.read(), type=Question)
    write_atomically(Path(sys.argv[1]), msgspec.json.encode(work(question)))


def feed(question: Question, run: Callable[[Values], tuple[list[Values], list[float]]]) -> list[Result]:
    """Run every picture and keep what comes out. A picture that fails does not stop the others."""
    results: list[Result] = []
    kept: dict[str, Values] = {}
    with np.load(question.pictures) as pictures:
        for name in pictures.files:
            try:
                outputs, seconds = run(pictures[name])
            except Exception as error:  # whatever a reader raises is what it says of the file
                results.append(Result(problem=in_one_line(error)))
            else:
                results.append(Result(seconds=seconds))
                kept.update({f"{name}.{output}": values for output, values in zip(OUTPUTS, outputs)})
    np.savez(question.outputs, **kept)  # type: ignore[arg-type]
    return results


def in_one_line(error: object, most: int = 240) -> str:
    """The beginning of what an error or a warning says, of so many characters at most."""
    said = " ".join(str(error).split())
    return said if len(said) <= most else f"{said[:most]}…"
