"""Further processes of a run: trainings that a case kills, resumes or compares. None of them outlives the run.

They stay in the process group of the run, which the conductor kills as a whole (torchrun may start its own processes
outside of it, see worker.py), and the kernel kills them when the process that started them ends, however it does
(prctl(2), PR_SET_PDEATHSIG; Linux).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Optional

import msgspec

from harness.core.files import ROOT

GUARDED = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); "
    "os.getppid() == int(sys.argv[1]) and os.execv(sys.argv[2], sys.argv[2:])"
)
"""Has the kernel send SIGKILL when the parent ends, and becomes the command. By a program and not between fork and
exec, where a process with threads may do next to nothing; a parent that has ended meanwhile is seen by its number."""

Event = dict[str, Any]


PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Have the kernel send SIGKILL to this process when the one that started it ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def guarded(command: Sequence[str]) -> list[str]:
    """The command as one that does not outlive this process."""
    return [sys.executable, "-S", "-E", "-c", GUARDED, str(os.getpid()), *command]


class Child:
    """A process that tells its progress as JSON lines over a pipe, whose number follows `--progress-fd`.

    What it prints goes into the run's log. As a context it is killed at the end unless it has ended by then.
    """

    def __init__(self, command: Sequence[str], stdin: bytes = b"", variables: Optional[dict[str, str]] = None) -> None:
        reading, writing = os.pipe()
        self.pipe = os.fdopen(reading, "rb")
        self.process = subprocess.Popen(
            guarded([*command, "--progress-fd", str(writing)]),
            cwd=ROOT,
            env={**os.environ, **(variables or {})},
            stdin=subprocess.PIPE,
            pass_fds=(writing,),
        )
        os.close(writing)
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended already: its exit code tells
            self.process.stdin.write(stdin)
            self.process.stdin.close()

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.kill()
        self.pipe.close()

    def events(self) -> Iterator[Event]:
        """What it tells, until it ends. A last line that a kill has cut off is left out."""
        for line in self.pipe:
            if line.endswith(b"\n"):
                yield msgspec.json.decode(line, type=Event)

    def strike(self) -> str:
        """SIGKILL; how it had failed before, empty where it had not."""
        failed = "" if self.process.poll() is None else self.end()
        self.kill()
        return failed

    def kill(self) -> None:
        """SIGKILL, unless it has ended, and wait until it is gone."""
        self.process.kill()
        self.process.wait()

    def end(self) -> str:
        """Wait for it to end, and say how it did if that was not well; else empty."""
        return ended(self.process.wait())


def ended(code: int) -> str:
    """How a process ended, by the exit code that Python gives it, if that was not well; else empty."""
    if code < 0:
        return f"it was ended by {signal.Signals(-code).name}"
    return f"it ended with exit code {code}" if code else ""
