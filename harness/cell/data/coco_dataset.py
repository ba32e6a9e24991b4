"""Data sets in COCO's format: a file annotations/instances_*.json and folders of pictures."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Optional, Union

import msgspec
from msgspec import Meta

from harness.cell.data.index import Annotation, Truth
from harness.cell.data.labels import TOLERANCE
from harness.cell.data.listing import Labelled, Listing
from harness.cell.data.summary import Aside
from harness.core.errors import UsageError
from harness.core.files import spelt_out

PREFIX = "instances_"
Id = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]  # 64 bits, as numpy has them and so COCO's tools
LONGEST_SIDE = 10**6  # pixels; no format that is read has longer ones


class _Image(msgspec.Struct):
    id: Id
    file_name: str
    width: int
    height: int


class _Annotation(msgspec.Struct):
    image_id: int
    category_id: int
    bbox: list[float]
    iscrowd: Union[bool, int] = 0
    area: Optional[float] = None
    id: Optional[Id] = None


class _Category(msgspec.Struct):
    id: Id
    name: str


class _Instances(msgspec.Struct):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


def read_coco_dataset(path: Path) -> Listing:
    """The data set of `…/annotations/instances_train*.json`.

    Its validation file lies beside it and has the same name with val for train. UsageError names the file and the key
    that is wrong.
    """
    if "train" not in path.name:
        raise UsageError(
            f"{path} has no 'train' in its name, so its validation file cannot be found: "
            "give instances_train….json, or a data.yaml that names both."
        )
    before, after = path.name.rsplit("train", 1)
    validation = path.with_name(f"{before}val{after}")
    if not validation.is_file():
        raise UsageError(
            f"{path} needs its validation file {validation}, which does not exist: "
            "put it there, or give a data.yaml that names both."
        )
    aside = Aside()
    classes, train = read_instances(path, aside)
    val_classes, val = read_instances(validation, aside)
    if classes != val_classes:
        raise UsageError(f"{validation} has other categories than {path}: both must list the same ids and names.")
    root = path.resolve().parent.parent
    return Listing(spelt_out(root.name), classes, train, val, aside.noted())


def read_instances(path: Path, aside: Aside) -> tuple[list[str], list[Labelled]]:
    """Class names in the order of their ids, and the pictures of one COCO file in its order.

    Crowds are left out, boxes are cut at the picture's edges, and those dropped of which nothing lies in it; `aside`
    is told of all of them, and `truth` has them all as they stand. UsageError names file and key.
    """
    try:
        content = path.read_bytes()
        found = msgspec.json.decode(content, type=_Instances)
        _refuse_twice(path, content)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}).") from error
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not a COCO instances file: {error}.") from error
    classes = _numbered(path, "categories", [category.id for category in found.categories], order=True)
    numbers = _numbered(path, "images", [image.id for image in found.images], order=False)
    for number, image in enumerate(found.images):
        if not (0 < image.width <= LONGEST_SIDE and 0 < image.height <= LONGEST_SIDE):
            size = f"width {image.width} and height {image.height}"
            raise UsageError(f"{path}: images[{number}] has {size}; both must be from 1 to {LONGEST_SIDE}.")
    own_ids = _ids_of_annotations(path, found.annotations)
    boxes: list[list[list[float]]] = [[] for _ in found.images]
    truths = [Truth(image.id, []) for image in found.images]
    for number, annotation in enumerate(found.annotations):
        where = f"{path}: annotations[{number}]"
        if annotation.image_id not in numbers:
            raise UsageError(f"{where} belongs to image_id {annotation.image_id}, which is not among the images.")
        if annotation.category_id not in classes:
            raise UsageError(f"{where} has category_id {annotation.category_id}, which is not among the categories.")
        place = numbers[annotation.image_id]
        kind = classes[annotation.category_id]
        truths[place].annotations.append(_as_it_stands(where, annotation, own_ids[number], kind))
        if not annotation.iscrowd:
            boxes[place].extend(_boxes(where, annotation, kind, found.images[place], aside))
        else:
            aside.note("crowd", where)
    if not any(boxes):
        raise UsageError(f"{path}: annotations holds no object (crowds and boxes outside their picture do not count).")
    names = {category.id: category.name for category in found.categories}
    folder = _folder(path, found.images)
    categories = [*classes]
    pictures = [
        Labelled(str(folder / image.file_name), rows, (image.width, image.height), truth, categories)
        for image, rows, truth in zip(found.images, boxes, truths)
    ]
    return [names[identity] for identity in classes], pictures


def _refuse_twice(path: Path, content: bytes) -> None:
    """UsageError where one of the lists is there twice: readers of JSON take the last, and the first would be lost."""
    if all(content.count(f'"{name}"'.encode()) < 2 for name in _Instances.__struct_fields__):
        return  # reading all of a large file once more would take many seconds

    def once(pairs: list[tuple[str, Any]]) -> None:
        for name in _Instances.__struct_fields__:
            if [key for key, _ in pairs].count(name) > 1:
                raise UsageError(f"{path}: the key {name!r} is there twice: remove one of the two.")

    json.loads(content, object_pairs_hook=once, parse_int=str)  # keeps nothing of the objects


def _numbered(path: Path, key: str, identities: list[int], order: bool) -> dict[int, int]:
    """Each id's place, in the order of the file or of the ids; UsageError when there is none or one occurs twice."""
    if not identities:
        raise UsageError(f"{path} has no {key}: the list is empty.")
    places = {identity: place for place, identity in enumerate(sorted(identities) if order else identities)}
    if len(places) < len(identities):
        twice = next(identity for identity, count in Counter(identities).items() if count > 1)
        raise UsageError(f"{path}: {key} has the id {twice} more than once.")
    return places


