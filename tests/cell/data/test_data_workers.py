"""Worker processes: they answer in order, say why they died, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy
import psutil
import pytest

from harness.cell.data.index import read_index
from harness.cell.data.workers import WorkerError, Workers
from harness.core.errors import UsageError

ROOT = Path(__file__).resolve().parents[3]


def children() -> set[int]:
    return {process.pid for process in psutil.Process().children(recursive=True)}


def test_answers_come_in_the_order_of_the_arguments() -> None:
    with Workers(2) as workers:
        delays = [0.2, 0.0, 0.1, 0.0]
        code = "__import__('time').sleep({0}) or {0}"
        assert list(workers.in_order(eval, [code.format(delay) for delay in delays])) == delays


def test_arrays_arrive_whole_and_writable() -> None:
    with Workers(1) as workers:
        sent = numpy.random.RandomState(0).randint(0, 256, (3, 1000, 1000)).astype(numpy.uint8)
        back = workers.submit(numpy.ascontiguousarray, sent).result()
        assert (back == sent).all()
        assert back.flags.writeable


def test_what_a_worker_prints_does_not_disturb_its_answers() -> None:
    with Workers(1) as workers:
        assert list(workers.in_order(eval, ["print('hello')", "1"])) == [None, 1]


def test_a_usage_error_passes_as_it_is_and_the_worker_goes_on() -> None:
    with Workers(1) as workers:
        failing = workers.submit(read_index, Path("nowhere.json"))
        with pytest.raises(UsageError, match=r"^The data index nowhere\.json cannot be read"):
            failing.result()
        assert workers.submit(eval, "2 + 2").result() == 4


def test_another_error_carries_the_workers_traceback() -> None:
    with Workers(1) as workers, pytest.raises(WorkerError, match="ZeroDivisionError"):
        workers.submit(eval, "1 / 0").result()


def test_a_killed_worker_is_an_error_with_its_signal() -> None:
    before = children()
    with Workers(2) as workers:
        waiting = workers.submit(eval, "__import__('time').sleep(60)")
        idle = workers.submit(eval, "__import__('os').getpid()").result()
        (busy,) = children() - before - {idle}
        os.kill(busy, signal.SIGKILL)
        with pytest.raises(WorkerError, match="ended by signal SIGKILL: the machine may be out of memory"):
            waiting.result(timeout=20)


def test_a_worker_that_exits_is_an_error_with_its_code() -> None:
    with Workers(1) as workers:
        with pytest.raises(WorkerError, match="exit code 3"):
            workers.submit(eval, "__import__('os')._exit(3)").result(timeout=20)
        with pytest.raises(WorkerError, match="exit code 3"):
            workers.submit(eval, "1").result(timeout=20)


def test_closing_ends_workers_that_are_busy_or_waiting_and_leaves_no_process() -> None:
    before = children()
    workers = Workers(2)
    workers.submit(eval, "__import__('time').sleep(60)")
    workers.submit(eval, "1").result()
    assert len(children() - before) == 2
    workers.close()
    assert children() == before


def test_workers_use_no_shared_memory() -> None:
    folder = Path("/dev/shm")
    before = set(folder.iterdir()) if folder.exists() else set()
    with Workers(2) as workers:
        assert workers.submit(eval, "1").result() == 1
        assert (set(folder.iterdir()) if folder.exists() else set()) == before


def test_a_pool_without_workers_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 1"):
        Workers(0)


def test_workers_that_are_held_stand_whatever_they_are_at_and_go_on_when_they_are_released() -> None:
    before = children()
    with Workers(2) as workers:
        counting = workers.submit(eval, "sum(range(60_000_000))")  # a second or more, so that it is held at work
        (one, other) = children() - before
        workers.hold()
        wait_until(lambda: state_of(one) == state_of(other) == "T")
        waiting = [workers.submit(eval, "1 + 1") for _ in range(2)]
        spent = [ticks_of(one), ticks_of(other)]
        time.sleep(0.3)
        assert [ticks_of(one), ticks_of(other)] == spent
        assert not any(each.done() for each in waiting)
        workers.release()
        assert [each.result(timeout=60) for each in waiting] == [2, 2]
        assert counting.result(timeout=60) == 60_000_000 * 59_999_999 // 2
        assert "T" not in (state_of(one), state_of(other))
        workers.hold()  # and closing ends them as they stand
    assert children() == before


def state_of(pid: int) -> str:
    return stat_of(pid)[0]


def ticks_of(pid: int) -> tuple[str, ...]:
    """What it has had of the processors, in user mode and in the kernel."""
    return tuple(stat_of(pid)[11:13])


def stat_of(pid: int) -> list[str]:
    """/proc/PID/stat from the state on: what is before it may have spaces in it."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()


def wait_until(true: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


CALLER = """
import sys, time
from harness.cell.data.workers import Workers
workers = Workers(2)
print(*[workers.submit(eval, "__import__('time').sleep(0.3) or __import__('os').getpid()").result() for _ in range(4)])
workers.submit(eval, "bytes(50_000_000)")  # more than a pipe holds, and nobody will read it
workers.submit(eval, "bytes(50_000_000)")
if sys.argv[1:] == ["held"]:
    workers.hold()
sys.stdout.flush()
time.sleep(60)
"""


@pytest.mark.parametrize("held", [[], ["held"]])
def test_workers_end_when_their_caller_is_killed_also_where_they_stand(held: list[str]) -> None:
    caller = subprocess.Popen([sys.executable, "-c", CALLER, *held], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert caller.stdout is not None
    pids = {int(pid) for pid in caller.stdout.readline().split()}
    assert len(pids) == 2
    if held:
        wait_until(lambda: {state_of(pid) for pid in pids} == {"T"})
    caller.kill()
    caller.wait()
    caller.stdout.close()
    wait_until(lambda: not any(map(_alive, pids)))


def _alive(pid: int) -> bool:
    # An orphan whose new parent does not reap it stays a zombie: it is dead all the same.
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
