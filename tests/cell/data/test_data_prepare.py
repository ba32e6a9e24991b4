"""Preparing data, as the conductor asks for it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Optional

import msgspec
import pytest

from harness.cell.data.index import read_index
from harness.cell.data.prepare import prepare
from harness.core.dataset import Part, Repeated, Shared
from harness.core.errors import UsageError
from harness.core.preparation import PrepareRequest
from harness.core.settings import Shapes

ROOT = Path(__file__).resolve().parents[3]
SMALL = Shapes(images=3, validation=2)


def request(cache: Path, data: Optional[Path] = None, **more: Any) -> PrepareRequest:
    return PrepareRequest(**{"data": data and str(data), "shapes": SMALL, "cache": str(cache), "workers": 0, **more})


def test_shapes_are_made_once_and_reused(tmp_path: Path) -> None:
    path = prepare(request(tmp_path))
    written = Path(read_index(path).train[0].path).stat().st_mtime_ns
    assert path.parent.name.startswith("shapes-")
    assert [one.name for one in tmp_path.iterdir()] == [path.parent.name]
    assert prepare(request(tmp_path)) == path
    assert Path(read_index(path).train[0].path).stat().st_mtime_ns == written


def test_other_settings_get_a_folder_of_their_own(tmp_path: Path) -> None:
    assert prepare(request(tmp_path)) != prepare(request(tmp_path, shapes=Shapes(images=4, validation=2)))


@pytest.mark.parametrize("harm", ["change", "remove", "index"])
def test_harmed_shapes_are_made_again(tmp_path: Path, harm: str) -> None:
    path = prepare(request(tmp_path))
    index = read_index(path)
    victim = path if harm == "index" else Path(index.val[1].path)
    if harm == "remove":
        victim.unlink()
    else:
        victim.write_bytes(b"harmed")
    assert prepare(request(tmp_path)) == path
    assert read_index(path) == index
    assert Path(index.val[1].path).read_bytes() != b"harmed"
    assert [one.name for one in tmp_path.iterdir()] == [path.parent.name]


def test_a_cache_that_was_moved_is_still_good(tmp_path: Path) -> None:
    path = prepare(request(tmp_path / "old"))
    (tmp_path / "old").rename(tmp_path / "new")
    moved = prepare(request(tmp_path / "new"))
    assert moved == tmp_path / "new" / path.parent.name / path.name
    assert Path(read_index(moved).train[0].path).is_file()


def test_a_full_disk_is_a_sentence_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, _: Any) -> None:
        if "val" in str(path):
            raise OSError(errno.ENOSPC, "No space left on device")
        path.write_bytes(b"x")

    monkeypatch.setattr("harness.cell.data.shapes.write_png", full)
    with pytest.raises(UsageError, match=r"cannot be written \(No space left on device\): free some space"):
        prepare(request(tmp_path / "cache"))
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_cache_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"file/cache cannot be written .* choose another"):
        prepare(request(tmp_path / "file" / "cache"))


def test_yolo_data_are_indexed_and_named_by_their_contents(tmp_path: Path, yolo: Path) -> None:
    path = prepare(request(tmp_path / "cache", yolo))
    index = read_index(path)
    assert (index.name, index.classes, len(index.train), len(index.val)) == ("birds", ["crow", "owl"], 3, 2)
    assert (index.train[0].width, index.train[0].height) == (48, 32)
    assert index.train[0].boxes[0] == [0, 0.5, 0.5, 0.25, 0.5]
    assert prepare(request(tmp_path / "cache", yolo)) == path


def test_the_digest_does_not_depend_on_where_the_data_lie(tmp_path: Path, yolo: Path) -> None:
    first = prepare(request(tmp_path / "cache", yolo))
    copy = tmp_path / "copy" / "birds"
    shutil.copytree(yolo.parent, copy)
    second = prepare(request(tmp_path / "cache", copy / "data.yaml"))
    assert first != second
    assert read_index(first).digest == read_index(second).digest
    (copy / "labels" / "val" / "d.txt").write_text("0 0.5 0.5 0.25 0.51\n")
    assert read_index(prepare(request(tmp_path / "cache", copy / "data.yaml"))).digest != read_index(first).digest


def test_coco_data_are_indexed(tmp_path: Path, coco: Path) -> None:
    index = read_index(prepare(request(tmp_path / "cache", coco)))
    assert (index.name, index.classes, len(index.train), len(index.val)) == ("coco", ["crow", "owl"], 2, 2)
    assert len(index.train[1].boxes) == 2


def edited(path: Path, edit: Callable[[dict[str, Any]], Any]) -> Path:
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))
    return path


def test_the_ids_of_a_coco_file_are_kept_for_what_is_scored_and_crowds_are_no_boxes(tmp_path: Path, coco: Path) -> None:
    index = read_index(prepare(request(tmp_path / "cache", coco)))
    assert index.categories == [3, 7]
    assert [item.truth and item.truth.image_id for item in index.val] == [10, 11]
    assert [[one.id for one in item.truth.annotations] for item in index.val if item.truth] == [[3, 4], [1, 2]]
    assert [len(item.boxes) for item in index.val] == [0, 2]
    assert all(item.truth is None for item in index.train)


def test_the_ids_are_kept_where_a_yaml_leads_to_one_coco_file(tmp_path: Path, yolo: Path, coco: Path) -> None:
    val = coco.with_name("instances_val2017.json")
    yolo.write_text(f"train: images/train\nval: {val}\nnames: [crow, owl]\n")
    index = read_index(prepare(request(tmp_path / "cache", yolo)))
    assert index.categories == [3, 7]
    assert [item.truth and item.truth.image_id for item in index.val] == [10, 11]


@pytest.mark.parametrize("other", ["images/val", "{coco}", "{more}"])
def test_of_several_places_whose_ids_clash_or_lack_all_is_numbered(
    tmp_path: Path, yolo: Path, coco: Path, other: str
) -> None:
    val = coco.with_name("instances_val2017.json")
    more = edited(shutil.copy(val, val.with_name("instances_val2017_more.json")), _only_other_images)
    shutil.copytree(coco.parent.parent / "val2017", coco.parent.parent / "val2017_more")
    second = other.format(coco=val, more=more)
    yolo.write_text(f"train: images/train\nval: [{val}, {second}]\nnames: [crow, owl]\n")
    index = read_index(prepare(request(tmp_path / "cache", yolo)))
    assert index.categories is None
    assert [item.truth.image_id for item in index.val if item.truth][:2] == [1, 2]
    assert {one.id for item in index.val if item.truth for one in item.truth.annotations} == {None}
    assert [one.crowd for item in index.val[:2] for one in item.truth.annotations if item.truth] == [True, *[False] * 3]


def _only_other_images(document: dict[str, Any]) -> None:
    for image in document["images"]:
        image["id"] += 100
    for annotation in document["annotations"]:
        annotation["image_id"] += 100


def test_the_ids_of_two_coco_files_are_kept_where_none_occurs_twice(tmp_path: Path, yolo: Path, coco: Path) -> None:
    val = coco.with_name("instances_val2017.json")
    more = edited(shutil.copy(val, val.with_name("instances_val2017_more.json")), _only_other_images)
    edited(more, lambda d: [one.update(id=one["id"] + 50) for one in d["annotations"]])
    shutil.copytree(coco.parent.parent / "val2017", coco.parent.parent / "val2017_more")
    yolo.write_text(f"train: images/train\nval: [{val}, {more}]\nnames: [crow, owl]\n")
    index = read_index(prepare(request(tmp_path / "cache", yolo)))
    assert index.categories == [3, 7]
    assert [item.truth and item.truth.image_id for item in index.val] == [10, 11, 110, 111]


@pytest.mark.parametrize(
    "edit",
    [
        lambda d: d["annotations"][2].update(iscrowd=0, bbox=[0, 0, 0, 0]),
        lambda d: d["annotations"][0].update(area=1),
        lambda d: d["annotations"][0].update(id=99),
        lambda d: d["categories"][0].update(id=8) or d["annotations"][0].update(category_id=8),
    ],
)
def test_the_digest_sees_what_detections_are_scored_against(
    tmp_path: Path, coco: Path, edit: Callable[[dict[str, Any]], Any]
) -> None:
    before = read_index(prepare(request(tmp_path / "cache", coco)))
    edited(coco.with_name("instances_val2017.json"), edit)
    after = read_index(prepare(request(tmp_path / "cache", coco)))
    assert [item.boxes for item in after.val] == [item.boxes for item in before.val]
    assert after.digest != before.digest


def test_annotations_made_for_another_size_are_refused(
    tmp_path: Path, coco: Path, picture: Callable[..., Path]
) -> None:
    picture(coco.parent.parent / "train2017" / "001.jpg", 32, 48)
    with pytest.raises(UsageError, match=r"001\.jpg: is \(32, 48\) px upright, .* made for \(48, 32\)"):
        prepare(request(tmp_path / "cache", coco))


@pytest.mark.parametrize(
    ("name", "complaint"), [("none.yaml", "is not a file"), (".", "is not a file"), ("data.toml", "unknown suffix")]
)
def test_data_that_are_neither_yaml_nor_json_are_refused(tmp_path: Path, name: str, complaint: str) -> None:
    (tmp_path / "data.toml").write_text("")
    with pytest.raises(UsageError, match=complaint):
        prepare(request(tmp_path / "cache", tmp_path / name))


def run(tmp_path: Path, content: Any) -> tuple[int, Any]:
    """The exit code and the answer of the command in a process of its own."""
    request = content if isinstance(content, str) else json.dumps(content)
    command = [sys.executable, "-m", "harness.cell.data.prepare", "--answer", "answer.json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    code = subprocess.run(command, input=request.encode(), cwd=tmp_path, env=environment, check=False).returncode
    return code, json.loads((tmp_path / "answer.json").read_text())


def test_the_command_answers_with_the_index(tmp_path: Path) -> None:
    shapes = {"images": 3, "validation": 2, "size": 64, "seed": 0}
    code, answer = run(tmp_path, {"data": None, "shapes": shapes, "cache": "cache", "workers": 0})
    index = read_index(Path(answer["prepared"].pop("index")))
    assert code == 0
    summary = msgspec.to_builtins(index.summary)
    data = {"digest": index.digest, "name": "shapes"}
    assert answer == {"prepared": {"data": data, "summary": summary}, "problem": []}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "cannot be read"),
        ({"data": None, "shapes": {"images": 1, "validation": 1}, "cache": "c", "workers": 0, "x": 1}, "field `x`"),
        ({"data": None, "shapes": {"images": 0, "validation": 1}, "cache": "c", "workers": 0}, "shapes.images"),
        (
            {"data": "none.yaml", "shapes": {"images": 1, "validation": 1}, "cache": "c", "workers": 0},
            "none.yaml is not a file",
        ),
    ],
)
def test_the_command_answers_with_the_problem(tmp_path: Path, content: Any, complaint: str) -> None:
    code, answer = run(tmp_path, content)
    assert code == 2
    assert answer["prepared"] is None
    (sentence,) = answer["problem"]
    assert complaint in sentence


def test_the_command_answers_with_a_problem_whose_names_are_not_text(tmp_path: Path, yolo: Path) -> None:
    images = yolo.parent / "images" / "train"
    (images / "a.jpg").rename(images / os.fsdecode(b"caf\xe9.jpg"))
    (yolo.parent / "labels" / "train" / "b.txt").write_text("7 .5 .5 .1 .1\n")
    code, answer = run(
        tmp_path, {"data": str(yolo), "shapes": {"images": 1, "validation": 1}, "cache": "c", "workers": 0}
    )
    assert code == 2
    sentence, listed = answer["problem"]
    assert sentence.endswith("cannot be used, so nothing was trained; mend or remove them:")
    assert "b.txt, line 1: class 7" in listed
    (yolo.parent / "labels" / "train" / "b.txt").write_text("")
    code, answer = run(
        tmp_path, {"data": str(yolo), "shapes": {"images": 1, "validation": 1}, "cache": "c", "workers": 0}
    )
    assert code == 2
    assert "caf\\xe9.jpg: its name is not text in UTF-8" in answer["problem"][1]


def test_what_a_set_holds_is_counted(tmp_path: Path, yolo: Path, picture: Callable[..., Path]) -> None:
    root = yolo.parent
    for seed, name in enumerate(("train/f.PNG", "val/d.jpg", "val/e.jpg"), start=6):
        picture(root / "images" / name, seed=seed)
    shutil.copy(root / "images" / "train" / "b.jpg", root / "images" / "val" / "z.jpg")
    (root / "labels" / "val" / "d.txt").write_text("0 .5 .5 .1 .1\n")
    (root / "labels" / "val" / "e.txt").write_text("0 .5 .5 .1 .1\n0 .5 .5 0 .1\n")
    summary = read_index(prepare(request(tmp_path / "cache", yolo))).summary
    assert summary.classes == 2
    assert summary.train == Part(4, boxes=6, classes=2, backgrounds=1, suffixes={".jpg": 3, ".png": 1})
    assert summary.val == Part(3, boxes=2, classes=1, backgrounds=1, suffixes={".jpg": 3})
    assert [(one.kind, one.count) for one in summary.left_out] == [("empty box", 1)]
    assert summary.shared == Shared(1, str(root / "images" / "val" / "z.jpg"), equal=False)


def test_pictures_that_are_there_more_than_once_are_said(tmp_path: Path, yolo: Path) -> None:
    images = yolo.parent / "images"
    shutil.copy(images / "val" / "d.jpg", images / "val" / "z.jpg")
    yolo.write_text("train: [images/train, images/train]\nval: images/val\nnames: [crow, owl]\n")
    summary = read_index(prepare(request(tmp_path / "cache", yolo))).summary
    assert (summary.train.pictures, summary.train.boxes) == (6, 12)
    assert summary.train.repeated == Repeated(3, str(images / "train" / "a.jpg"))
    assert summary.val.repeated == Repeated(1, str(images / "val" / "z.jpg"))


def test_a_val_that_is_the_train_is_said(tmp_path: Path, yolo: Path) -> None:
    yolo.write_text("train: images/train\nval: images/train\nnames: [crow, owl]\n")
    (yolo.parent / "images" / "train" / ".hidden").mkdir()
    summary = read_index(prepare(request(tmp_path / "cache", yolo))).summary
    assert [(one.kind, one.count) for one in summary.left_out] == [("hidden folder", 1)]
    shared = summary.shared
    assert shared is not None
    assert (shared.count, shared.equal) == (3, True)


def test_the_shapes_are_counted_too(tmp_path: Path) -> None:
    summary = read_index(prepare(request(tmp_path))).summary
    assert (summary.train.pictures, summary.val.pictures, summary.shared) == (3, 2, None)


def test_progress_is_reported_as_json_lines(tmp_path: Path, yolo: Path) -> None:
    reader, writer = os.pipe()
    prepare(request(tmp_path / "cache", yolo), writer)
    os.close(writer)
    with os.fdopen(reader) as stream:
        events = [json.loads(line) for line in stream]
    assert events[-1] == {"event": "scan", "done": 5, "total": 5}


def test_nobody_needs_to_listen_to_progress(tmp_path: Path, yolo: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert prepare(request(tmp_path / "cache", yolo), writer).is_file()
    finally:
        os.close(writer)
