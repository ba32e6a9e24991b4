"""COCO figures, and the files that any COCO tool can score again."""

import gzip
import json

import msgspec
import numpy
import pytest

from harness.cell.data.index import Annotation, Item, Truth, read_index
from harness.cell.scoring import digest_of_detections, figures, ground_truth, keep_document, results, score
from tests import coco_sets

CLASSES = ["crow", "owl"]


@pytest.mark.parametrize("seed", [int(seed) for seed in json.loads(coco_sets.GOLDEN.read_text())])
def test_the_twelve_figures_of_a_users_set_are_those_of_pycocotools(seed, tmp_path):
    expected = json.loads(coco_sets.GOLDEN.read_text())[str(seed)]
    document, rows = coco_sets.draw(seed)
    index = read_index(coco_sets.prepared(document, tmp_path))
    found = numpy.array(rows)
    ours = results(index.val, found, index.categories)
    assert figures(document, ours) == pytest.approx(expected, rel=0, abs=1e-12)
    kept = ground_truth(index.val, index.classes, index.categories)
    assert figures(kept, ours) == pytest.approx(expected, rel=0, abs=1e-12)
    scored = score(index.val, index.classes, found)
    assert [scored.map50_95, scored.map50] == pytest.approx(expected[:2], rel=0, abs=1e-12)


def picture(annotations, image_id=7, boxes=()):
    return Item("/pictures/a.png", 100, 100, list(boxes), truth=Truth(image_id, annotations))


OBJECT = Annotation(1, 0, [10.0, 10.0, 20.0, 20.0], 400.0, crowd=False)
CROWD = Annotation(2, 0, [50.0, 50.0, 40.0, 40.0], 1600.0, crowd=True)
RIGHT = [1, 10, 10, 20, 20, 0.5, 0]
IN_THE_CROWD = [[1, 55, 55, 8, 8, 0.9, 0], [1, 70, 70, 10, 10, 0.8, 0]]


def test_detections_in_a_crowd_are_neither_right_nor_wrong():
    found = numpy.array([*IN_THE_CROWD, RIGHT])
    assert score([picture([OBJECT, CROWD])], CLASSES, found) == pytest.approx((1.0, 1.0, 1.0))
    assert score([picture([OBJECT])], CLASSES, found) == pytest.approx((1 / 3, 1 / 3, 1 / 3))


def test_a_crowd_is_nothing_to_be_found():
    assert score([picture([OBJECT, CROWD])], CLASSES, numpy.array([RIGHT])).map50 == pytest.approx(1.0)
    assert score([picture([CROWD])], CLASSES, numpy.array([RIGHT])) == (0.0, 0.0, 0.0)


def test_an_object_without_a_size_is_one_that_is_not_found():
    flat = Annotation(3, 1, [5.0, 5.0, 0.0, 9.0], 0.0, crowd=False)
    found = numpy.array([RIGHT, [1, 5, 5, 1, 9, 0.9, 1]])
    assert score([picture([OBJECT, flat])], CLASSES, found).map50 == pytest.approx(0.5)


def test_size_ranges_take_the_area_of_the_annotation_and_not_of_its_box():
    large = msgspec.structs.replace(OBJECT, area=100.0**2)
    document = ground_truth([picture([large])], CLASSES)
    found = results([picture([large])], numpy.array([RIGHT]))
    assert figures(document, found)[3:6] == pytest.approx([-1, -1, 1])


def test_an_object_with_the_id_0_is_never_found_as_by_cocos_tools_and_one_below_is():
    for identity, expected in ((0, 0.0), (-5, 1.0), (2**62, 1.0)):
        one = msgspec.structs.replace(OBJECT, id=identity)
        assert score([picture([one])], CLASSES, numpy.array([RIGHT])).map50 == pytest.approx(expected)


