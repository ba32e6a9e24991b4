"""Data sets in COCO's format: a file annotations/instances_*.json and folders of pictures."""

from __future__ import annotations

from pathlib import Path

import msgspec

from harness.cell.data.listing import Labelled, Listing
from harness.core.errors import UsageError

PREFIX = "instances_"


class _Image(msgspec.Struct):
    id: int
    file_name: str
    width: int
    height: int


class _Annotation(msgspec.Struct):
    image_id: int
    category_id: int
    bbox: list[float]
    iscrowd: int = 0


class _Category(msgspec.Struct):
    id: int
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
    classes, train = read_instances(path)
    val_classes, val = read_instances(validation)
    if classes != val_classes:
        raise UsageError(f"{validation} has other categories than {path}: both must list the same ids and names.")
    root = path.resolve().parent.parent
    return Listing(name=root.name, classes=classes, train=train, val=val)


def read_instances(path: Path) -> tuple[list[str], list[Labelled]]:
    """Class names in the order of their ids, and the pictures of one COCO file in its order.

    Crowds are left out, boxes are cut at the picture's edges and empty ones dropped. UsageError names file and key.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_Instances)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}).") from error
    except msgspec.DecodeError as error:
        raise UsageError(f"{path} is not a COCO instances file: {error}.") from error
    classes = _numbered(path, "categories", [category.id for category in found.categories], order=True)
    numbers = _numbered(path, "images", [image.id for image in found.images], order=False)
    for number, image in enumerate(found.images):
        if image.width <= 0 or image.height <= 0:
            size = f"width {image.width} and height {image.height}"
            raise UsageError(f"{path}: images[{number}] has {size}; both must be greater than 0.")
    boxes: list[list[list[float]]] = [[] for _ in found.images]
    for number, annotation in enumerate(found.annotations):
        where = f"{path}: annotations[{number}]"
        if annotation.image_id not in numbers:
            raise UsageError(f"{where} belongs to image_id {annotation.image_id}, which is not among the images.")
        if annotation.category_id not in classes:
            raise UsageError(f"{where} has category_id {annotation.category_id}, which is not among the categories.")
        place = numbers[annotation.image_id]
        if not annotation.iscrowd:
            boxes[place].extend(_boxes(where, annotation, classes[annotation.category_id], found.images[place]))
    if not any(boxes):
        raise UsageError(f"{path}: annotations holds no object (crowds and boxes outside their picture do not count).")
    names = {category.id: category.name for category in found.categories}
    folder = _folder(path, found.images)
    pictures = [
        Labelled(str(folder / image.file_name), rows, (image.width, image.height))
        for image, rows in zip(found.images, boxes)
    ]
    return [names[identity] for identity in classes], pictures


def _numbered(path: Path, key: str, identities: list[int], order: bool) -> dict[int, int]:
    """Each id's place, in the order of the file or of the ids; UsageError when there is none or one occurs twice."""
    if not identities:
        raise UsageError(f"{path} has no {key}: the list is empty.")
    places = {identity: place for place, identity in enumerate(sorted(identities) if order else identities)}
    if len(places) < len(identities):
        twice = next(identity for identity in places if identities.count(identity) > 1)
        raise UsageError(f"{path}: {key} has the id {twice} more than once.")
    return places


def _boxes(where: str, annotation: _Annotation, kind: int, image: _Image) -> list[list[float]]:
    """The annotation's row, normalised, in a list; the list is empty when nothing of it lies in the picture."""
    if len(annotation.bbox) != 4:
        raise UsageError(f"{where} has a bbox of {len(annotation.bbox)} numbers; it needs 4 (x, y, width, height).")
    x, y, width, height = annotation.bbox
    left, right = (min(max(edge, 0.0), image.width) / image.width for edge in (x, x + width))
    top, bottom = (min(max(edge, 0.0), image.height) / image.height for edge in (y, y + height))
    if right <= left or bottom <= top:
        return []
    return [[float(kind), (left + right) / 2, (top + bottom) / 2, right - left, bottom - top]]


def _folder(path: Path, images: list[_Image]) -> Path:
    """The folder that the file names start from: the first of the usual ones that holds the first picture."""
    here = path.absolute().parent
    split = path.stem[len(PREFIX) :] if path.stem.startswith(PREFIX) else path.stem
    candidates = (here.parent / split, here.parent / "images" / split, here)
    for candidate in candidates:
        if (candidate / images[0].file_name).is_file():
            return candidate
    tried = ", ".join(str(candidate) for candidate in candidates)
    raise UsageError(f"{path}: the picture {images[0].file_name} of images[0] is in none of these folders: {tried}.")
