"""Worker processes that call functions for this one over pipes.

They are plain `python -c` processes and not multiprocessing's: nothing re-imports the caller's main module (so torch
cannot slip in), no tracker process and no named semaphore or shared memory exists that a SIGKILL could leave behind,
and a worker whose caller is gone reads the end of its pipe and exits.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import io
import os
import pickle
import queue
import signal
import struct
import subprocess
import sys
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, Optional

from harness.cell.children import guarded
from harness.core.errors import UsageError

if sys.platform == "linux":
    import fcntl

AHEAD = 2  # answers made ahead of their use, per worker
PIPE_BYTES = 1 << 20  # 20 reads for a batch of 20 MB instead of 320, each of which waits for the interpreter's lock
SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ of Linux, which Python 3.9's fcntl does not name
SERVE = "import sys; sys.path.insert(0, sys.argv[1]); from harness.cell.data.workers import serve; serve()"
ROOT = Path(__file__).resolve().parents[3]
# A worker is one core's work: without these each would start a BLAS thread per core.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class WorkerError(RuntimeError):
    """A worker process ended before it answered, or its function raised what it should not."""


class Workers:
    """`count` worker processes. Functions must be importable, arguments picklable. Close it, or use `with`."""

    def __init__(self, count: int) -> None:
        if count < 1:
            raise UsageError(f"The number of workers is {count}, but a pool needs at least 1.")
        self._processes = [_start() for _ in range(count)]
        self._idle: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()
        for process in self._processes:
            self._idle.put(process)
        # One thread per worker writes a request and then reads its answer, so the two ends never both wait to write.
        self._threads = concurrent.futures.ThreadPoolExecutor(count, thread_name_prefix="data-worker")
        self.capacity = AHEAD * count

    def submit(self, function: Callable[[Any], Any], argument: Any) -> concurrent.futures.Future[Any]:
        """Have a worker call `function(argument)`; the future raises WorkerError, or the function's UsageError."""
        return self._threads.submit(self._call, function, argument)

    def in_order(self, function: Callable[[Any], Any], arguments: Iterable[Any]) -> Iterator[Any]:
        """The answers for `arguments` in their order, at most `capacity` of them made ahead."""
        waiting: collections.deque[concurrent.futures.Future[Any]] = collections.deque()
        for argument in arguments:
            waiting.append(self.submit(function, argument))
            if len(waiting) >= self.capacity:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def hold(self) -> None:
        """Let all workers stand where they are, as this process does: another one has the machine."""
        for process in self._processes:
            process.send_signal(signal.SIGSTOP)

    def release(self) -> None:
        """Let them go on."""
        for process in self._processes:
            process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End the workers, whatever they are doing, and wait until they are gone."""
        for process in self._processes:
            process.kill()
        # Only now can the threads end: the one that waits for an answer reads the end of its pipe.
        self._threads.shutdown(wait=True, cancel_futures=True)
        for process in self._processes:
            process.communicate()

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def _call(self, function: Callable[[Any], Any], argument: Any) -> Any:
        process = self._idle.get()
        try:
            _send(process.stdin, (function, argument))
            answer, error = _receive(process.stdout)
        except (EOFError, OSError) as lost:
            raise WorkerError(_obituary(process)) from lost
        finally:
            self._idle.put(process)  # a dead one too: the next call on it must fail and not wait
        if error is not None:
            raise error
        return answer


def serve() -> None:
    """The worker's side: answer requests until the caller closes the pipe or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the caller decides what it means
    requests, answers = (os.fdopen(os.dup(number), mode, buffering=0) for number, mode in ((0, "rb"), (1, "wb")))
    os.dup2(2, 1)  # whatever prints must not write between the answers
    try:
        while True:
            function, argument = _receive(requests)
            _send(answers, _answer(function, argument))
    except (EOFError, BrokenPipeError):
        os._exit(0)


def _answer(function: Callable[[Any], Any], argument: Any) -> tuple[Any, Optional[Exception]]:
    try:
        return function(argument), None
    except UsageError as error:
        return None, error
    except Exception:  # whatever it is, it may not be picklable
        return None, WorkerError(f"A data worker failed:\n{traceback.format_exc()}")


def _start() -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        guarded([sys.executable, "-c", SERVE, str(ROOT)]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        env={**os.environ, **ONE_THREAD},
    )
    if sys.platform == "linux" and process.stdout is not None:
        with contextlib.suppress(OSError):  # the user's share of pipe memory is used up: the small pipe works, slower
            fcntl.fcntl(process.stdout, SET_PIPE_SIZE, PIPE_BYTES)
    return process


def _obituary(process: subprocess.Popen[bytes]) -> str:
    try:
        code = process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        return f"The data worker {process.pid} closed its pipe but still runs: see its messages above."
    if code >= 0:
        return f"The data worker {process.pid} ended with exit code {code}: see its messages above."
    cause = ": the machine may be out of memory, so try fewer workers" if code == -signal.SIGKILL else ""
    return f"The data worker {process.pid} was ended by signal {signal.Signals(-code).name}{cause}."


def _send(stream: Any, message: Any) -> None:
    """Write a message: the number and the sizes of its parts, its pickle, then its arrays as they lie in memory."""
    arrays: list[pickle.PickleBuffer] = []
    body = pickle.dumps(message, protocol=5, buffer_callback=arrays.append)
    parts = [memoryview(body), *(array.raw() for array in arrays)]
    header = struct.pack(f"<{1 + len(parts)}Q", len(parts), *(len(part) for part in parts))
    for part in (memoryview(header), *parts):
        written = 0
        while written < len(part):
            written += stream.write(part[written:])


def _receive(stream: Any) -> Any:
    """Read a message; EOFError when the other side is gone. Its arrays are writable."""
    (count,) = struct.unpack("<Q", _read(stream, 8))
    sizes = struct.unpack(f"<{count}Q", _read(stream, 8 * count))
    body, *arrays = [_read(stream, size) for size in sizes]
    return pickle.loads(body, buffers=arrays)


def _read(stream: io.FileIO, size: int) -> bytearray:
    content = bytearray(size)
    rest = memoryview(content)
    while rest:
        count = stream.readinto(rest)
        if not count:
            raise EOFError
        rest = rest[count:]
    return content
