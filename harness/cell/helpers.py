"""Programs in environments that are no pin's: what a case asks them, and what comes back."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Optional, TypeVar, Union

import msgspec
from msgspec import Struct

from harness.cell.children import ended, guarded
from harness.cell.run import Run
from harness.core.files import ROOT

Answer = TypeVar("Answer", bound=Struct)

LABEL_SECONDS = 300


def wrong_helpers(run: Run) -> Optional[str]:
    """Why an environment that the case calls on is not what its lock says, or None."""
    for helper in run.spec.helpers:
        command = guarded([run.interpreter_of(helper), "-m", "harness.cell.label", f"cases/locks/{helper.name}.txt"])
        looked = subprocess.run(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=LABEL_SECONDS,
        )  # fmt: skip
        if looked.returncode:
            said = (looked.stdout + looked.stderr).strip().splitlines() or ["It does not start."]
            return f"The environment {helper.name} cannot be used: {said[-1]}"
    return None


def ask(
    interpreter: str, program: str, question: Struct, kind: type[Answer], answer: Path, limit: float
) -> Union[Answer, str]:
    """Have a program answer a question: what it writes into the file `answer`, or how it failed, as the end of a
    sentence. It gets the question as JSON on its standard input, and may take `limit` seconds. What it prints goes into
    the run's log."""
    command = guarded([interpreter, "-m", program, str(answer)])
    try:
        done = subprocess.run(command, cwd=ROOT, input=msgspec.json.encode(question), timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return f"it did not end within {limit:g} s"
    if done.returncode < 0:
        return ended(done.returncode)
    if done.returncode or not answer.exists():
        return f"it ended with exit code {done.returncode}, the run's log has why"
    return msgspec.json.decode(answer.read_bytes(), type=kind)
