"""Small data sets and pictures, written by code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable

import numpy
import pytest
from PIL import Image

from harness.cell.data.index import DataIndex
from harness.cell.data.shapes import make_shapes
from harness.core.settings import Shapes


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> DataIndex:
    """24 pictures of shapes to train on and 10 to evaluate on, 64 px."""
    return make_shapes(tmp_path_factory.mktemp("shapes"), Shapes(images=24, validation=10))


@pytest.fixture
def picture() -> Callable[..., Path]:
    """Writes a colourful picture of a size; the suffix decides the format."""

    def write(path: Path, width: int = 48, height: int = 32, seed: int = 0, **options: Any) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        small = numpy.random.RandomState(seed).randint(0, 256, (4, 6, 3)).astype(numpy.uint8)
        Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).save(path, **options)
        return path

    return write


@pytest.fixture
def yolo(tmp_path: Path, picture: Callable[..., Path]) -> Path:
    """A data set in the YOLO layout, three pictures to train on and two to evaluate on: its data.yaml."""
    root = tmp_path / "birds"
    for split, names in (("train", "abc"), ("val", "de")):
        for seed, name in enumerate(names):
            picture(root / "images" / split / f"{name}.jpg", seed=seed)
            label = root / "labels" / split / f"{name}.txt"
            label.parent.mkdir(parents=True, exist_ok=True)
            label.write_text("0 0.5 0.5 0.25 0.5\n1 0.25 0.25 0.1 0.1\n")
    (root / "data.yaml").write_text("train: images/train\nval: images/val\nnc: 2\nnames: [crow, owl]\n")
    return root / "data.yaml"


@pytest.fixture
def coco(tmp_path: Path, picture: Callable[..., Path]) -> Path:
    """A data set in COCO's format, 48 x 32 px pictures: its annotations/instances_train2017.json."""
    root = tmp_path / "coco"
    (root / "annotations").mkdir(parents=True)
    for split in ("train2017", "val2017"):
        images = [{"id": 10 + n, "file_name": f"{n:03d}.jpg", "width": 48, "height": 32} for n in range(2)]
        for image in images:
            picture(root / split / str(image["file_name"]), seed=int(str(image["id"])))
        annotations = [
            {"id": 1, "image_id": 11, "category_id": 7, "bbox": [12, 8, 24, 16], "iscrowd": 0, "segmentation": []},
            {"id": 2, "image_id": 11, "category_id": 3, "bbox": [-6, 16, 18, 32], "iscrowd": 0},
            {"id": 3, "image_id": 10, "category_id": 3, "bbox": [0, 0, 48, 32], "iscrowd": 1},
            {"id": 4, "image_id": 10, "category_id": 3, "bbox": [48, 4, 5, 5]},
        ]
        categories = [{"id": 7, "name": "owl", "supercategory": "bird"}, {"id": 3, "name": "crow"}]
        document = {"info": {}, "images": images, "annotations": annotations, "categories": categories}
        (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(document))
    return root / "annotations" / "instances_train2017.json"
