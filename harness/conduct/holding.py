"""Files that one process holds, or that several share: the kernel lets go of them however a process ends (flock)."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from harness.core.record import timestamp
from harness.core.settings import Strict

LOOK_AGAIN = 0.5
"""Seconds between two looks of whoever waits."""


class Holder(Strict, frozen=True):
    """Who holds a file, as it has signed it; `what` is what it is at."""

    pid: int
    host: str
    what: str
    since: str

    def in_words(self) -> str:
        """Who that is and since when, in a few words."""
        host = "" if self.host == socket.gethostname() else f" on {self.host}"
        return f"process {self.pid}{host}, {self.what} since {self.since[:19].replace('T', ' ')} UTC"


def who_holds(path: Path, holder: Holder | None) -> str:
    """Who holds a file, in a few words, also where that has not signed it."""
    return holder.in_words() if holder else f"whoever holds {path}"


class InUseError(Exception):
    """Somebody else holds the file: `holder`, None where that has not signed it."""

    def __init__(self, holder: Holder | None) -> None:
        super().__init__(holder)
        self.holder = holder


class Hold:
    """A file that is held, until this is closed; `signed`: whether it says by whom."""

    def __init__(self, file: io.FileIO, *, signed: bool) -> None:
        self.file, self.signed = file, signed

    def __enter__(self) -> Hold:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of it. What it said is no longer true."""
        if self.signed:
            with contextlib.suppress(OSError):
                self.file.truncate(0)
        self.file.close()


Wait = Callable[[Holder | None], None]
"""Is told whom it is that one waits for."""


def take(path: Path, what: str, *, shared: bool = False, wait: Wait | None = None) -> Hold:
    """Hold a file, by oneself or shared with others who do the same, and sign it with `what`; one who shares it for a
    moment gives nothing, and leaves the others' signature. Where somebody else holds it, `wait` is told, again when
    that is another, and it is waited for; without `wait` that is an `InUseError`. `OSError` where there can be no such
    file.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    told: list[Holder | None] = []
    while True:
        file, good = opened(path), False
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
            good = is_at(file, path)
            if good:
                if what:
                    sign(file, what)
                return Hold(file, signed=bool(what))
        except BlockingIOError:
            holder = holder_of(file)
            if wait is None:
                raise InUseError(holder) from None
            if told != [holder]:
                told = [holder]
                wait(holder)
            time.sleep(LOOK_AGAIN)
        finally:
            if not good:
                file.close()


def opened(path: Path) -> io.FileIO:
    """The file, which is made for everybody where it is not there. It is not asked to be made where it is: in a folder
    that all may write to, the kernel refuses that to all but its owner (fs.protected_regular)."""
    while True:
        with contextlib.suppress(FileNotFoundError):
            return io.FileIO(os.open(path, os.O_RDWR | os.O_NOFOLLOW), "r+")
        mask = os.umask(0)
        try:
            with contextlib.suppress(FileExistsError):  # somebody else was faster
                return io.FileIO(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666), "r+")
        finally:
            os.umask(mask)


def is_at(file: io.FileIO, path: Path) -> bool:
    """Whether the file is still the one at its place: another one may have been put there while one waited."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat(follow_symlinks=False))
    except FileNotFoundError:
        return False


def sign(file: io.FileIO, what: str) -> None:
    """Say in the file who holds it. On a full disk nobody is told; it is held all the same."""
    signed = msgspec.json.encode(Holder(os.getpid(), socket.gethostname(), what, timestamp()))
    with contextlib.suppress(OSError):
        file.truncate(0)
        file.seek(0)
        file.write(signed)


def holder_of(file: io.FileIO) -> Holder | None:
    """Who has signed the file, or None where nobody has."""
    try:
        file.seek(0)
        return msgspec.json.decode(file.read(4096) or b"", type=Holder)
    except (OSError, msgspec.DecodeError):
        return None
