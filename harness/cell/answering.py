"""A program that answers one request: `python -m MODULE --answer PATH [--progress-fd N] < REQUEST`, both as JSON."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Callable, Optional, Union

import msgspec

from harness.core.files import write_atomically
from harness.core.preparation import PrepareAnswer, WeightsAnswer

BAD_INPUT = 2


def answer_request(
    module: str, answer_to: Callable[[bytes, Optional[int]], Union[PrepareAnswer, WeightsAnswer]]
) -> int:
    """Answer the request on standard input by a function that is given it, and the descriptor that hears of progress.

    The exit code: 0, or 2 where the answer is a problem.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}")
    parser.add_argument("--answer", type=Path, required=True)
    parser.add_argument("--progress-fd", type=int)
    asked = parser.parse_args()
    answer = answer_to(sys.stdin.buffer.read(), asked.progress_fd)
    write_atomically(asked.answer, msgspec.json.encode(answer))
    return BAD_INPUT if answer.problem else 0