def _ids_of_annotations(path: Path, annotations: list[_Annotation]) -> list[int]:
    """The ids of all annotations, or their numbers from 1 where not all have one: COCO's tools cannot read such a file.

    UsageError when an id occurs twice: COCO's tools take the one annotation for the other.
    """
    own = [annotation.id for annotation in annotations if annotation.id is not None]
    if own:
        _numbered(path, "annotations", own, order=False)
    return own if len(own) == len(annotations) else [*range(1, len(annotations) + 1)]


def _as_it_stands(where: str, annotation: _Annotation, identity: int, kind: int) -> Annotation:
    """The annotation for the scoring. COCO's tools read no `ignore`. Where there is no area, it is the box's."""
    if len(annotation.bbox) != 4:
        raise UsageError(f"{where} has a bbox of {len(annotation.bbox)} numbers; it needs 4 (x, y, width, height).")
    width, height = annotation.bbox[2:]
    if width < 0 or height < 0:
        raise UsageError(f"{where} has the bbox {annotation.bbox}, whose width or height is less than 0.")
    area = width * height if annotation.area is None else annotation.area
    if not all(map(math.isfinite, (area, annotation.bbox[0] + width, annotation.bbox[1] + height))):
        raise UsageError(f"{where} has the bbox {annotation.bbox}, whose edges or area are beyond all numbers.")
    return Annotation(identity, kind, annotation.bbox, area, bool(annotation.iscrowd))


def _boxes(where: str, annotation: _Annotation, kind: int, image: _Image, aside: Aside) -> list[list[float]]:
    """The annotation's row, normalised, in a list; the list is empty when nothing of it lies in the picture."""
    x, y, width, height = annotation.bbox
    left, right = (min(max(edge, 0.0), image.width) / image.width for edge in (x, x + width))
    top, bottom = (min(max(edge, 0.0), image.height) / image.height for edge in (y, y + height))
    if width == 0 or height == 0:
        aside.note("empty box", where)
        return []
    if right <= left or bottom <= top:
        aside.note("outside box", where)
        return []
    outside = max(-x / image.width, -y / image.height, (x + width) / image.width - 1, (y + height) / image.height - 1)
    if outside > TOLERANCE:
        aside.note("cut box", where)
    return [[float(kind), (left + right) / 2, (top + bottom) / 2, right - left, bottom - top]]


def _folder(path: Path, images: list[_Image]) -> Path:
    """The folder that the file names start from: the first of the usual ones that holds the first picture, or where
    that one is lost, any."""
    here = path.absolute().parent
    split = path.stem[len(PREFIX) :] if path.stem.startswith(PREFIX) else path.stem
    roots = (here.parent, here)
    candidates = [root / below for below in (split, f"images/{split}", "images", "") for root in roots]
    for names in (images[:1], images):
        for candidate in candidates:
            if any((candidate / image.file_name).is_file() for image in names):
                return candidate
    tried = ", ".join(str(candidate) for candidate in candidates)
    raise UsageError(f"{path}: the picture {images[0].file_name} of images[0] is in none of these folders: {tried}.")
