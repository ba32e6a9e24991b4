"""Data sets in the YOLO layout: a data.yaml that names pictures and classes, and a label file per picture."""

from __future__ import annotations

import os
import reprlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from harness.cell.data.coco_dataset import read_instances
from harness.cell.data.labels import SUFFIX, find_labels, label_path, labels_folder, read_labels
from harness.cell.data.listing import Labelled, Listing
from harness.cell.data.pictures import SUFFIXES
from harness.cell.data.problems import Problems
from harness.cell.data.summary import Aside
from harness.core.errors import UsageError
from harness.core.files import is_text, spelt_out

# Pictures to others: leaving them out would lose data.
FOREIGN = (
    *(".arw", ".avif", ".bmp", ".cr2", ".cr3", ".dib", ".dng", ".exr", ".gif", ".heic", ".heics", ".heif", ".hif"),
    *(".ico", ".j2c", ".j2k", ".jp2", ".jpc", ".jpf", ".jpx", ".jxl", ".jxr", ".nef", ".orf", ".pbm", ".pcx", ".pfm"),
    *(".pgm", ".pnm", ".ppm", ".qoi", ".raf", ".raw", ".rw2", ".tga", ".tif", ".tiff", ".webp"),
)
# What file managers, network drives and archives put into folders of others; they are no part of a set.
HIDDEN_FOLDERS = (
    *("@eadir", "@recycle", "#recycle", "$recycle.bin", "@__thumb", "__macosx", "system volume information"),
    *("lost+found",),
)
HIDDEN_FILES = ("thumbs.db", "ehthumbs.db", "desktop.ini")
SHORT = reprlib.Repr()
SHORT.maxstring = SHORT.maxother = 120
SHORT.maxlevel = 2
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


@dataclass
class _Reading:
    """What is known of a data set while it is read."""

    document: _Document
    root: Path
    classes: list[str]
    keypoints: int
    """How many columns of keypoints may follow a box."""
    problems: Problems = field(default_factory=lambda: Problems("pictures and label rows"))
    aside: Aside = field(default_factory=Aside)
    claimed: set[str] = field(default_factory=set)
    """The label files of all pictures, and the list files; resolved up to their folders."""
    texts: list[str] = field(default_factory=list)
    """What else may be a label file."""
    label_folders: dict[Path, None] = field(default_factory=dict)
    """Where label files lie, apart from pictures; in order."""
    real_folders: dict[Path, Path] = field(default_factory=dict)
    """What folders lead to, so that each is resolved once."""

    def resolved(self, file: str) -> str:
        """A file by the real path of its folder, so that the same one is known by whatever path it was found."""
        path = Path(file)
        if path.parent not in self.real_folders:
            self.real_folders[path.parent] = path.parent.resolve()
        return str(self.real_folders[path.parent] / path.name)


def read_yaml_dataset(path: Path) -> Listing:
    """The data set of a data.yaml; UsageError names the file, the line and what is wrong."""
    document = _load(path)
    reading = _Reading(document, _root(document), _names(document), _keypoint_columns(document))
    problems = reading.problems
    train, val = (_split(reading, key) for key in ("train", "val"))
    problems.settle(sum(max(1, len(item.boxes)) for item in (*train, *val)) + len(problems.found))
    for key, items in (("train", train), ("val", val)):
        if not any(item.boxes for item in items):  # a training or an mAP of nothing would look like a result
            expected = f"the labels of the first are expected in {label_path(items[0].path)}"
            raise document.wrong(key, f"leads to {len(items)} pictures without a single object: {expected}")
    _note_unclaimed(reading)
    stem = path.stem if path.stem not in GENERIC else path.absolute().parent.name
    return Listing(spelt_out(stem), reading.classes, train, val, reading.aside.noted())


def _load(path: Path) -> _Document:
    try:
        text = path.read_text(encoding="utf-8-sig")
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        _refuse_twice(path, tree)
        values = yaml.safe_load(text)
    except UsageError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read as text ({error}).") from error
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UsageError(f"{path}{line}: not valid YAML ({error.problem}).") from error
    except Exception as error:  # of values that are not what their tags say PyYAML raises errors of many kinds
        said = " ".join(str(error).split())
        raise UsageError(f"{path}: not valid YAML ({type(error).__name__}: {said}).") from error
    if not isinstance(values, dict) or not isinstance(tree, yaml.MappingNode):
        raise UsageError(f"{path}: must be a mapping with the keys train, val and names.")
    lines = {key.value: key.start_mark.line + 1 for key, _ in tree.value if isinstance(key.value, str)}
    document = _Document(path, values, lines)
    for key in ("train", "val", "names"):
        if values.get(key) in (None, ""):
            raise document.wrong(key, "is missing or empty; a data.yaml needs train, val and names")
    return document


