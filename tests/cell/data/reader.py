"""A second reader of data sets, written from README alone and sharing no code with the harness: what it finds is right.

It is strict and slow, and knows only what the small sets of the fuzz have. What it cannot read is `Wrong`.
"""

from __future__ import annotations

import json
import math
import os
import struct
from pathlib import Path
from typing import Any

import yaml

READ = {".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".jfi", ".mpo", ".png", ".apng"}
PICTURES = READ | {".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pfm", ".avif", ".jp2", ".heif", ".heic"}
SYSTEM = {"@eadir", "@__thumb", "__macosx", "#recycle", "@recycle", "$recycle.bin", "lost+found"}
SYSTEM.add("system volume information")

Found = list[tuple[str, list[list[float]]]]


class Wrong(Exception):  # noqa: N818
    """The set must not be accepted."""


def read_set(path: Path) -> dict[str, Found]:
    """Of train and val the pictures, by real path, in order, with their rows [class, cx, cy, w, h]."""
    if path.suffix == ".json":
        other = path.with_name(path.name.replace("train", "val"))
        (names, train), (others, val) = read_coco(path), read_coco(other)
        if names != others:
            raise Wrong("categories")
        return {"train": train, "val": val}
    return read_yolo(path)


# --- YOLO


def read_yolo(path: Path) -> dict[str, Found]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
        document = yaml.safe_load(text)
    except Exception as error:
        raise Wrong("yaml") from error
    if not isinstance(document, dict):
        raise Wrong("no mapping")
    names = document.get("names")
    if isinstance(names, dict):
        if any(type(key) is not int for key in names) or set(names) != set(range(len(names))):
            raise Wrong("numbers of classes")
        names = [names[key] for key in sorted(names)]
    if not isinstance(names, list) or not names or any(not isinstance(name, str) for name in names):
        raise Wrong("names")
    if document.get("nc") is not None and (type(document["nc"]) is not int or document["nc"] != len(names)):
        raise Wrong("nc")
    root = path.parent
    if document.get("path") is not None:
        if not isinstance(document["path"], str):
            raise Wrong("path")
        root = root / document["path"]
    shape = document.get("kpt_shape")
    if shape is not None:
        if not (isinstance(shape, list) and len(shape) == 2 and all(type(each) is int for each in shape)):
            raise Wrong("kpt_shape")
        if shape[0] < 1 or shape[1] not in (2, 3):
            raise Wrong("kpt_shape")
    points = shape[0] * shape[1] if shape else 0
    return {key: split(document.get(key), root, path.parent, len(names), points) for key in ("train", "val")}


def split(given: Any, root: Path, beside: Path, classes: int, points: int) -> Found:
    sources = given if isinstance(given, list) else [given]
    found: Found = []
    for source in sources:
        if not isinstance(source, str) or not source:
            raise Wrong("source")
        place = root / source if (root / source).exists() else beside / source
        if place.is_dir():
            images = sorted(pictures_below(place, set()))
            found += [(os.path.realpath(image), rows_of(image, classes, points)) for image in images]
        elif place.is_file() and place.suffix == ".txt":
            raise Wrong("a list file, which the fuzz has none of")
        else:
            raise Wrong("no such source")
    if not any(rows for _, rows in found):
        raise Wrong("no object")
    return found


def pictures_below(folder: Path, seen: set[str]) -> list[Path]:
    if os.path.realpath(folder) in seen:
        return []
    seen.add(os.path.realpath(folder))
    found = []
    for path in sorted(folder.iterdir()):
        name = path.name
        if name.startswith("."):
            continue
        if path.is_dir():
            if name.lower() not in SYSTEM:
                found += pictures_below(path, seen)
        elif path.suffix.lower() in PICTURES:
            if path.suffix.lower() not in READ or not path.is_file():
                raise Wrong("a picture that is not read")
            name.encode()
            found.append(path)
        elif path.is_symlink() and not path.exists():
            raise Wrong("a lost link")
    return found


def labels_of(folder: str) -> str:
    """The folder with its last part `images` as `labels`."""
    before, images, after = f"{folder}/".rpartition("/images/")
    return f"{before}/labels/{after}".rstrip("/") if images else folder


def rows_of(image: Path, classes: int, points: int) -> list[list[float]]:
    folder, real = str(image.parent), os.path.realpath(image.parent)
    labels = labels_of(folder)
    if labels != folder and not Path(labels).is_dir() and labels_of(real) != real and Path(labels_of(real)).is_dir():
        labels = labels_of(real)
    file = Path(labels, image.with_suffix(".txt").name)
    if file.is_symlink() and not file.exists():
        raise Wrong("a lost label")
    if not file.exists():
        return []
    if not file.is_file():
        raise Wrong("a label that is no file")
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Wrong("label text") from error
    return [row for line in text.splitlines() if line.strip() for row in read_row(line.split(), classes, points)]


def read_row(words: list[str], classes: int, points: int) -> list[list[float]]:
    """The row in a list, which is empty for a box without width or height."""
    try:
        if set("".join(words)) - set("0123456789+-.eEinfat"):
            raise ValueError
        kind, *values = map(float, words)
    except ValueError as error:
        raise Wrong("no number") from error
    if not all(map(math.isfinite, [kind, *values])) or kind not in range(classes):
        raise Wrong("class or number")
    if len(values) == 4 or (points and len(values) == 4 + points):
        x, y, width, height = values[:4]
        if width < 0 or height < 0:
            raise Wrong("negative")
        edges = [x - width / 2, x + width / 2, y - height / 2, y + height / 2]
    elif not points and len(values) >= 6 and len(values) % 2 == 0:
        edges = [min(values[::2]), max(values[::2]), min(values[1::2]), max(values[1::2])]
    else:
        raise Wrong("columns")
    if min(edges) < -0.001 or max(edges) > 1.001:
        raise Wrong("outside")
    left, right, top, bottom = (min(1.0, max(0.0, edge)) for edge in edges)
    if not (right > left and bottom > top):
        return []
    return [[kind, (left + right) / 2, (top + bottom) / 2, right - left, bottom - top]]


# --- COCO


def read_coco(path: Path) -> tuple[list[str], Found]:
    try:
        document = json.loads(path.read_bytes().decode(errors="surrogateescape"))
        categories = {each["id"]: each["name"] for each in document["categories"]}
        images = {each["id"]: each for each in document["images"]}
        annotations = document["annotations"]
        assert len(categories) == len(document["categories"])
        assert len(images) == len(document["images"])
        places = {identity: place for place, identity in enumerate(sorted(categories))}
        rows: dict[Any, list[list[float]]] = {identity: [] for identity in images}
        for one in annotations:
            image, kind = images[one["image_id"]], places[one["category_id"]]
            if one.get("iscrowd", 0):
                continue
            x, y, width, height = map(float, one["bbox"])
            assert all(map(math.isfinite, (x, y, width, height)))
            assert width >= 0
            assert height >= 0
            left, right = max(x, 0.0), min(x + width, image["width"])
            top, bottom = max(y, 0.0), min(y + height, image["height"])
            if right > left and bottom > top:
                w, h = image["width"], image["height"]
                box = [(left + right) / 2 / w, (top + bottom) / 2 / h, (right - left) / w, (bottom - top) / h]
                rows[one["image_id"]].append([float(kind), *box])
        assert any(rows.values())
        folder = path.parent.parent / path.stem[len("instances_") :]
        found: Found = []
        for identity, image in images.items():
            name = folder / image["file_name"]
            assert size_of(name.read_bytes()) == (image["width"], image["height"])
            found.append((os.path.realpath(name), rows[identity]))
    except Exception as error:  # whatever is wrong with it
        raise Wrong(f"{type(error).__name__}: {error}") from error
    return [categories[identity] for identity in sorted(categories)], found


# --- pictures


def size_of(content: bytes) -> tuple[int, int]:
    """Width and height by the header of a PNG or JPEG; `Wrong` where it has none."""
    if content[:8] == b"\x89PNG\r\n\x1a\n" and content[12:16] == b"IHDR":
        width, height = struct.unpack(">II", content[16:24])
        return width, height
    place = 2
    while content[:2] == b"\xff\xd8" and place + 9 <= len(content):
        if content[place] != 0xFF:  # Pillow looks for the next marker
            place += 1
            continue
        marker = content[place + 1]
        if marker in (0x00, 0xFF) or 0xD0 <= marker <= 0xD9:
            place += 1 if marker == 0xFF else 2
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", content[place + 5 : place + 9])
            return width, height
        place += 2 + struct.unpack(">H", content[place + 2 : place + 4])[0]
    raise Wrong("no header of a picture")
