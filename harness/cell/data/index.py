"""The index: what a prepared data set holds, in one JSON file that the cells of every pin read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Optional

import msgspec
import numpy

from harness.core.dataset import Summary
from harness.core.errors import UsageError
from harness.core.files import write_atomically

SCHEMA = 1
COLUMNS = 5  # class, cx, cy, w, h


class Annotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An annotation of a COCO file as it stands there, boxes included that leave the picture or have no size.

    `label` is the place of its class among the index's classes; `bbox` is [x, y, width, height] and `area` the object's
    size (not the box's), in pixels. A crowd is a region in which detections are neither right nor wrong. Without an
    `id` of its own it is numbered, from 1, where it is written.
    """

    id: Optional[int]
    label: int
    bbox: list[float]
    area: float
    crowd: bool


class Truth(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a COCO file says of a picture: its id there and its annotations in their order."""

    image_id: int
    annotations: list[Annotation]


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One picture: its path, its upright size in pixels, and its boxes.

    A box is a row [class, cx, cy, w, h]; the last four are shares of the picture's width and height, from 0 to 1. They
    are what is trained on. `truth` is what a validation picture is scored against, where a COCO file has said it.
    """

    path: str
    width: int
    height: int
    boxes: list[list[float]]
    digest: str = ""
    """The hex sha256 of the file that was checked. An index has it of every picture."""
    truth: Optional[Truth] = None


class DataIndex(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A prepared data set. `digest` names its contents and does not depend on where the pictures lie.

    `categories` are the ids that a COCO file has for the classes, in their order; without it they count from 0.
    """

    schema: int
    name: str
    classes: list[str]
    train: list[Item]
    val: list[Item]
    summary: Summary
    digest: str
    categories: Optional[list[int]] = None


Content = tuple[str, list[list[float]]]  # the hex sha256 of a picture's file, and its boxes


class _Header(msgspec.Struct):
    schema: int


def digest_of(
    classes: Sequence[str],
    train: Iterable[Content],
    val: Iterable[Content],
    categories: Optional[list[int]] = None,
    truths: Sequence[Optional[Truth]] = (),
) -> str:
    """Hex sha256 over the class names and the contents of train and then val, in order; then over what a COCO file says
    beside the boxes of val, where there is one."""
    total = hashlib.sha256(msgspec.json.encode([SCHEMA, list(classes)]))
    for split in (train, val):
        total.update(b"split")
        for content, boxes in split:
            rows = numpy.asarray(boxes, dtype="<f8").reshape(-1, COLUMNS)
            total.update(bytes.fromhex(content) + len(rows).to_bytes(8, "little") + rows.tobytes())
    if any(truths):
        total.update(b"truth" + msgspec.json.encode([categories, truths]))
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
        annotations = item.truth.annotations if item.truth else []
        sound = sound and all(len(one.bbox) == 4 and 0 <= one.label < len(index.classes) for one in annotations)
        if not sound:
            raise UsageError(
                f"The data index {path} holds an impossible size, box or digest for {item.path}: "
                "delete it and prepare the data again."
            )


def _located(items: list[Item], folder: Path) -> list[Item]:
    # A path that is absolute already stays as it is.
    return [msgspec.structs.replace(item, path=str(folder / item.path)) for item in items]