def _refuse_twice(path: Path, tree: Any) -> None:
    """UsageError where a mapping has a key twice: YAML forbids it, but PyYAML takes the last."""
    waiting, seen = [tree], set()
    constructor = yaml.SafeLoader("")
    while waiting:
        node = waiting.pop()
        if id(node) in seen or not isinstance(node, yaml.CollectionNode):  # an alias leads to what was seen
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
            continue
        waiting += [value for _, value in node.value]
        keys = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            value = constructor.construct_object(key)
            if value in keys:
                line = key.start_mark.line + 1
                raise UsageError(f"{path}, line {line}: the key {_shown(value)} is there twice: remove one of the two.")
            keys.add(value)


def _shown(value: Any) -> str:
    """A value of the yaml in a message: short, whatever it is, as an alias in a list can make it endless."""
    return SHORT.repr(value)


def _keypoint_columns(document: _Document) -> int:
    """How many columns of keypoints may follow a box: by kpt_shape, which is [number of points, 2 or 3]."""
    shape = document.values.get("kpt_shape")
    if shape is None:
        return 0
    whole = isinstance(shape, list) and len(shape) == 2 and all(type(count) is int for count in shape)
    if not whole or shape[0] < 1 or shape[1] not in (2, 3):
        raise document.wrong("kpt_shape", f"is {_shown(shape)}, but must be [number of keypoints, 2 or 3]")
    return int(shape[0] * shape[1])


def _names(document: _Document) -> list[str]:
    names = document.values["names"]
    if isinstance(names, dict):
        quoted = next((key for key in names if isinstance(key, str) and key.strip().isdigit()), None)
        if quoted is not None:
            raise document.wrong("names", f"has the key {quoted!r}, which is text: write the number without quotes")
        if not all(type(key) is int for key in names) or sorted(names) != list(range(len(names))):
            raise document.wrong("names", f"must number its {len(names)} classes 0 to {len(names) - 1} without a gap")
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names:
        raise document.wrong("names", "must be a list of class names, or a mapping from numbers to names")
    for number, name in enumerate(names):
        if not isinstance(name, str):
            raise document.wrong("names", f"has for class {number} {_shown(name)}, which is not text: put it in quotes")
        if not is_text(name):
            raise document.wrong("names", f"has for class {number} {name!r}, which cannot be written as UTF-8")
    count = document.values.get("nc")
    if count is not None and type(count) is not int:
        raise document.wrong("nc", f"is {_shown(count)}, but must be a whole number, without quotes")
    if count not in (None, len(names)):
        raise document.wrong("nc", f"is {count}, but 'names' lists {len(names)} classes")
    return names


def _root(document: _Document) -> Path:
    folder = document.path.absolute().parent
    given = document.values.get("path")
    if given is None:
        return folder
    if not isinstance(given, str):
        raise document.wrong("path", f"is {_shown(given)}, but must be the path of a folder")
    if not (folder / given).is_dir():
        raise document.wrong("path", f"leads to the folder {folder / given}, which does not exist")
    return folder / given


def _split(reading: _Reading, key: str) -> list[Labelled]:
    document = reading.document
    given = document.values[key]
    sources = given if isinstance(given, list) else [given]
    found: list[Labelled] = []
    for source in sources:
        if not isinstance(source, str):
            kinds = "the path of a folder, a list file or a COCO file, or a list of those"
            raise document.wrong(key, f"contains {_shown(source)}, but must be {kinds}")
        path = _located(document, key, reading.root, source)
        if path.suffix.lower() == ".json" and path.is_file():
            found += _instances(reading, key, path)
        else:
            found += _labelled(reading, list(_images(reading, key, path)))
    if not found and not reading.problems.found:
        raise document.wrong(key, f"leads to no picture: there is no {', '.join(SUFFIXES)} in {_shown(given)}")
    return found


def _labelled(reading: _Reading, images: list[str]) -> list[Labelled]:
    """The pictures of one source with their labels."""
    found = []
    for image, labels in zip(images, find_labels(images)):
        rows = read_labels(labels, len(reading.classes), reading.problems, reading.aside, reading.keypoints)
        found.append(Labelled(image, rows))
        reading.claimed.add(reading.resolved(labels))
        reading.label_folders[Path(labels).parent] = None
    return found


