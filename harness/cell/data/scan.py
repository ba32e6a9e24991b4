"""Looking at every picture once before anything is trained.

It must decode fully; its size and the digest of its content are noted.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Callable, Optional, Union

import msgspec

from harness.cell.data.pictures import UnreadableError, decode
from harness.cell.data.problems import Problems
from harness.cell.data.workers import Workers
from harness.core.files import write_atomically

CHUNK = 32  # pictures per call of a worker
CACHE_NAME = "scan-1.msgpack"  # the number is the format's; another format gets another file
EVENTS = 200  # progress is reported about this often, however many pictures there are

Progress = Callable[[int, int], None]


class Picture(msgspec.Struct, frozen=True, array_like=True):
    """What a scan notes: the file's size in bytes and time of change, the upright size in pixels, the hex sha256."""

    size: int
    mtime_ns: int
    width: int
    height: int
    digest: str


def scan(
    paths: Sequence[str], cache: Path, workers: int = 0, progress: Optional[Progress] = None
) -> dict[str, Picture]:
    """Note every picture, by path. What was noted earlier and has the same size and time of change is not opened again.

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
    try:
        if Path(path).exists() and not Path(path).is_file():
            return "it is not a regular file"
        with Path(path).open("rb") as stream:
            status = os.fstat(stream.fileno())
            content = stream.read()
        if not content:
            return "the file is empty"
        _, (width, height) = decode(io.BytesIO(content))
    except UnreadableError as error:
        return str(error)
    except FileNotFoundError:
        return "there is no such file"
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    return Picture(status.st_size, status.st_mtime_ns, width, height, hashlib.sha256(content).hexdigest())


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
    return (status.st_size, status.st_mtime_ns) == (picture.size, picture.mtime_ns)
