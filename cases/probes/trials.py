"""`python -m cases.probes.trials OUTCOMES --seconds N --progress-fd N`: tries every probe in a forked process of its
own, and writes what came of each into the file OUTCOMES.

This process imports torch and does nothing else, so that each probe finds it as a script does at its beginning:
defaults as they are, no stream begun, no warning given. A probe that crashes or hangs ends alone.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import sys
import time
import warnings
from pathlib import Path
from typing import NoReturn, Optional

import msgspec
import torch

from cases.probes.probing import Trial, Value, load, message_of, values_of
from harness.cell import compat
from harness.cell.children import die_with_parent
from harness.cell.progress import Progress
from harness.core.files import to_json, write_atomically
from harness.core.settings import Strict


class Outcome(Strict, frozen=True):
    """What came of a probe: values with what each is of, or why there are none."""

    values: list[tuple[str, Value]] = []
    unable: str = ""


def try_out(trial: Trial, seconds: float) -> Outcome:
    """What comes of a probe in a process of its own, which may take so long."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        do_and_end(trial, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = line_of(pipe.fileno(), time.monotonic() + seconds)
    if told is None:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return Outcome(unable=f"it did not end within {seconds:g} seconds")
    status = os.waitpid(child, 0)[1]
    if told.endswith(b"\n"):
        return msgspec.json.decode(told, type=Outcome)
    if os.WIFSIGNALED(status):
        return Outcome(unable=f"its process was ended by {signal.Signals(os.WTERMSIG(status)).name}")
    return Outcome(unable=f"its process ended with exit code {os.WEXITSTATUS(status)}")


def line_of(pipe: int, until: float) -> Optional[bytes]:
    """What a process writes until the end of a line or its own end; None where neither comes in time."""
    told = b""
    while not told.endswith(b"\n"):
        if not select.select([pipe], [], [], max(0.0, until - time.monotonic()))[0]:
            return None
        more = os.read(pipe, 1 << 16)
        if not more:
            break
        told += more
    return told


def do_and_end(trial: Trial, writing: int) -> NoReturn:
    """In the forked process: try, tell, and end at once, without what an interpreter does when it ends."""
    die_with_parent()
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outcome = Outcome(values=[*values_of(trial())])
    except BaseException as error:  # SystemExit too: whatever it does is a result
        outcome = Outcome(unable=message_of(error))
    told = msgspec.json.encode(outcome) + b"\n"
    while told:
        told = told[os.write(writing, told) :]
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def main() -> int:
    """Try all probes, one after another."""
    parser = argparse.ArgumentParser(prog="python -m cases.probes.trials")
    parser.add_argument("outcomes", type=Path)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--progress-fd", type=int)
    asked = parser.parse_args()
    progress = Progress(asked.progress_fd)
    compat.torchvision_version()  # torchvision, where it is there, has been imported with compat, as torch has
    outcomes = {}
    for name, trial in load().items():
        progress.tick(phase="probing", probe=name)
        outcomes[name] = try_out(trial, asked.seconds)
    write_atomically(asked.outcomes, to_json(outcomes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
