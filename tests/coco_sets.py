"""Data sets in COCO's format that are hard to score, drawn from a seed alone, with detections in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy
from PIL import Image

from harness.cell.data.prepare import prepare
from harness.core.files import ROOT
from harness.core.preparation import PrepareRequest
from harness.core.settings import Shapes

GOLDEN = ROOT / "tests" / "golden" / "coco-figures.json"
"""By seed the twelve figures that pycocotools has for the set and the detections."""
SIZE = (320, 240)
PICTURES = 12
NAMES = ["null", "1", "true", "no, 2.0", "\u00e9t\u00e9 \U0001f41d"]
HIGHEST = 2**63 - 1

Ids = dict[str, list[int]]
KINDS: list[Ids] = [
    {"images": [0, 1, 2, 5, 8, 9, 10, 11, 12, 13, 40, 41], "categories": [0, 1, 2, 3, 4]},
    {"images": [*range(1000, 1000 + 7 * PICTURES, 7)], "categories": [1, 3, 4, 90, 7000]},
    # a double has no room for neighbours of this size
    {"images": [*range(HIGHEST - PICTURES, HIGHEST)], "categories": [*range(HIGHEST - 5, HIGHEST)]},
    {"images": [*range(-PICTURES, 0)], "categories": [-9, -2, 0, 5, 6]},
]
FIRST_ANNOTATIONS = (1, 900_100_398_742, 0, -10_000)


def draw(seed: int) -> tuple[dict[str, Any], list[list[float]]]:
    """A COCO document and rows (place of the picture in it from 1, x, y, width, height, score, class in the order of
    ids).

    Ids have holes, start anywhere and are in no order. There are crowds with several detections in them, objects to
    `ignore`, areas that are not their boxes', boxes without a size, boxes that leave their picture, pictures without
    annotations, equal scores, and more detections of a class in a picture than are counted.
    """
    random = numpy.random.RandomState(seed)
    ids = KINDS[seed % len(KINDS)]
    image_ids = [ids["images"][place] for place in random.permutation(PICTURES)]
    categories = [{"id": ids["categories"][kind], "name": NAMES[kind]} for kind in random.permutation(len(NAMES))]
    images = [
        {"id": identity, "file_name": f"{place}.png", "width": SIZE[0], "height": SIZE[1]}
        for place, identity in enumerate(image_ids)
    ]
    annotations: list[dict[str, Any]] = []
    found: list[list[float]] = []
    for place in range(PICTURES):
        for _ in range(0 if place == 3 else random.randint(1, 9)):
            kind = int(random.randint(len(NAMES)))
            box = a_box(random)
            annotations.append(
                {
                    "image_id": image_ids[place],
                    "category_id": ids["categories"][kind],
                    "bbox": box,
                    "area": box[2] * box[3] * float(random.uniform(0.2, 1)),
                    "iscrowd": int(random.random_sample() < 0.2),
                    "ignore": int(random.random_sample() < 0.2),
                }
            )
            for _ in range(random.randint(0, 4)):
                seen = kind if random.random_sample() < 0.8 else int(random.randint(len(NAMES)))
                moved = [float(side + random.normal(0, 0.08) * max(box[2:])) for side in box]
                found.append([place + 1, *moved[:2], *map(abs, moved[2:]), a_score(random), seen])
        for _ in range(120 if place == 5 else random.randint(0, 4)):
            kind = 2 if place == 5 else int(random.randint(len(NAMES)))
            found.append([place + 1, *a_box(random), a_score(random), kind])
    first = FIRST_ANNOTATIONS[seed % len(FIRST_ANNOTATIONS)]
    numbers = 1 + random.permutation(3 * len(annotations))[: len(annotations)]
    numbers[0] = 0
    for number, annotation in zip(numbers, annotations):
        annotation["id"] = first + int(number)
    return {"images": images, "annotations": annotations, "categories": categories}, found


def a_box(random: numpy.random.RandomState) -> list[float]:
    """x, y, width, height from 6 px to more than the picture; one in 20 has no width, one in 10 ends outside."""
    width, height = (float(numpy.exp(random.uniform(numpy.log(6), numpy.log(230)))) for _ in range(2))
    left, top = float(random.uniform(0, SIZE[0] - width)), float(random.uniform(0, max(1, SIZE[1] - height)))
    chance = random.random_sample()
    if chance < 0.05:
        width = 0.0
    elif chance < 0.15:
        left -= width / 2
    return [left, top, width, height]


def a_score(random: numpy.random.RandomState) -> float:
    """One of ten, so that many are equal."""
    return float(random.randint(1, 11)) / 10


def write(document: dict[str, Any], folder: Path) -> Path:
    """The document as validation file with its pictures, and a training file beside it: the path of that."""
    one = {"id": 1, "file_name": "one.png", "width": SIZE[0], "height": SIZE[1]}
    label = {"id": 1, "image_id": 1, "category_id": document["categories"][0]["id"], "bbox": [9, 9, 90, 90]}
    train = {**document, "images": [one], "annotations": [label]}
    (folder / "annotations").mkdir(parents=True)
    for split, content in (("train", train), ("val", document)):
        (folder / split).mkdir()
        (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(content), encoding="utf-8")
        for number, image in enumerate(content["images"]):
            Image.new("RGB", SIZE, (number, 0, 0)).save(folder / split / image["file_name"])
    return folder / "annotations" / "instances_train.json"


def prepared(document: dict[str, Any], folder: Path) -> Path:
    """The same, prepared: the path of its index."""
    data = write(document, folder / "set")
    shapes = Shapes(images=1, validation=1)
    return prepare(PrepareRequest(data=str(data), shapes=shapes, cache=str(folder / "cache"), workers=0))
