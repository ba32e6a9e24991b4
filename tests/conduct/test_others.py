"""What others do beside a run: the kernel's counts as they are written, and real processes that keep busy."""

import subprocess
import sys
import time
from collections import namedtuple

import psutil
import pynvml
import pytest

from harness.conduct import others
from harness.conduct.others import Times, Watch, on_gpu, own_seconds, read_times, shares, times_of

TICKS = others.TICKS

STAT = """cpu  1000 200 300 5000 400 50 60 70 80 90
cpu0 1 1 1 1 1 1 1 1 1 1
intr 17
"""


def test_the_kernels_counts_are_read_as_seconds():
    busy = (1000 + 200 + 300 + 50 + 60) / TICKS
    found = times_of(STAT)
    assert (found.busy, found.stolen) == (pytest.approx(busy), 70 / TICKS)
    assert found.total == pytest.approx(busy + (5000 + 400 + 70) / TICKS)


@pytest.mark.parametrize("text", ["", "cpu  1 2 3\n", "cpu0 1 2 3 4 5 6 7 8 9 10\n", "cpu  a b c d e f g h\n"])
def test_where_the_kernel_does_not_tell_there_are_no_times(text):
    assert times_of(text) is None


def test_what_is_not_ours_of_the_busy_time_is_others():
    before, after = Times(total=100, busy=40, stolen=1), Times(total=200, busy=100, stolen=6)
    assert shares(before, after, own=50) == (0.1, 0.05)
    assert shares(before, after, own=70) == (0.0, 0.05)  # both are counted in ticks, and not at one moment


def test_where_no_time_has_passed_or_none_is_known_no_share_is_known():
    same = Times(100, 40, 1)
    assert shares(same, same, 0) == shares(None, same, 0) == shares(same, None, 0) == (None, None)


BUSY = """
import time
end = time.process_time() + float(__import__("sys").argv[1])
while time.process_time() < end: pass
print("done", flush=True)
__import__("sys").stdin.read()
"""


def busy(seconds):
    command = [sys.executable, "-c", BUSY, str(seconds)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_a_process_that_has_not_ended_with_the_run_counts_as_others():
    before, watch = read_times(), Watch("cpu")
    with busy(1.0) as process:
        assert process.stdout.readline() == "done\n"
        found = watch.others()
        spent = sum(psutil.Process(process.pid).cpu_times()[:2])
        total = read_times().total - before.total
        process.stdin.close()
    assert found.processors >= 0.8 * spent / total
    assert spent >= 1.0
    assert found.gpu is None
    assert len(found.load) == 2


def test_a_process_that_was_ours_and_has_ended_counts_as_own_with_its_children():
    before = own_seconds()
    program = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BUSY!r}, '0.5'], stdin=subprocess.DEVNULL)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)
    assert own_seconds() - before >= 0.5


def test_a_watch_leaves_out_what_is_ours(monkeypatch):
    times = iter([Times(100, 40, 0), Times(110, 49, 0)])
    spent = iter([3.0, 9.0])
    monkeypatch.setattr(others, "read_times", lambda: next(times))
    monkeypatch.setattr(others, "own_seconds", lambda: next(spent))
    assert Watch("cpu").others().processors == pytest.approx(0.3)


@pytest.fixture
def gpu(monkeypatch):
    """A GPU with processes, those of every look in turn."""
    process = namedtuple("process", "pid usedGpuMemory")
    looks = []

    def running(handle):
        assert handle == "handle"
        return [process(pid, None) for pid in looks.pop(0)]

    monkeypatch.setattr(others, "nvml_handle", lambda index, _: "handle" if index == 1 else pytest.fail("another GPU"))
    monkeypatch.setattr(pynvml, "nvmlDeviceGetComputeRunningProcesses", running)
    return looks


def test_processes_that_are_on_the_runs_gpu_before_or_after_it_are_others(gpu):
    gpu += [[30, 10], [20]]
    assert Watch("cuda:1").others().gpu == [10, 20, 30]


def test_nobody_on_the_gpu_is_nobody_and_not_unknown(gpu):
    gpu += [[], []]
    assert Watch("cuda:1").others().gpu == []


def test_a_driver_that_does_not_tell_leaves_it_unknown(gpu, monkeypatch):
    def refuses(_):
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    monkeypatch.setattr(pynvml, "nvmlDeviceGetComputeRunningProcesses", refuses)
    assert on_gpu("cuda:1") is None
    assert Watch("cuda:1").others().gpu is None


def test_the_cpu_has_no_gpu_to_look_at():
    assert on_gpu("cpu") is None


def test_the_times_of_this_machine_go_on():
    before = read_times()
    time.sleep(0.1)
    after = read_times()
    assert after.total > before.total
    assert after.busy >= before.busy
