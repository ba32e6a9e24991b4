"""Files that processes hold: real processes, real locks, and a disk that is really full."""

import os
import signal
import subprocess
import sys

import pytest

from harness.conduct.holding import InUseError, holder_of, opened, take
from harness.core.files import ROOT

HOLDER = """
import pathlib, sys, time
from harness.conduct.holding import take

def wait(holder):
    print("waiting for", holder and holder.pid, flush=True)

shared = sys.argv[2] == "shared"
hold = take(pathlib.Path(sys.argv[1]), "at work for a test", shared=shared, wait=wait)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Start a process that takes the file, and holds it until it is killed or its input ends."""
    started = []

    def start(kind="alone"):
        command = [sys.executable, "-c", HOLDER, str(tmp_path / "lock"), kind]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        started.append(subprocess.Popen(command, cwd=ROOT, text=True, **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def test_what_somebody_holds_is_refused_with_who_that_is_and_what_for(holder, tmp_path):
    process = holder()
    assert process.stdout.readline() == "held\n"
    with pytest.raises(InUseError) as refused:
        take(tmp_path / "lock", "me")
    found = refused.value.holder
    assert (found.pid, found.what) == (process.pid, "at work for a test")
    assert found.in_words().startswith(f"process {process.pid}, at work for a test since 20")


def test_whoever_waits_is_told_for_whom_and_has_it_when_that_one_has_ended(holder):
    first = holder()
    assert first.stdout.readline() == "held\n"
    second = holder()
    assert second.stdout.readline() == f"waiting for {first.pid}\n"
    first.stdin.close()
    assert second.stdout.readline() == "held\n"


def test_the_kernel_lets_go_for_one_that_is_killed(holder, tmp_path):
    first = holder()
    assert first.stdout.readline() == "held\n"
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    take(tmp_path / "lock", "me").close()


IN_TURNS = """
import os, pathlib, sys, time
from harness.conduct.holding import take

folder = pathlib.Path(sys.argv[1])
for _ in range(3):
    with take(folder / "lock", "a turn", wait=print), (folder / "journal").open("a") as journal:
        journal.write(f"{os.getpid()} in\\n")
        journal.flush()
        time.sleep(0.05)
        journal.write(f"{os.getpid()} out\\n")
"""


def test_of_many_who_want_it_at_once_each_has_it_alone(tmp_path):
    command = [sys.executable, "-c", IN_TURNS, str(tmp_path)]
    processes = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) for _ in range(4)]
    assert [process.wait(60) for process in processes] == [0] * 4
    lines = (tmp_path / "journal").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2 * 3 * 4
    for came, went in zip(lines[::2], lines[1::2]):
        assert (came.split()[1], went.split()[1]) == ("in", "out")
        assert came.split()[0] == went.split()[0]


def test_several_share_it_and_nobody_has_it_alone_meanwhile(holder, tmp_path):
    for process in (holder("shared"), holder("shared")):
        assert process.stdout.readline() == "held\n"
    take(tmp_path / "lock", "me", shared=True).close()
    with pytest.raises(InUseError):
        take(tmp_path / "lock", "me")


def test_whoever_shares_it_for_a_moment_leaves_the_signature_of_the_others(holder, tmp_path):
    process = holder("shared")
    assert process.stdout.readline() == "held\n"
    take(tmp_path / "lock", "", shared=True).close()
    with pytest.raises(InUseError) as refused:
        take(tmp_path / "lock", "me")
    assert refused.value.holder.pid == process.pid


def test_a_file_that_is_free_again_says_nothing_of_who_had_it(tmp_path):
    with take(tmp_path / "lock", "me"):
        assert (tmp_path / "lock").read_bytes()
    assert (tmp_path / "lock").read_bytes() == b""


def test_a_file_that_was_removed_and_made_anew_meanwhile_is_the_one_that_is_held(tmp_path):
    with take(tmp_path / "lock", "first"):
        (tmp_path / "lock").unlink()
        with take(tmp_path / "lock", "second") as second:
            assert holder_of(second.file).what == "second"
            with pytest.raises(InUseError) as refused:
                take(tmp_path / "lock", "third")
    assert refused.value.holder.what == "second"


def test_everybody_can_open_the_file_whatever_the_umask_of_who_made_it(tmp_path):
    before = os.umask(0o077)
    try:
        take(tmp_path / "lock", "me").close()
    finally:
        assert os.umask(before) == 0o077
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o666


@pytest.mark.parametrize("content", [b"", b"17", b"[]", b"\xff\xfe", b'{"pid": 1}', b"[" * 5000])
def test_one_who_has_not_signed_is_nobody_known(tmp_path, content):
    with opened(tmp_path / "lock") as file:
        file.write(content)
        assert holder_of(file) is None


def test_a_link_is_not_followed_and_a_folder_is_no_file(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "folder").mkdir()
    for name in ("link", "folder", "nowhere/lock"):
        with pytest.raises(OSError, match=name):
            take(tmp_path / name, "me")
    assert not (tmp_path / "elsewhere").exists()


def test_on_a_full_disk_it_is_held_though_nobody_is_told_by_whom(disk):
    disk.fill()
    with take(disk.folder / "lock", "me"):
        with pytest.raises(InUseError) as refused:
            take(disk.folder / "lock", "other")
        assert refused.value.holder is None