def _located(document: _Document, key: str, root: Path, source: str) -> Path:
    candidates = [root / source, document.path.absolute().parent / source]
    for candidate in candidates:
        if candidate.exists():
            return candidate
    tried = " or ".join(dict.fromkeys(str(candidate) for candidate in candidates))
    raise document.wrong(key, f"leads to {tried}, which does not exist")


def _images(reading: _Reading, key: str, path: Path) -> Iterator[str]:
    if path.is_dir():
        labels = labels_folder(path)
        if labels != path and labels.is_dir():
            reading.label_folders[labels] = None
        return _in_folder(path, reading)
    if path.suffix.lower() == ".txt" and path.is_file():
        reading.claimed.add(reading.resolved(str(path)))
        return _in_list(path, reading)
    raise reading.document.wrong(key, f"leads to {path}, which is neither a folder, a .txt list file nor a COCO .json")


def _in_folder(folder: Path, reading: _Reading) -> Iterator[str]:
    """The pictures below a folder in the order of their paths, through links too. What is hidden is no part of it."""
    for path in sorted(_files_below(folder, reading.aside)):
        suffix = path.suffix.lower()
        if suffix in SUFFIXES:
            yield str(path)
        elif suffix in FOREIGN:
            what = f"has the suffix {suffix}; only {', '.join(SUFFIXES)} are read: convert it or take it away"
            reading.problems.add(str(path), what)
        elif path.is_symlink() and not path.exists():
            reading.problems.add(str(path), "is a link that leads nowhere")
        elif suffix == SUFFIX:
            reading.texts.append(str(path))
        else:
            reading.aside.note("other file", str(path))


def _files_below(folder: Path, aside: Aside) -> Iterator[Path]:
    """The files below a folder, through links too, each folder once. OSError where a folder cannot be read."""
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, onerror=_fail, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:  # a link that leads back up, or to a folder beside this one
            aside.note("folder again", place)
            folders.clear()
            continue
        seen.add(real)
        hidden = sorted(name for name in folders if _is_hidden(name, HIDDEN_FOLDERS))
        for name in hidden:
            aside.note("hidden folder", str(Path(place, name)))
        folders[:] = sorted(set(folders).difference(hidden))
        for name in sorted(names):
            if _is_hidden(name, HIDDEN_FILES):
                aside.note("hidden file", str(Path(place, name)))
            else:
                yield Path(place, name)


def _is_hidden(name: str, known: Collection[str]) -> bool:
    """Whether a file or folder is not meant to be seen, by its name. `known`: names that others than people give."""
    return name.startswith(".") or name.lower() in known


def _fail(error: OSError) -> None:
    raise error


def _note_unclaimed(reading: _Reading) -> None:
    """Note the label files that belong to no picture: beside pictures, and where labels are looked for."""
    texts = dict.fromkeys(map(reading.resolved, reading.texts))
    for folder in reading.label_folders:
        for place, folders, names in os.walk(folder, onerror=_fail) if folder.is_dir() else ():
            folders[:] = sorted(name for name in folders if not _is_hidden(name, HIDDEN_FOLDERS))
            kept = (
                name for name in sorted(names) if name.lower().endswith(SUFFIX) and not _is_hidden(name, HIDDEN_FILES)
            )
            texts.update(dict.fromkeys(reading.resolved(str(Path(place, name))) for name in kept))
    for text in texts:
        if text not in reading.claimed:
            reading.aside.note("unclaimed label", text)


def _in_list(path: Path, reading: _Reading) -> Iterator[str]:
    """The pictures of a list file, one path a line, absolute or relative to the file's folder or to the data set's."""
    problems = reading.problems
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
        candidates = [folder / name for folder in (path.parent, reading.root)]
        image = next((candidate for candidate in candidates if candidate.is_file()), None)
        if image is None:
            problems.add(where, f"leads to {candidates[0]}, which does not exist")
        else:
            yield str(image)


def _instances(reading: _Reading, key: str, path: Path) -> list[Labelled]:
    names, found = read_instances(path, reading.aside)
    if names != reading.classes:
        what = f"leads to {path}, whose categories, in the order of ids, are not those of 'names'"
        raise reading.document.wrong(key, what)
    return found
