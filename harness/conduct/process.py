"""A process that is watched: started, listened to, stopped when it hangs, and cleared away with all its children."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from harness.core.files import ROOT
from harness.core.gpus import ORDER
from harness.core.spec import RunSpec

Event = dict[str, Any]
Listener = Callable[[Event], None]

TAIL_LINES = 30


@dataclass(frozen=True)
class Exit:
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
    """The variables a cell starts with, and so does the check of its environment: the user's own, without what would
    differ between pins by accident, or add modules that are not in the lock."""
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


class WatchedProcess:
    """A process in a session of its own. Its output goes to `log`, its events come over the pipe `--progress-fd`.

    As a context it leaves nothing of it running, whatever way it ends. `silence`: seconds without an event after which
    it is taken to hang; `limit`: seconds that it may take in all. With `more` the log goes on where another process has
    stopped.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        variables: dict[str, str],
        silence: float,
        limit: float,
        more: bool = False,
    ) -> None:
        self.silence, self.limit = silence, limit
        self.stopped: str | None = None
        self.pending = b""
        self.over = False
        log.parent.mkdir(parents=True, exist_ok=True)
        reading, writing = os.pipe()
        self.events = os.fdopen(reading, "rb", buffering=0)
        with log.open("ab" if more else "wb") as output:
            self.process = subprocess.Popen(
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
        self.started = self.heard = time.monotonic()

    def __enter__(self) -> WatchedProcess:
        return self

    def __exit__(self, *failure: object) -> None:
        self.end()
        self.events.close()
        self.close_input()

    def end(self) -> None:
        """Leave nothing of it running. Once is enough: its number may soon be another's."""
        if not self.over:
            end_all(self.process)
            self.over = True

    def say(self, words: bytes) -> None:
        """Write to its standard input. It may have died before it reads: then its exit code tells."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(words)
            self.process.stdin.flush()

    def close_input(self) -> None:
        """Nothing more will be said to it."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()

    def expect(self) -> None:
        """Restart the silence timer: before its turn a process is rightly silent."""
        self.heard = time.monotonic()

    def hear(self) -> list[Event] | None:
        """The events of the next half second at most; None when it has ended or had to be stopped."""
        self.stopped = self.too_long()
        if self.stopped:
            return None
        ended = self.process.poll() is not None  # what it said last is still in the pipe
        if not select.select([self.events], [], [], 0.0 if ended else 0.5)[0]:
            return None if ended else []
        chunk = os.read(self.events.fileno(), 65536)
        if not chunk:  # the pipe is closed: the process is ending, or has closed it by itself
            self.wait_for_end()
            return None
        self.heard = time.monotonic()
        *lines, self.pending = (self.pending + chunk).split(b"\n")
        heard = []
        for line in lines:
            with contextlib.suppress(msgspec.DecodeError):
                heard.append(msgspec.json.decode(line, type=dict[str, Any]))
        return heard

    def too_long(self) -> str | None:
        """Why it has to be stopped, if it has."""
        now = time.monotonic()
        if now - self.heard > self.silence:
            return f"The run reported nothing for {self.silence:.0f} s, was taken to hang and was killed."
        if now - self.started > self.limit:
            return f"The run was still going after {self.limit / 3600:.2g} h, its limit, and was killed."
        return None

    def wait_for_end(self) -> None:
        """Wait for a process that has closed its pipe."""
        try:
            self.process.wait(timeout=self.silence)
        except subprocess.TimeoutExpired:
            self.stopped = f"The run closed its progress pipe and did not end for {self.silence:.0f} s, and was killed."

    def follow(self, listen: Listener) -> Exit:
        """Pass its events on until it has ended or had to be stopped, and tell how."""
        while (heard := self.hear()) is not None:
            for event in heard:
                listen(event)
        return self.exit()

    def exit(self) -> Exit:
        """How it ended; what is still running of it is killed."""
        self.end()
        code = self.process.returncode
        name = signal.Signals(-code).name if code < 0 and self.stopped is None else None
        return Exit(exit_code=code if code >= 0 else None, signal=name, stopped=self.stopped)


def run_process(
    command: Sequence[str],
    *,
    log: Path,
    listen: Listener,
    stdin: bytes = b"",
    variables: dict[str, str],
    silence_seconds: float,
    limit_seconds: float,
) -> Exit:
    """Run `command` until it ends, falls silent or exceeds its limit; its events go to `listen`."""
    with WatchedProcess(command, log=log, variables=variables, silence=silence_seconds, limit=limit_seconds) as process:
        process.say(stdin)
        process.close_input()
        return process.follow(listen)


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