def test_pictures_whose_ids_are_too_large_for_doubles_are_told_apart():
    items = [picture([OBJECT], 2**62), picture([msgspec.structs.replace(OBJECT, id=2)], 2**62 + 1)]
    assert score(items, CLASSES, numpy.array([RIGHT, [2, *RIGHT[1:]]])).map50 == pytest.approx(1.0)


def test_of_equal_scores_the_one_in_the_picture_of_the_lower_id_counts_first():
    items = [picture([], 9), picture([OBJECT], 4)]
    wrong, right = [1, 60, 60, 20, 20, 0.5, 0], [2, *RIGHT[1:]]
    assert score(items, CLASSES, numpy.array([wrong, right])).map50 == pytest.approx(1.0)
    swapped = [picture([], 4), picture([OBJECT], 9)]
    assert score(swapped, CLASSES, numpy.array([wrong, right])).map50 == pytest.approx(0.5)


def test_what_is_written_has_the_ids_of_the_users_file():
    items = [picture([OBJECT, CROWD], 1000), picture([], 999)]
    document = ground_truth(items, CLASSES, [3, 90])
    assert document["categories"] == [{"id": 3, "name": "crow"}, {"id": 90, "name": "owl"}]
    assert [image["id"] for image in document["images"]] == [1000, 999]
    assert document["annotations"] == [
        {"id": 1, "image_id": 1000, "category_id": 3, "bbox": [10, 10, 20, 20], "area": 400, "iscrowd": 0},
        {"id": 2, "image_id": 1000, "category_id": 3, "bbox": [50, 50, 40, 40], "area": 1600, "iscrowd": 1},
    ]
    found = results(items, numpy.array([[2, 1.5, 2, 3, 4, 0.25, 1]]), [3, 90])
    assert found == [{"image_id": 999, "category_id": 90, "bbox": [1.5, 2, 3, 4], "score": 0.25}]


def test_without_ids_classes_count_from_0_and_pictures_and_annotations_from_1():
    first = Item("/pictures/a/x.png", 40, 20, [[1.0, 0.5, 0.5, 0.5, 0.5], [0.0, 0.25, 0.5, 0.5, 1.0]])
    second = Item("/pictures/b/x.png", 10, 10, [[0.0, 0.5, 0.5, 1.0, 1.0]])
    document = ground_truth([first, second], CLASSES)
    assert document == {
        "images": [
            {"id": 1, "file_name": "a/x.png", "width": 40, "height": 20},
            {"id": 2, "file_name": "b/x.png", "width": 10, "height": 10},
        ],
        "categories": [{"id": 0, "name": "crow"}, {"id": 1, "name": "owl"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 5, 20, 10], "area": 200, "iscrowd": 0},
            {"id": 2, "image_id": 1, "category_id": 0, "bbox": [0, 0, 20, 20], "area": 400, "iscrowd": 0},
            {"id": 3, "image_id": 2, "category_id": 0, "bbox": [0, 0, 10, 10], "area": 100, "iscrowd": 0},
        ],
    }


def test_equal_documents_make_equal_files(tmp_path):
    keep_document(tmp_path / "a", [{"score": 0.1 + 0.2}])
    keep_document(tmp_path / "b", [{"score": 0.1 + 0.2}])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert json.loads(gzip.decompress((tmp_path / "a").read_bytes())) == [{"score": 0.1 + 0.2}]


def test_the_digest_of_detections_sees_one_changed_number_their_order_and_their_number():
    found = numpy.arange(14.0).reshape(2, 7)
    changed = found.copy()
    changed[1, 6] += 1e-12
    others = [changed, found[::-1], found[:1], found[:0]]
    assert len({digest_of_detections(one) for one in (found, *others)}) == 5
    assert digest_of_detections(found.copy()) == digest_of_detections(found)


def test_no_detections_score_zero():
    assert score([picture([OBJECT])], CLASSES, numpy.zeros((0, 7))) == (0.0, 0.0, 0.0)
    assert score([], CLASSES, numpy.zeros((0, 7))) == (0.0, 0.0, 0.0)
