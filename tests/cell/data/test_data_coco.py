"""Data sets in COCO's format."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Callable

import pytest

from harness.cell.data.coco_dataset import read_coco_dataset
from harness.cell.data.index import Annotation, Truth
from harness.core.errors import UsageError


def change(path: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))


def test_both_splits_are_read_with_categories_in_the_order_of_their_ids(coco: Path) -> None:
    listing = read_coco_dataset(coco)
    assert (listing.name, listing.classes) == ("coco", ["crow", "owl"])
    for split, items in (("train2017", listing.train), ("val2017", listing.val)):
        assert [item.path for item in items] == [str(coco.parent.parent / split / f"00{n}.jpg") for n in range(2)]
        assert [item.size for item in items] == [(48, 32)] * 2


def test_boxes_are_cut_at_the_edges_and_crowds_and_empty_boxes_left_out(coco: Path) -> None:
    first, second = read_coco_dataset(coco).train
    assert first.boxes == []
    assert second.boxes == [[1.0, 0.5, 0.5, 0.5, 0.5], [0.0, 0.125, 0.75, 0.25, 0.5]]


def test_what_is_scored_against_are_all_annotations_as_they_stand(coco: Path) -> None:
    first, second = read_coco_dataset(coco).val
    crowd = Annotation(3, 0, [0.0, 0.0, 48.0, 32.0], 1536.0, crowd=True)
    outside = Annotation(4, 0, [48.0, 4.0, 5.0, 5.0], 25.0, crowd=False)
    assert first.truth == Truth(10, [crowd, outside])
    whole = Annotation(1, 1, [12.0, 8.0, 24.0, 16.0], 384.0, crowd=False)
    cut = Annotation(2, 0, [-6.0, 16.0, 18.0, 32.0], 576.0, crowd=False)
    assert second.truth == Truth(11, [whole, cut])
    assert first.categories == second.categories == [3, 7]


def test_the_area_is_the_annotations_where_it_has_one(coco: Path) -> None:
    change(coco, lambda d: d["annotations"][0].update(area=100))
    assert [one.area for one in read_coco_dataset(coco).train[1].truth.annotations] == [100.0, 576.0]


def test_a_crowd_may_be_marked_by_a_truth_value(coco: Path) -> None:
    change(coco, lambda d: d["annotations"][0].update(iscrowd=True))
    second = read_coco_dataset(coco).train[1]
    assert [one.crowd for one in second.truth.annotations] == [True, False]
    assert len(second.boxes) == 1


def test_annotations_of_which_not_all_have_an_id_are_numbered(coco: Path) -> None:
    change(coco, lambda d: d["annotations"][3].pop("id"))
    pictures = read_coco_dataset(coco).train
    assert [[one.id for one in picture.truth.annotations] for picture in pictures] == [[3, 4], [1, 2]]


def test_ids_may_be_0_negative_or_as_large_as_64_bits_hold(coco: Path) -> None:
    def renumber(document: dict[str, Any]) -> None:
        document["images"][0].update(id=0)
        document["images"][1].update(id=2**63 - 1)
        document["categories"][0].update(id=-(2**63))
        for annotation in document["annotations"]:
            annotation["id"] -= 2
            annotation["image_id"] = {10: 0, 11: 2**63 - 1}[annotation["image_id"]]
            annotation["category_id"] = {3: 3, 7: -(2**63)}[annotation["category_id"]]

    for path in (coco, coco.with_name("instances_val2017.json")):
        change(path, renumber)
    listing = read_coco_dataset(coco)
    assert listing.classes == ["owl", "crow"]
    first, second = listing.val
    assert (first.truth.image_id, second.truth.image_id) == (0, 2**63 - 1)
    assert [one.id for one in (*first.truth.annotations, *second.truth.annotations)] == [1, 2, -1, 0]
    assert second.categories == [-(2**63), 3]


def test_what_is_left_out_is_said(coco: Path) -> None:
    change(coco, lambda d: d["annotations"].append({"image_id": 11, "category_id": 3, "bbox": [1, 2, 0, 5]}))
    left_out = {one.kind: (one.count, one.example) for one in read_coco_dataset(coco).left_out}
    assert left_out == {
        "crowd": (2, f"{coco}: annotations[2]"),
        "cut box": (2, f"{coco}: annotations[1]"),
        "outside box": (2, f"{coco}: annotations[3]"),
        "empty box": (1, f"{coco}: annotations[4]"),
    }


def test_a_box_that_sticks_out_by_rounding_is_no_cut_one(coco: Path) -> None:
    change(coco, lambda d: d["annotations"][1].update(bbox=[0, 16, 18, 16.01]))
    assert [one.count for one in read_coco_dataset(coco).left_out if one.kind == "cut box"] == [1]  # that of val


@pytest.mark.parametrize("place", ["images/train2017", "annotations", "images", ".", "annotations/images"])
def test_pictures_are_found_in_the_usual_folders(coco: Path, place: str) -> None:
    root = coco.parent.parent
    (root / place).mkdir(parents=True, exist_ok=True)
    for picture in (root / "train2017").iterdir():
        shutil.move(str(picture), str(root / place))
    assert Path(read_coco_dataset(coco).train[0].path) == root / place / "000.jpg"


@pytest.mark.parametrize("folder", ["images", "train2017", "images/train2017"])
def test_file_names_may_begin_with_the_folder_of_the_pictures(coco: Path, folder: str) -> None:
    root = coco.parent.parent
    for split in ("train2017", "val2017"):
        place = root / folder.replace("train2017", split)
        place.mkdir(parents=True, exist_ok=True)
        for picture in (root / split).iterdir():
            picture.rename(place / f"{split}-{picture.name}")
        at = coco.with_name(f"instances_{split}.json")
        for image in (0, 1):
            name = f"{folder.replace('train2017', split)}/{split}-00{image}.jpg"
            change(at, lambda d: d["images"][image].update(file_name=name))  # noqa: B023
    listing = read_coco_dataset(coco)
    assert all(Path(item.path).is_file() for item in (*listing.train, *listing.val))
    assert len(listing.train[1].boxes) == 2


def test_the_folder_is_found_also_where_the_first_picture_is_lost(coco: Path) -> None:
    first = coco.parent.parent / "train2017" / "000.jpg"
    first.unlink()
    assert [item.path for item in read_coco_dataset(coco).train] == [str(first), str(first.with_name("001.jpg"))]


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        (lambda d: d.pop("annotations"), "missing required field `annotations`"),
        (lambda d: d["annotations"][1].pop("bbox"), r"`bbox`.*\$\.annotations\[1\]|\$\.annotations\[\.\.\.\]"),
        (lambda d: d["annotations"][0].update(bbox=[1, 2, 3]), r"annotations\[0\] has a bbox of 3 numbers"),
        (lambda d: d["annotations"][0].update(bbox="1 2 3 4"), "bbox"),
        (lambda d: d["annotations"][2].update(image_id=99), r"annotations\[2\] belongs to image_id 99"),
        (lambda d: d["annotations"][2].update(category_id=99), r"annotations\[2\] has category_id 99"),
        (lambda d: d["images"][1].update(width=0), r"images\[1\] has width 0"),
        (lambda d: d["images"][1].update(id=10), "images has the id 10 more than once"),
        (lambda d: d["annotations"][1].update(id=4), "annotations has the id 4 more than once"),
        (lambda d: d["annotations"][2].update(bbox=[0, 0, 9]), r"annotations\[2\] has a bbox of 3 numbers"),
        (lambda d: d["images"][1].update(id=2**63), r"Expected `int` <= 9223372036854775807"),
        (lambda d: d["categories"].clear(), "has no categories"),
        (lambda d: d["images"].clear(), "has no images"),
        (lambda d: d["annotations"].clear(), "holds no object"),
        (lambda d: [i.update(file_name="no.jpg") for i in d["images"]], r"no\.jpg of images\[0\] is in none of these"),
        (lambda d: d["images"][1].update(width=10**400), r"images\[1\] has width 10+ and"),
        (lambda d: d["annotations"][0].update(bbox=[36, 8, -24, 16]), r"annotations\[0\] has the bbox .* less than 0"),
        (lambda d: d["annotations"][0].update(bbox=[36, 8, 24, -16]), r"annotations\[0\] has the bbox .* less than 0"),
        (lambda d: d["annotations"][0].update(bbox=[0, 0, 1e200, 1e200]), r"annotations\[0\] .* beyond all numbers"),
        (lambda d: d["annotations"][0].update(bbox=[1e308, 0, 1e308, 1]), r"annotations\[0\] .* beyond all numbers"),
    ],
)
def test_a_wrong_file_is_refused_with_its_path_and_key(coco: Path, edit: Callable[..., Any], complaint: str) -> None:
    change(coco, edit)
    with pytest.raises(UsageError, match=complaint) as caught:
        read_coco_dataset(coco)
    assert str(caught.value).startswith(str(coco))


def test_broken_json_is_refused(coco: Path) -> None:
    coco.write_text(coco.read_text()[:100])
    with pytest.raises(UsageError, match="is not a COCO instances file"):
        read_coco_dataset(coco)


def test_a_list_that_is_there_twice_is_refused(coco: Path) -> None:
    coco.write_text(coco.read_text().replace('"images": [', '"images": [], "images": [', 1))
    with pytest.raises(UsageError, match="the key 'images' is there twice: remove one of the two"):
        read_coco_dataset(coco)


def test_an_object_may_have_a_key_that_is_called_as_a_list_is(coco: Path) -> None:
    change(coco, lambda d: d["images"][0].update(images=[], categories=[{"id": 1}]))
    coco.write_text(coco.read_text().replace('"info": {}', f'"info": {"1" * 5000}'))
    assert len(read_coco_dataset(coco).train) == 2


def test_json_that_is_nested_without_end_is_refused(coco: Path) -> None:
    coco.write_text('{"info": ' + "[" * 100_000)
    with pytest.raises(UsageError, match="is not a COCO instances file"):
        read_coco_dataset(coco)


def test_both_splits_must_have_the_same_categories(coco: Path) -> None:
    change(coco.with_name("instances_val2017.json"), lambda d: d["categories"][0].update(name="eagle"))
    with pytest.raises(UsageError, match="has other categories than"):
        read_coco_dataset(coco)


def test_a_missing_validation_file_is_named(coco: Path) -> None:
    coco.with_name("instances_val2017.json").unlink()
    with pytest.raises(UsageError, match=r"needs its validation file .*instances_val2017\.json"):
        read_coco_dataset(coco)


def test_a_file_without_train_in_its_name_is_refused(coco: Path) -> None:
    with pytest.raises(UsageError, match="has no 'train' in its name"):
        read_coco_dataset(coco.rename(coco.with_name("all.json")))
