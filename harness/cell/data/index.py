"""The index: what a prepared data set holds, in one JSON file that the cells of every pin read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import numpy

from harness.core.dataset import Summary
from harness.core.errors import UsageError
from harness.core.files import write_atomically

SCHEMA = 1
COLUMNS = 5  # class, cx, cy, w, h


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One picture: its path, its upright size in pixels, and its boxes.

    A box is a row [class, cx, cy, w, h]; the last four are shares of the picture's width and height, from 0 to 1.
    """

    path: str
    width: int
    height: int
    boxes: list[list[float]]
    digest: str = ""
    """The hex sha256 of the file that was checked. An index has it of every picture."""


class DataIndex(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A prepared data set. `digest` names its contents and does not depend on where the pictures lie."""

    schema: int
    name: str
    classes: list[str]
    train: list[Item]
    val: list[Item]
    summary: Summary
    digest: str


Content = tuple[str, list[list[float]]]  # the hex sha256 of a picture's file, and its boxes


class _Header(msgspec.Struct):
    schema: int


def digest_of(classes: Sequence[str], train: Iterable[Content], val: Iterable[Content]) -> str:
    """Hex sha256 over the class names and the contents of train and then val, in order."""
    total = hashlib.sha256(msgspec.json.encode([SCHEMA, list(classes)]))
    for split in (train, val):
        total.update(b"split")
        for content, boxes in split:
            rows = numpy.asarray(boxes, dtype="<f8").reshape(-1, COLUMNS)
            total.update(bytes.fromhex(content) + len(rows).to_bytes(8, "little") + rows.tobytes())
    return total.hexdigest()


def write_index(path: Path, index: DataIndex) -> None:
    """Write the index atomically; UsageError when the folder cannot be written."""
    write_atomically(path, msgspec.json.encode(index))


def read_index(path: Path) -> DataIndex:
    """Read an index strictly; picture paths that are relative in the file are returned relative to the file's folder.

    UsageError when the file is missing, broken, of another schema, or holds boxes that cannot be.
    """
    try:
        content = path.read_bytes()
        schema = msgspec.json.decode(content, type=_Header).schema
        if schema != SCHEMA:
            raise UsageError(
                f"The data index {path} has schema {schema}, but this version reads schema {SCHEMA}: "
                "delete it and prepare the data again."
            )
        index = msgspec.json.decode(content, type=DataIndex)
    except OSError as error:
        raise UsageError(f"The data index {path} cannot be read ({error.strerror}): prepare the data again.") from error
    except msgspec.DecodeError as error:
        raise UsageError(f"The data index {path} is broken ({error}): delete it and prepare the data again.") from error
    _check(path, index)
    folder = path.resolve().parent
    return msgspec.structs.replace(index, train=_located(index.train, folder), val=_located(index.val, folder))


def _check(path: Path, index: DataIndex) -> None:
    for item in (*index.train, *index.val):
        sound = item.width > 0 and item.height > 0 and item.digest != ""
        sound = sound and all(len(row) == COLUMNS and 0 <= row[0] < len(index.classes) for row in item.boxes)
        if not sound:
            raise UsageError(
                f"The data index {path} holds an impossible size, box or digest for {item.path}: "
                "delete it and prepare the data again."
            )


def _located(items: list[Item], folder: Path) -> list[Item]:
    # A path that is absolute already stays as it is.
    return [msgspec.structs.replace(item, path=str(folder / item.path)) for item in items]
