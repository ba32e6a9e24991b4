"""Further processes of a run: what they tell is heard, how they end is said, and none outlives the run."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from harness.cell.children import Child
from harness.core.files import ROOT

TELLING = """
import argparse, os, sys, time
parser = argparse.ArgumentParser()
parser.add_argument("--progress-fd", type=int)
descriptor = parser.parse_args().progress_fd
"""
SLEEPING = [sys.executable, "-c", TELLING + "time.sleep(600)"]


def saying(code):
    return [sys.executable, "-c", TELLING + code]


def gone(pid):
    """Whether the process ends within some seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


def test_what_a_child_tells_is_heard_in_order_and_a_line_that_a_kill_cut_off_is_left_out():
    code = """os.write(descriptor, b'{"done":1}\\n{"done":2}\\n{"do')"""
    with Child(saying(code)) as child:
        assert list(child.events()) == [{"done": 1}, {"done": 2}]
        assert child.end() == ""


def test_a_child_reads_what_it_is_given_and_finds_the_variables_it_is_started_with():
    code = """os.write(descriptor, b'["' + sys.stdin.buffer.read() + os.environ["COLOUR"].encode() + b'"]\\n')"""
    code = code.replace("b'[\"'", 'b\'{"said":"\'').replace("b'\"]\\n'", "b'\"}\\n'")
    with Child(saying(code), b"light ", {"COLOUR": "blue"}) as child:
        assert list(child.events()) == [{"said": "light blue"}]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("sys.exit(3)", "it ended with exit code 3"),
        ("os.kill(os.getpid(), 9)", "it was ended by SIGKILL"),
        ("pass", ""),
    ],
)
def test_how_a_child_ended_is_said(code, said):
    with Child(saying(code)) as child:
        assert list(child.events()) == []
        assert child.end() == said


def test_a_child_that_has_ended_before_it_read_is_no_failure_of_the_parent():
    with Child(saying("sys.stdin.close()"), b"x" * 10_000_000) as child:
        assert list(child.events()) == []


def test_a_child_is_killed_where_its_context_ends():
    with Child(SLEEPING) as child:
        pid = child.process.pid
    assert child.process.returncode == -signal.SIGKILL
    assert gone(pid)


def test_a_child_ends_when_the_process_that_started_it_is_killed():
    code = f"""
import time
from harness.cell.children import Child
child = Child({SLEEPING!r})
print(child.process.pid, flush=True)
time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True)
    pid = int(parent.stdout.readline())
    time.sleep(0.5)  # until the guard has become the command
    assert psutil.pid_exists(pid)
    os.kill(parent.pid, signal.SIGKILL)
    parent.communicate()
    assert gone(pid)
