"""COCO figures of detections, and the files from which any COCO tool can take them again. Without torch.

The figures are faster-coco-eval's, at one version on all pins, and equal pycocotools' on the same two files. These hold
what the user's own COCO file says, ids included.
"""

from __future__ import annotations

import gzip
import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Optional

import msgspec
import numpy as np
from numpy.typing import NDArray

from harness.cell.data.index import Annotation, Item
from harness.cell.variables import variables_kept
from harness.core.files import write_atomically

with variables_kept():  # it imports OpenCV, where a model has that in its requirements
    from faster_coco_eval import COCO, COCOeval_faster

Detections = NDArray[np.float64]
"""Rows of (picture's number from 1, x, y, width, height, score, class), in pixels of the original picture."""

Document = dict[str, Any]


class Score(NamedTuple):
    """COCO average precision over all classes, as fractions; 0 where nothing was found."""

    map50: float
    map50_95: float
    map75: float


def no_detections() -> Detections:
    """The empty table of detections."""
    return np.zeros((0, 7))


def score(items: Sequence[Item], classes: Sequence[str], found: Detections) -> Score:
    """The COCO figures of detections against what is known of `items`."""
    if not len(found):
        return Score(0.0, 0.0, 0.0)
    truth = ground_truth(items, classes)
    if not truth["annotations"]:
        return Score(0.0, 0.0, 0.0)
    map50_95, map50, map75, *_ = figures(truth, results(items, found))
    return Score(*(max(value, 0.0) for value in (map50, map50_95, map75)))


def figures(truth: Document, found: Sequence[Document]) -> list[float]:
    """The twelve COCO figures of a results list, of at least one detection, against a data set in COCO's format.

    In COCO's order: AP, AP50, AP75, AP of small, medium and large objects; AR of 1, 10 and 100 detections a picture, AR
    of small, medium and large objects. -1 where there is no such object.
    """
    # faster-coco-eval keeps ids as doubles and takes a negative one for 0, so it is given ranks: COCO's tools use ids
    # for their order alone. But to them an annotation with the id 0 is one that is never found, and stays so.
    images = _ranks(image["id"] for image in truth["images"])
    categories = _ranks(category["id"] for category in truth["categories"])

    def placed(one: Document) -> Document:
        return {**one, "image_id": images[one["image_id"]], "category_id": categories[one["category_id"]]}

    numbered = enumerate(truth["annotations"], start=1)
    ranked = {
        "images": [{**image, "id": images[image["id"]]} for image in truth["images"]],
        "categories": [{**category, "id": categories[category["id"]]} for category in truth["categories"]],
        "annotations": [{**placed(one), "id": number if one["id"] else 0} for number, one in numbered],
    }
    known = COCO(ranked)
    evaluation = COCOeval_faster(known, known.loadRes([placed(one) for one in found]), iouType="bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return [float(value) for value in evaluation.stats]


def _ranks(identities: Iterable[int]) -> dict[int, int]:
    return {identity: rank for rank, identity in enumerate(sorted(identities), start=1)}


def ground_truth(items: Sequence[Item], classes: Sequence[str], categories: Optional[Sequence[int]] = None) -> Document:
    """What is known of `items` as a data set in COCO's format, with the ids of the COCO file that it comes from.

    `categories`: the ids of the classes. Where there is no such file classes count from 0, all else from 1. A picture's
    `file_name` starts from the folder that all of them lie in.
    """
    ids = categories or range(len(classes))
    numbers = itertools.count(1)
    folder = os.path.commonpath([Path(item.path).parent for item in items])
    images, annotations = [], []
    for image_id, item in zip(_image_ids(items), items):
        name = os.path.relpath(item.path, folder)
        images.append({"id": image_id, "file_name": name, "width": item.width, "height": item.height})
        for one in item.truth.annotations if item.truth else _as_annotations(item):
            annotations.append(
                {
                    "id": next(numbers) if one.id is None else one.id,
                    "image_id": image_id,
                    "category_id": ids[one.label],
                    "bbox": one.bbox,
                    "area": one.area,
                    "iscrowd": int(one.crowd),
                }
            )
    named = [{"id": identity, "name": name} for identity, name in zip(ids, classes)]
    return {"images": images, "categories": named, "annotations": annotations}


def results(items: Sequence[Item], found: Detections, categories: Optional[Sequence[int]] = None) -> list[Document]:
    """Detections in `items` as a COCO results list, with the same ids."""
    images = _image_ids(items)
    return [
        {
            "image_id": images[int(number) - 1],
            "category_id": categories[int(label)] if categories else int(label),
            "bbox": box,
            "score": confidence,
        }
        for number, *box, confidence, label in found.tolist()
    ]


def _image_ids(items: Sequence[Item]) -> list[int]:
    return [item.truth.image_id if item.truth else number for number, item in enumerate(items, start=1)]


def _as_annotations(item: Item) -> Iterator[Annotation]:
    """What a picture's boxes say, in pixels."""
    for row in item.boxes:
        corner = [(row[1] - row[3] / 2) * item.width, (row[2] - row[4] / 2) * item.height]
        sides = [row[3] * item.width, row[4] * item.height]
        area = row[3] * item.width * row[4] * item.height
        yield Annotation(None, int(row[0]), [*corner, *sides], area, crowd=False)


def digest_of_detections(found: Detections) -> str:
    """SHA-256 over their number and their little-endian bytes, in order."""
    digest = hashlib.sha256(f"{len(found)}\n".encode())
    digest.update(np.ascontiguousarray(found, dtype="<f8").tobytes())
    return digest.hexdigest()


def keep_document(path: Path, document: object) -> None:
    """Write a document of COCO's formats, as JSON (gzip)."""
    # no time stamp inside, so that equal documents make equal files
    write_atomically(path, gzip.compress(msgspec.json.encode(document), mtime=0))
