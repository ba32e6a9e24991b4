"""The index: written whole, read strictly."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from harness.cell.data.index import SCHEMA, Annotation, DataIndex, Item, Truth, digest_of, read_index, write_index
from harness.cell.data.summary import summary_of
from harness.core.errors import UsageError

ITEM = Item(path="/pictures/a.png", width=40, height=30, boxes=[[1.0, 0.1 + 0.2, 0.5, 0.25, 0.125]], digest="c")
TRUTH = Truth(1000, [Annotation(7, 1, [1.5, 2.0, 0.0, 4.0], 3.25, crowd=True)])
SCORED = msgspec.structs.replace(ITEM, truth=TRUTH)
CLASSES = ["crow", "owl"]
SUMMARY = summary_of(CLASSES, [ITEM], [ITEM])
INDEX = DataIndex(SCHEMA, "birds", CLASSES, [ITEM], [SCORED], SUMMARY, digest="d", categories=[3, 90])


def test_an_index_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_index(tmp_path / "index.json", INDEX)
    assert read_index(tmp_path / "index.json") == INDEX


def test_relative_pictures_are_found_from_the_folder_of_the_index(tmp_path: Path) -> None:
    item = msgspec.structs.replace(ITEM, path="train/a.png")
    write_index(tmp_path / "index.json", msgspec.structs.replace(INDEX, train=[item]))
    index = read_index(tmp_path / "index.json")
    assert index.train[0].path == str(tmp_path.resolve() / "train/a.png")
    assert index.val[0].path == ITEM.path


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "broken"),
        (b'{"schema": 1', "broken"),
        (b'{"schema": 99, "anything": 1}', "has schema 99"),
        (msgspec.json.encode({**msgspec.to_builtins(INDEX), "extra": 1}), "extra"),
        (msgspec.json.encode({**msgspec.to_builtins(INDEX), "classes": []}), "impossible size, box"),
        (msgspec.json.encode(INDEX).replace(b",0.125]", b"]"), "impossible size, box"),
        (msgspec.json.encode(INDEX).replace(b'"digest":"c"', b'"digest":""'), "box or digest"),
        (msgspec.json.encode(INDEX).replace(b'"label":1', b'"label":2'), "impossible size, box"),
    ],
)
def test_what_is_not_an_index_is_refused_with_its_path(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "index.json"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=complaint) as caught:
        read_index(path)
    assert str(path) in str(caught.value)


def test_a_missing_index_is_refused_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none\\.json cannot be read"):
        read_index(tmp_path / "none.json")


def test_the_digest_sees_classes_contents_boxes_order_and_split() -> None:
    first, second = ("00" * 32, [[0.0, 0.5, 0.5, 0.1, 0.1]]), ("11" * 32, [])
    digests = [
        digest_of(["a", "b"], [first], [second]),
        digest_of(["ab"], [first], [second]),
        digest_of(["a", "b"], [second], [first]),
        digest_of(["a", "b"], [first, second], []),
        digest_of(["a", "b"], [("22" * 32, first[1])], [second]),
        digest_of(["a", "b"], [(first[0], [[0.0, 0.5, 0.5, 0.1, 0.2]])], [second]),
        digest_of(["a", "b"], [first], [second], [3, 90], [TRUTH]),
        digest_of(["a", "b"], [first], [second], [3, 91], [TRUTH]),
        digest_of(["a", "b"], [first], [second], [3, 90], [msgspec.structs.replace(TRUTH, image_id=1001)]),
    ]
    assert len(set(digests)) == len(digests)


def test_the_digest_of_a_set_that_is_no_coco_file_s_is_that_of_its_boxes_alone() -> None:
    first, second = ("00" * 32, [[0.0, 0.5, 0.5, 0.1, 0.1]]), ("11" * 32, [])
    assert digest_of(["a"], [first], [second], None, [None]) == digest_of(["a"], [first], [second])
