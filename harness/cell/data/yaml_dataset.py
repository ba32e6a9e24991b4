"""Data sets in the YOLO layout: a data.yaml that names pictures and classes, and a label file per picture."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from harness.cell.data.coco_dataset import read_instances
from harness.cell.data.labels import label_path, read_labels
from harness.cell.data.listing import Labelled, Listing
from harness.cell.data.pictures import SUFFIXES
from harness.cell.data.problems import Problems
from harness.core.errors import UsageError

# Pictures to others: leaving them out silently would lose data.
FOREIGN = (".bmp", ".dng", ".gif", ".heic", ".tif", ".tiff", ".webp")
GENERIC = ("data", "dataset")  # file names that say nothing: such a data set is named after its folder


class _Document(NamedTuple):
    """A data.yaml: its values, and the line of each key."""

    path: Path
    values: dict[str, Any]
    lines: dict[str, int]

    def wrong(self, key: str, what: str) -> UsageError:
        """The error that `what` is wrong with `key`."""
        where = f", line {self.lines[key]}" if key in self.lines else ""
        return UsageError(f"{self.path}{where}: '{key}' {what}.")


def read_yaml_dataset(path: Path) -> Listing:
    """The data set of a data.yaml; UsageError names the file, the line and what is wrong."""
    document = _load(path)
    classes = _names(document)
    root = _root(document)
    problems = Problems("pictures and label rows")
    train, val = (_split(document, key, root, classes, problems) for key in ("train", "val"))
    problems.settle(sum(max(1, len(item.boxes)) for item in (*train, *val)) + len(problems.found))
    for key, items in (("train", train), ("val", val)):
        if not any(item.boxes for item in items):  # a training or an mAP of nothing would look like a result
            expected = f"the labels of the first are expected in {label_path(items[0].path)}"
            raise document.wrong(key, f"leads to {len(items)} pictures without a single object: {expected}")
    stem = path.stem if path.stem not in GENERIC else path.absolute().parent.name
    return Listing(name=stem, classes=classes, train=train, val=val)


def _load(path: Path) -> _Document:
    try:
        text = path.read_text(encoding="utf-8-sig")
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read as text ({error}).") from error
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UsageError(f"{path}{line}: not valid YAML ({error.problem}).") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not valid YAML ({error}).") from error
    if not isinstance(values, dict) or not isinstance(tree, yaml.MappingNode):
        raise UsageError(f"{path}: must be a mapping with the keys train, val and names.")
    lines = {key.value: key.start_mark.line + 1 for key, _ in tree.value if isinstance(key.value, str)}
    document = _Document(path, values, lines)
    for key in ("train", "val", "names"):
        if values.get(key) is None:
            raise document.wrong(key, "is missing or empty; a data.yaml needs train, val and names")
    return document


def _names(document: _Document) -> list[str]:
    names = document.values["names"]
    if isinstance(names, dict):
        if not all(type(key) is int for key in names) or sorted(names) != list(range(len(names))):
            raise document.wrong("names", f"must number its {len(names)} classes 0 to {len(names) - 1} without a gap")
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names:
        raise document.wrong("names", "must be a list of class names, or a mapping from numbers to names")
    for number, name in enumerate(names):
        if not isinstance(name, str):
            raise document.wrong("names", f"has for class {number} {name!r}, which is not text: put it in quotes")
    count = document.values.get("nc", len(names))
    if type(count) is not int or count != len(names):
        raise document.wrong("nc", f"is {count!r}, but 'names' lists {len(names)} classes")
    return names


def _root(document: _Document) -> Path:
    folder = document.path.absolute().parent
    given = document.values.get("path")
    if given is None:
        return folder
    if not isinstance(given, str):
        raise document.wrong("path", f"is {given!r}, but must be the path of a folder")
    if not (folder / given).is_dir():
        raise document.wrong("path", f"leads to the folder {folder / given}, which does not exist")
    return folder / given


def _split(document: _Document, key: str, root: Path, classes: list[str], problems: Problems) -> list[Labelled]:
    given = document.values[key]
    sources = given if isinstance(given, list) else [given]
    found: list[Labelled] = []
    for source in sources:
        if not isinstance(source, str):
            kinds = "the path of a folder, a list file or a COCO file, or a list of those"
            raise document.wrong(key, f"contains {source!r}, but must be {kinds}")
        path = _located(document, key, root, source)
        if path.suffix.lower() == ".json" and path.is_file():
            found += _instances(document, key, path, classes)
        else:
            images = _images(document, key, path, root, problems)
            found += [Labelled(image, read_labels(image, len(classes), problems)) for image in images]
    if not found and not problems.found:
        raise document.wrong(key, f"leads to no picture: there is no {', '.join(SUFFIXES)} in {given}")
    return found


def _located(document: _Document, key: str, root: Path, source: str) -> Path:
    candidates = [root / source, document.path.absolute().parent / source]
    for candidate in candidates:
        if candidate.exists():
            return candidate
    tried = " or ".join(dict.fromkeys(str(candidate) for candidate in candidates))
    raise document.wrong(key, f"leads to {tried}, which does not exist")


def _images(document: _Document, key: str, path: Path, root: Path, problems: Problems) -> Iterator[str]:
    if path.is_dir():
        return _in_folder(path, problems)
    if path.suffix.lower() == ".txt":
        return _in_list(path, root, problems)
    raise document.wrong(key, f"leads to {path}, which is neither a folder, a .txt list file nor a COCO .json")


def _in_folder(folder: Path, problems: Problems) -> Iterator[str]:
    """The pictures below a folder in the order of their paths, through links too; hidden files are none."""
    found: list[Path] = []
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:  # a link that leads back up
            folders.clear()
            continue
        seen.add(real)
        found += [Path(place) / name for name in names if not name.startswith(".")]
    for path in sorted(found):
        suffix = path.suffix.lower()
        if suffix in SUFFIXES:
            yield str(path)
        elif suffix in FOREIGN:
            problems.add(str(path), f"has the suffix {suffix}; only {', '.join(SUFFIXES)} are read")


def _in_list(path: Path, root: Path, problems: Problems) -> Iterator[str]:
    """The pictures of a list file, one path a line, absolute or relative to the file's folder or to the data set's."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The list file {path} cannot be read as text ({error}).") from error
    for number, line in enumerate(lines, start=1):
        name = line.strip()
        if not name:
            continue
        where = f"{path}, line {number}"
        if Path(name).suffix.lower() not in SUFFIXES:
            problems.add(where, f"{name} does not end in {', '.join(SUFFIXES)}")
            continue
        candidates = [folder / name for folder in (path.parent, root)]
        image = next((candidate for candidate in candidates if candidate.is_file()), None)
        if image is None:
            problems.add(where, f"leads to {candidates[0]}, which does not exist")
        else:
            yield str(image)


def _instances(document: _Document, key: str, path: Path, classes: list[str]) -> list[Labelled]:
    names, found = read_instances(path)
    if names != classes:
        raise document.wrong(key, f"leads to {path}, whose categories, in the order of ids, are not those of 'names'")
    return found
