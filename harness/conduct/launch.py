"""One run as one fresh process: started, listened to, stopped when it hangs, and cleared away with all its children."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec

from harness.core.files import ROOT
from harness.core.gpus import ORDER
from harness.core.spec import RunSpec

Event = dict[str, Any]
Listener = Callable[[Event], None]

TAIL_LINES = 30


@dataclass(frozen=True)
class Outcome:
    """How a process ended. `stopped` is the reason when it was the conductor that ended it."""

    exit_code: int | None
    signal: str | None
    stopped: str | None

    @property
    def good(self) -> bool:
        """Whether it ended by itself with exit code 0."""
        return self.exit_code == 0 and self.stopped is None

    def in_words(self) -> str:
        """One sentence for the record."""
        if self.stopped:
            return self.stopped
        if self.signal:
            return f"The process was ended by {self.signal}."
        return f"The process ended with exit code {self.exit_code}."


def environment_for(spec: RunSpec | None) -> dict[str, str]:
    """The variables a cell starts with: the user's own, without what would differ between pins by accident."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "NOX_", "UV_"))}
    # hash seed: no set order may differ between runs; user site: packages outside the lock must not leak in
    kept.update(PYTHONHASHSEED="0", PYTHONNOUSERSITE="1", PYTHONUNBUFFERED="1", PYTHONDONTWRITEBYTECODE="1")
    kept.update(ORDER)
    kept.pop("VIRTUAL_ENV", None)
    if spec:
        threads = str(spec.threads)
        kept.update(OMP_NUM_THREADS=threads, MKL_NUM_THREADS=threads, OPENBLAS_NUM_THREADS="1")
        if spec.flags == "pinned":
            kept["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # cuBLAS repeats itself only with a workspace of fixed size
    return kept


def run_process(
    command: Sequence[str],
    *,
    log: Path,
    listen: Listener,
    stdin: bytes = b"",
    variables: dict[str, str],
    silence_seconds: float,
    limit_seconds: float,
) -> Outcome:
    """Run `command` in a session of its own until it ends, falls silent or exceeds its limit.

    Its output goes to `log`; the events that it writes to the pipe named by `--progress-fd` go to `listen`.
    Nothing of it is left running, whatever way this ends.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    reading, writing = os.pipe()
    with log.open("wb") as output, os.fdopen(reading, "rb", buffering=0) as events:
        process = subprocess.Popen(
            [*command, "--progress-fd", str(writing)],
            cwd=ROOT,
            env=variables,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=(writing,),
            start_new_session=True,
        )
        os.close(writing)
        try:
            with contextlib.suppress(BrokenPipeError):  # it died before it read: its exit code tells
                assert process.stdin is not None
                process.stdin.write(stdin)
                process.stdin.close()
            stopped = watch(process, events, listen, silence_seconds, limit_seconds)
        finally:
            end_all(process)
    code = process.returncode
    name = signal.Signals(-code).name if code < 0 and stopped is None else None
    return Outcome(exit_code=code if code >= 0 else None, signal=name, stopped=stopped)


def watch(
    process: subprocess.Popen[bytes], events: IO[bytes], listen: Listener, silence: float, limit: float
) -> str | None:
    """Pass events on until the process ends (None), or return why it has to be stopped."""
    started = heard = time.monotonic()
    pending = b""
    selector = selectors.DefaultSelector()
    selector.register(events, selectors.EVENT_READ)
    with selector:
        while process.poll() is None:
            if selector.select(timeout=0.5):
                chunk = os.read(events.fileno(), 65536)
                if not chunk:  # the pipe is closed: the process is ending, or has closed it by itself
                    try:
                        process.wait(timeout=silence)
                    except subprocess.TimeoutExpired:
                        return f"The run closed its progress pipe and did not end for {silence:.0f} s, and was killed."
                    return None
                heard = time.monotonic()
                *lines, pending = (pending + chunk).split(b"\n")
                for line in lines:
                    with contextlib.suppress(msgspec.DecodeError):
                        listen(msgspec.json.decode(line, type=dict[str, Any]))
            now = time.monotonic()
            if now - heard > silence:
                return f"The run reported nothing for {silence:.0f} s, was taken to hang and was killed."
            if now - started > limit:
                return f"The run was still going after {limit / 3600:.2g} h, its limit, and was killed."
    return None


def end_all(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the process's session: itself and every child, loader workers included."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 5
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < deadline:  # orphans are reaped by init, in its own time
            os.killpg(process.pid, 0)
            time.sleep(0.02)


def tail_of(log: Path) -> list[str]:
    """The last lines of a log, for the record of a run that failed."""
    try:
        text = log.read_bytes()[-16384:].decode("utf-8", errors="replace")
    except OSError:
        return []
    return text.splitlines()[-TAIL_LINES:]
