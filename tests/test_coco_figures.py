"""Figures equal pycocotools' on the user's own annotations: for every kind of set, and from the files that are kept.

Run as a program it writes the golden figures, which the tests inside the pins meet: they have no pycocotools.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
from importlib.metadata import version
from pathlib import Path

import numpy
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from harness.cell.data.index import read_index
from harness.cell.data.shapes import make_shapes
from harness.cell.scoring import figures, ground_truth, keep_document, results
from harness.core.settings import Shapes
from tests import coco_sets

GOLDEN_SEEDS = range(8)
EXACT = {"rel": 0, "abs": 1e-12}


def by_pycocotools(truth: Path, found: Path) -> list[float]:
    """The twelve figures of a results file (gzip) against an annotations file."""
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO(str(truth))
        evaluation = COCOeval(known, known.loadRes(json.loads(gzip.decompress(found.read_bytes()))), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) for value in evaluation.stats]


def unzipped(path: Path) -> Path:
    unzipped = path.with_suffix("")
    unzipped.write_bytes(gzip.decompress(path.read_bytes()))
    return unzipped


def test_what_is_compared_is_what_scores_in_the_pins(matrix) -> None:
    assert f"faster-coco-eval=={version('faster-coco-eval')}" in matrix.requirements


@pytest.mark.parametrize("seed", range(40))
def test_pycocotools_has_our_figures_on_the_users_own_annotations_and_on_those_that_are_kept(
    seed: int, tmp_path: Path
) -> None:
    document, rows = coco_sets.draw(seed)
    index = read_index(coco_sets.prepared(document, tmp_path))
    found = results(index.val, numpy.array(rows), index.categories)
    truth = ground_truth(index.val, index.classes, index.categories)
    keep_document(tmp_path / "found.json.gz", found)
    keep_document(tmp_path / "truth.json.gz", truth)
    ours = figures(truth, found)
    own = tmp_path / "set" / "annotations" / "instances_val.json"
    assert by_pycocotools(own, tmp_path / "found.json.gz") == pytest.approx(ours, **EXACT)
    assert by_pycocotools(unzipped(tmp_path / "truth.json.gz"), tmp_path / "found.json.gz") == pytest.approx(
        ours, **EXACT
    )


def test_pycocotools_has_our_figures_on_the_embedded_shapes(tmp_path: Path) -> None:
    index = make_shapes(tmp_path, Shapes(images=1, validation=40))
    random = numpy.random.RandomState(0)
    rows = [
        [number, *(one + random.normal(0, 2, 4)), random.randint(10) / 10, label]
        for number, item in enumerate(index.val, start=1)
        for label, cx, cy, w, h in item.boxes
        for one in [numpy.array([cx - w / 2, cy - h / 2, w, h]) * 64]
    ]
    found, truth = results(index.val, numpy.array(rows)), ground_truth(index.val, index.classes)
    keep_document(tmp_path / "found.json.gz", found)
    keep_document(tmp_path / "truth.json.gz", truth)
    ours = figures(truth, found)
    assert 0.05 < ours[0] < 0.95
    assert by_pycocotools(unzipped(tmp_path / "truth.json.gz"), tmp_path / "found.json.gz") == pytest.approx(
        ours, **EXACT
    )


def golden_figures(folder: Path) -> dict[str, list[float]]:
    """By seed the figures of pycocotools, from the drawn set alone."""
    made = {}
    for seed in GOLDEN_SEEDS:
        document, rows = coco_sets.draw(seed)
        kinds = sorted(one["id"] for one in document["categories"])
        found = [
            {"image_id": document["images"][place - 1]["id"], "category_id": kinds[kind], "bbox": box, "score": score}
            for place, *box, score, kind in rows
        ]
        (folder / "truth.json").write_text(json.dumps(document))
        keep_document(folder / "found.json.gz", found)
        made[str(seed)] = by_pycocotools(folder / "truth.json", folder / "found.json.gz")
    return made


def test_the_golden_figures_are_those_of_pycocotools(tmp_path: Path) -> None:
    written = json.loads(coco_sets.GOLDEN.read_text())
    made = golden_figures(tmp_path)
    assert written.keys() == made.keys()
    for seed, expected in made.items():
        assert written[seed] == pytest.approx(expected, **EXACT)
        assert 0.05 < expected[0] < 0.95


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as temporary:
        coco_sets.GOLDEN.write_text(json.dumps(golden_figures(Path(temporary)), indent=1) + "\n")
