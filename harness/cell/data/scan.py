"""Looking at every picture once before anything is trained.

It must decode fully; its size and the digest of its content are noted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Callable, Optional, Union

import msgspec

from harness.cell.data.pictures import UnreadableError, decode, read_file
from harness.cell.data.problems import Problems
from harness.cell.data.workers import Workers
from harness.core.files import is_text, write_atomically

CHUNK = 32  # pictures per call of a worker
CACHE_NAME = "scan-2.msgpack"  # the number is the format's; another format gets another file
EVENTS = 200  # progress is reported about this often, however many pictures there are

Progress = Callable[[int, int], None]


class Picture(msgspec.Struct, frozen=True, array_like=True):
    """What a scan notes: the file's size in bytes and its times, the upright size in pixels, the hex sha256."""

    size: int
    mtime_ns: int
    ctime_ns: int
    """A copy that keeps the time of the last change (`cp -p`) cannot keep this one."""
    width: int
    height: int
    digest: str


def scan(
    paths: Sequence[str], cache: Path, workers: int = 0, progress: Optional[Progress] = None
) -> dict[str, Picture]:
    """Note every picture, by path. What was noted earlier and has the same size and times is not opened again.

    `progress(done, total)` is called now and then, and at the end. UsageError lists the pictures that cannot be used;
    or say that the cache folder cannot be written.
    """
    wanted = list(dict.fromkeys(paths))
    known = _read_cache(cache / CACHE_NAME)
    noted = {path: known[path] for path in wanted if path in known and _unchanged(path, known[path])}
    todo = [path for path in wanted if path not in noted]
    problems = Problems("pictures")
    reported = 0
    try:
        for chunk in _chunks(todo, workers):
            for path, result in chunk:
                if isinstance(result, str):
                    problems.add(path, result)
                else:
                    noted[path] = result
            done = len(noted) + len(problems.found)
            if progress and done - reported >= len(wanted) / EVENTS:
                progress(done, len(wanted))
                reported = done
    finally:  # what was decoded before a fault or Ctrl-C need not be decoded again
        if todo:
            write_atomically(cache / CACHE_NAME, msgspec.msgpack.encode({**known, **noted}))
    if progress and reported < len(wanted):
        progress(len(wanted), len(wanted))
    problems.settle(len(wanted))
    return noted


def look(paths: Sequence[str]) -> list[tuple[str, Union[Picture, str]]]:
    """Per path what the scan notes, or what is wrong with the picture."""
    return [(path, _look(path)) for path in paths]


def _look(path: str) -> Union[Picture, str]:
    if not is_text(path):  # no index could hold it
        return "its name is not text in UTF-8: rename it"
    try:
        content, status = read_file(path)
        _, (width, height) = decode(content)
    except UnreadableError as error:
        return str(error)
    times = (status.st_mtime_ns, status.st_ctime_ns)
    return Picture(status.st_size, *times, width, height, hashlib.sha256(content).hexdigest())


def _chunks(paths: list[str], workers: int) -> Iterator[list[tuple[str, Union[Picture, str]]]]:
    chunks = [paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK)]
    if workers < 1 or len(chunks) < 2:
        yield from map(look, chunks)
        return
    with Workers(min(workers, len(chunks))) as pool:
        yield from pool.in_order(look, chunks)


def _read_cache(path: Path) -> dict[str, Picture]:
    try:
        return msgspec.msgpack.decode(path.read_bytes(), type=dict[str, Picture])
    except (OSError, msgspec.DecodeError):  # a cache that cannot be read is one that is not there
        return {}


def _unchanged(path: str, picture: Picture) -> bool:
    try:
        status = Path(path).stat()
    except OSError:
        return False
    seen = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return seen == (picture.size, picture.mtime_ns, picture.ctime_ns)
