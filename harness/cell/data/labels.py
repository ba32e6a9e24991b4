"""YOLO label files: one object a line, in shares of the picture.

An object is a box (class cx cy w h) or an outline (class x y x y x y …).
"""

from __future__ import annotations

import math
import os
from pathlib import Path

from harness.cell.data.index import COLUMNS
from harness.cell.data.problems import Problems

TOLERANCE = 1e-3  # how far rounding may carry an edge out of the picture


def label_path(image: str) -> str:
    """Where a picture's labels lie: the last folder `images` of its path becomes `labels`; without one, beside it."""
    path = Path(image).with_suffix(".txt")
    parts = list(path.parts)
    folders = [place for place, part in enumerate(parts[:-1]) if part == "images"]
    if folders:
        parts[folders[-1]] = "labels"
    return str(Path(*parts))


def find_labels(image: str) -> str:
    """The label file of a picture; where the path as given leads to none, the one that its links resolve to."""
    path = label_path(image)
    return path if Path(path).exists() else label_path(os.path.realpath(image))


def read_labels(image: str, classes: int, problems: Problems) -> list[list[float]]:
    """The rows [class, cx, cy, w, h] of a picture, as they stand; what is wrong goes to `problems` with file and line.

    No label file means no objects.
    """
    path = find_labels(image)
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        problems.add(path, f"the label file cannot be read as text ({error})")
        return []
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            rows.append(parse_row(line.split(), classes))
        except ValueError as error:
            problems.add(f"{path}, line {number}", str(error))
    return rows


def parse_row(columns: list[str], classes: int) -> list[float]:
    """One row [class, cx, cy, w, h] from the columns of a line; ValueError whose message says what is wrong."""
    count = len(columns)
    if count != COLUMNS and (count < 7 or count % 2 == 0):
        raise ValueError(
            f"has {count} columns; a box has {COLUMNS} (class cx cy w h), an outline 7 or more (class and pairs x y)"
        )
    kind, *numbers = [_number(text) for text in columns]
    if kind != int(kind) or not 0 <= kind < classes:
        raise ValueError(f"class {columns[0]} is not one of the {classes} classes, 0 to {classes - 1}")
    if count > COLUMNS:
        edges = [min(numbers[0::2]), min(numbers[1::2]), max(numbers[0::2]), max(numbers[1::2])]
        return [kind, *_centred(_inside(edges))]
    x, y, width, height = numbers
    edges = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
    cut = _inside(edges)
    box = numbers if cut == edges else _centred(cut)
    if width <= 0 or height <= 0 or min(box[2:]) <= 0:
        raise ValueError(f"width {width:g} and height {height:g} must be greater than 0")
    return [kind, *box]


def _number(text: str) -> float:
    try:
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
    if right <= left or bottom <= top:
        raise ValueError("the object has no width or no height within the picture")
    return [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]
