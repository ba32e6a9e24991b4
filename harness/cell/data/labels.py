"""YOLO label files: one object a line, in shares of the picture.

An object is a box (class cx cy w h) or an outline (class x y x y x y …), or where the data.yaml says so a box and its
keypoints (class cx cy w h, then each point).
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from harness.cell.data.index import COLUMNS
from harness.cell.data.problems import Problems
from harness.cell.data.summary import Aside

TOLERANCE = 1e-3  # how far rounding may carry an edge out of the picture
SUFFIX = ".txt"


def label_path(image: str) -> str:
    """Where a picture's labels lie: the last folder `images` of its path becomes `labels`; without one, beside it."""
    path = Path(image)
    return str(labels_folder(path.parent) / path.with_suffix(SUFFIX).name)


def labels_folder(folder: Path) -> Path:
    """Where the labels of a folder's pictures lie."""
    parts = list(folder.parts)
    places = [place for place, part in enumerate(parts) if part == "images"]
    if places:
        parts[places[-1]] = "labels"
    return Path(*parts)


def find_labels(images: Sequence[str]) -> list[str]:
    """The label files of the pictures of one source, in their order, whether they exist or not.

    It is decided once for each folder of pictures: by the path as given, or where that leads to no labels, by the path
    that the folder's links lead to. What a single picture is a link to counts only where no folder has labels:
    else a picture without objects would get those of another data set.
    """
    folders: dict[Path, list[str]] = {}
    for image in map(Path, images):
        folders.setdefault(image.parent, []).append(image.name)
    found = {folder: _labels_of(folder, names) for folder, names in folders.items()}
    if not any(found.values()):
        return [label_path(os.path.realpath(image)) for image in images]
    return [label_path(str((found[image.parent] or image.parent) / image.name)) for image in map(Path, images)]


def _labels_of(folder: Path, names: Sequence[str]) -> Optional[Path]:
    """The path of a folder of pictures by which its labels are found; None where there are none."""
    for path in dict.fromkeys((folder, folder.resolve())):
        labels = labels_folder(path)
        if labels != path and labels.is_dir():
            return path
        if any(os.path.lexists(label_path(str(path / name))) for name in names):
            return path
    return None


def read_labels(path: str, classes: int, problems: Problems, aside: Aside, keypoints: int = 0) -> list[list[float]]:
    """The rows [class, cx, cy, w, h] of a label file, as they stand; what is wrong goes to `problems` with file and
    line, boxes without width or height to `aside`.

    No label file means no objects. `keypoints`: how many columns of keypoints may follow a box; 0: none, and a longer
    row is an outline.
    """
    try:
        if not Path(path).is_file():  # reading a pipe could wait for ever
            if os.path.lexists(path):
                what = "not a regular file" if Path(path).exists() else "a link that leads nowhere"
                problems.add(path, f"the label file is {what}")
            return []
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        problems.add(path, f"the label file cannot be read as text ({error})")
        return []
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            row = parse_row(line.split(), classes, keypoints)
        except ValueError as error:
            problems.add(where, str(error))
            continue
        if row:
            rows.append(row)
        else:
            aside.note("empty box", where)
    return rows


def parse_row(columns: list[str], classes: int, keypoints: int = 0) -> Optional[list[float]]:
    """One row [class, cx, cy, w, h] from the columns of a line; None for a box without width or height. ValueError
    whose message says what is wrong."""
    _require_columns(len(columns), keypoints)
    kind, *numbers = [_number(text) for text in columns]
    if kind != int(kind) or not 0 <= kind < classes:
        raise ValueError(f"class {columns[0]} is not one of the {classes} classes, 0 to {classes - 1}")
    if len(columns) > COLUMNS and not keypoints:
        cut = _inside([min(numbers[0::2]), min(numbers[1::2]), max(numbers[0::2]), max(numbers[1::2])])
        box = _centred(cut)
    else:
        box = numbers[:4]
        x, y, width, height = box
        if width < 0 or height < 0:
            raise ValueError(f"width {width:g} and height {height:g} must not be less than 0")
        edges = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
        cut = _inside(edges)
        if cut != edges:
            box = _centred(cut)
    left, top, right, bottom = cut
    return [kind, *box] if right > left and bottom > top else None


def _require_columns(count: int, keypoints: int) -> None:
    if keypoints and count not in (COLUMNS, COLUMNS + keypoints):
        raise ValueError(
            f"has {count} columns; by 'kpt_shape' a row has {COLUMNS + keypoints} (class cx cy w h and the keypoints), "
            f"or {COLUMNS} without keypoints"
        )
    if not keypoints and count != COLUMNS and (count < 7 or count % 2 == 0):
        raise ValueError(
            f"has {count} columns; a box has {COLUMNS} (class cx cy w h), an outline 7 or more (class and pairs x y)"
        )


def _number(text: str) -> float:
    try:
        if not text.isascii() or "_" in text:  # float() takes 2_5 for 25, and digits of any script
            raise ValueError
        value = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is not a finite number")
    return value


def _inside(edges: list[float]) -> list[float]:
    """The edges, cut at the picture's if they stick out by no more than rounding explains."""
    if min(edges) < -TOLERANCE or max(edges) > 1 + TOLERANCE:
        left, top, right, bottom = edges
        raise ValueError(
            f"x from {left:g} to {right:g}, y from {top:g} to {bottom:g} leaves the picture, which reaches from 0 to 1 "
            "(coordinates in pixels must be divided by its width and height)"
        )
    return [min(max(edge, 0.0), 1.0) for edge in edges]


def _centred(edges: list[float]) -> list[float]:
    left, top, right, bottom = edges
    return [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]
