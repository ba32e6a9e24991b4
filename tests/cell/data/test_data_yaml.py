"""Data sets in the YOLO layout."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Callable

import pytest

from harness.cell.data.yaml_dataset import read_yaml_dataset
from harness.core.errors import UsageError


def names(items: list) -> list[str]:
    return [Path(item.path).name for item in items]


def test_folders_of_pictures_are_read_in_order_with_their_labels(yolo: Path) -> None:
    listing = read_yaml_dataset(yolo)
    assert (listing.name, listing.classes) == ("birds", ["crow", "owl"])
    assert (names(listing.train), names(listing.val)) == (["a.jpg", "b.jpg", "c.jpg"], ["d.jpg", "e.jpg"])
    assert listing.train[0].boxes == [[0, 0.5, 0.5, 0.25, 0.5], [1, 0.25, 0.25, 0.1, 0.1]]


def test_names_may_be_a_mapping_from_numbers(yolo: Path) -> None:
    yolo.write_text("train: images/train\nval: images/val\nnames:\n  1: owl\n  0: crow\n")
    assert read_yaml_dataset(yolo).classes == ["crow", "owl"]


def test_path_names_the_root_relative_to_the_yaml(yolo: Path) -> None:
    moved = yolo.parent.parent / "configs" / "own.yaml"
    moved.parent.mkdir()
    moved.write_text("path: ../birds\ntrain: images/train\nval: images/val\nnames: [crow, owl]\n")
    listing = read_yaml_dataset(moved)
    assert listing.name == "own"
    assert all(item.boxes for item in listing.train)


def test_absolute_folders_are_read_from_anywhere(yolo: Path, tmp_path: Path) -> None:
    images = yolo.parent / "images"
    own = tmp_path / "own.yaml"
    own.write_text(f"train: {images}/train\nval: {images}/val\nnames: [crow, owl]\n")
    assert all(item.boxes for item in read_yaml_dataset(own).train)


def test_list_files_name_pictures_relative_to_themselves(yolo: Path) -> None:
    root = yolo.parent
    (root / "train.txt").write_text(f"./images/train/c.jpg\nimages/train/a.jpg\n\n{root}/images/train/b.jpg\n")
    yolo.write_text("train: train.txt\nval: images/val\nnames: [crow, owl]\n")
    listing = read_yaml_dataset(yolo)
    assert names(listing.train) == ["c.jpg", "a.jpg", "b.jpg"]
    assert all(item.boxes for item in listing.train)


def test_a_split_may_be_a_list_of_sources_of_every_kind(yolo: Path, coco: Path) -> None:
    (yolo.parent / "more.txt").write_text("images/val/d.jpg\n")
    yolo.write_text(f"train: [images/train, more.txt, {coco}]\nval: images/val\nnames: [crow, owl]\n")
    assert names(read_yaml_dataset(yolo).train) == ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "000.jpg", "001.jpg"]


def test_a_linked_folder_of_pictures_keeps_its_labels(yolo: Path, tmp_path: Path) -> None:
    link = tmp_path / "elsewhere" / "pictures"
    link.parent.mkdir()
    link.symlink_to(yolo.parent / "images" / "train")
    yolo.write_text(f"train: {link}\nval: images/val\nnames: [crow, owl]\n")
    listing = read_yaml_dataset(yolo)
    assert names(listing.train) == ["a.jpg", "b.jpg", "c.jpg"]
    assert all(item.boxes for item in listing.train)


def test_a_link_back_up_does_not_read_a_picture_twice(yolo: Path) -> None:
    (yolo.parent / "images" / "train" / "loop").symlink_to(yolo.parent / "images" / "train")
    assert names(read_yaml_dataset(yolo).train) == ["a.jpg", "b.jpg", "c.jpg"]


def test_suffixes_may_be_in_capitals_and_other_files_are_left_alone(yolo: Path, picture: Callable[..., Path]) -> None:
    folder = yolo.parent / "images" / "train"
    picture(folder / "f.PNG")
    picture(folder / "g.JPEG")
    (folder / "notes.md").write_text("mine")
    (folder / "._a.jpg").write_text("left by a Mac")
    listing = read_yaml_dataset(yolo)
    assert names(listing.train) == ["a.jpg", "b.jpg", "c.jpg", "f.PNG", "g.JPEG"]
    assert [(one.kind, one.count, one.example) for one in listing.left_out] == [
        ("hidden file", 1, str(folder / "._a.jpg")),
        ("other file", 1, str(folder / "notes.md")),
    ]


@pytest.mark.parametrize("suffix", [".jpe", ".jfif", ".jif", ".jfi", ".mpo", ".JPE"])
def test_a_jpeg_may_have_any_of_its_suffixes(yolo: Path, picture: Callable[..., Path], suffix: str) -> None:
    picture(yolo.parent / "images" / "train" / "z.jpg").rename(yolo.parent / "images" / "train" / f"z{suffix}")
    (yolo.parent / "labels" / "train" / "z.txt").write_text("1 0.5 0.5 0.5 0.5\n")
    assert read_yaml_dataset(yolo).train[-1].boxes == [[1, 0.5, 0.5, 0.5, 0.5]]


@pytest.mark.parametrize(
    "folder",
    [".ipynb_checkpoints", ".git", ".Trash-1000", "@eaDir", "#recycle", "$RECYCLE.BIN", "__MACOSX", "a/.hidden/b"],
)
def test_hidden_folders_are_no_part_of_a_set_and_are_said(
    yolo: Path, picture: Callable[..., Path], folder: str
) -> None:
    images = yolo.parent / "images" / "train"
    picture(images / folder / "a.jpg")
    listing = read_yaml_dataset(yolo)
    assert names(listing.train) == ["a.jpg", "b.jpg", "c.jpg"]
    hidden = str(images / folder).removesuffix("/b")
    assert [(one.kind, one.count, one.example) for one in listing.left_out] == [("hidden folder", 1, hidden)]


def test_a_folder_that_is_named_is_read_though_it_is_hidden(yolo: Path) -> None:
    (yolo.parent / "images").rename(yolo.parent / ".images")
    (yolo.parent / "images").symlink_to(".images")
    yolo.write_text("train: images/train\nval: images/val\nnames: [crow, owl]\n")
    assert names(read_yaml_dataset(yolo).train) == ["a.jpg", "b.jpg", "c.jpg"]


def test_an_error_while_walking_is_an_error(yolo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (yolo.parent / "images" / "train" / "night").mkdir()
    scandir = os.scandir

    def refusing(path: str) -> object:
        if str(path).endswith("night"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(PermissionError, match="Permission denied"):
        read_yaml_dataset(yolo)


def test_a_link_that_leads_nowhere_is_an_error_whatever_its_name(yolo: Path) -> None:
    (yolo.parent / "images" / "train" / "night").symlink_to("/nowhere/night")
    with pytest.raises(UsageError, match="night: is a link that leads nowhere"):
        read_yaml_dataset(yolo)


def test_suffixes_of_files_that_are_no_pictures_are_counted(yolo: Path) -> None:
    for name in ("a.npy", "b.NPY", "c.xml", "README"):
        (yolo.parent / "images" / "train" / name).write_text("")
    (other,) = read_yaml_dataset(yolo).left_out
    assert (other.kind, other.count, other.suffixes) == ("other file", 4, {".npy": 2, "": 1, ".xml": 1})


def test_a_picture_that_is_a_link_does_not_get_the_label_of_another_set(
    yolo: Path, picture: Callable[..., Path], tmp_path: Path
) -> None:
    pool = picture(tmp_path / "pool" / "images" / "x.jpg")
    (tmp_path / "pool" / "labels").mkdir()
    (tmp_path / "pool" / "labels" / "x.txt").write_text("0 .25 .25 .1 .1\n")
    (yolo.parent / "images" / "train" / "bg.jpg").symlink_to(pool)
    found = {Path(item.path).name: item.boxes for item in read_yaml_dataset(yolo).train}
    assert found["bg.jpg"] == []


def test_labels_that_no_picture_claims_are_said_once_with_their_number(yolo: Path) -> None:
    labels, images = yolo.parent / "labels", yolo.parent / "images"
    for name in ("train/gone.txt", "train/night/gone.txt", "val/gone.txt"):
        (labels / name).parent.mkdir(exist_ok=True)
        (labels / name).write_text("0 .5 .5 .1 .1\n")
    (images / "train" / "a.txt").write_text("0 .5 .5 .1 .1\n")
    (one,) = read_yaml_dataset(yolo).left_out
    assert (one.kind, one.count, one.example) == ("unclaimed label", 4, str(images / "train" / "a.txt"))


def test_labels_beside_pictures_are_claimed_by_them(yolo: Path) -> None:
    for split in ("train", "val"):
        (yolo.parent / "images" / split).rename(yolo.parent / split)
        for label in (yolo.parent / "labels" / split).iterdir():
            label.rename(yolo.parent / split / label.name)
    (yolo.parent / "train" / "classes.txt").write_text("crow\nowl\n")
    yolo.write_text("train: train\nval: val\nnames: [crow, owl]\n")
    listing = read_yaml_dataset(yolo)
    assert all(item.boxes for item in listing.train)
    assert [(one.kind, one.count) for one in listing.left_out] == [("unclaimed label", 1)]


def test_a_list_file_is_no_label_that_nobody_claims(yolo: Path) -> None:
    (yolo.parent / "labels" / "train" / "train.txt").write_text(
        "".join(f"{yolo.parent}/images/train/{n}.jpg\n" for n in "abc")
    )
    yolo.write_text("train: labels/train/train.txt\nval: images/val\nnames: [crow, owl]\n")
    assert read_yaml_dataset(yolo).left_out == []


def test_keypoints_are_told_from_an_outline_by_the_yaml(yolo: Path) -> None:
    label = yolo.parent / "labels" / "train" / "a.txt"
    label.write_text("0 .5 .5 .2 .1 .4 .45 .6 .45 .6 .55 .4 .55\n")
    assert read_yaml_dataset(yolo).train[0].boxes == [pytest.approx([0, 0.4, 0.325, 0.4, 0.45])]
    yolo.write_text(yolo.read_text() + "kpt_shape: [4, 2]\n")
    assert read_yaml_dataset(yolo).train[0].boxes == [[0, 0.5, 0.5, 0.2, 0.1]]


def test_a_list_of_aliases_without_end_is_refused_at_once(yolo: Path) -> None:
    bomb = "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
    yolo.write_text(f"a0: &a0 [x]\n{bomb}train: *a39\nval: images/val\nnames: [crow, owl]\n")
    with pytest.raises(UsageError, match="'train' contains") as caught:
        read_yaml_dataset(yolo)
    assert len(str(caught.value)) < 1000


def test_a_merged_mapping_has_no_key_twice(yolo: Path) -> None:
    yolo.write_text("usual: &usual {val: images/train}\n<<: *usual\ntrain: images/train\nval: images/val\n"
                    "names: [crow, owl]\n")  # fmt: skip
    assert names(read_yaml_dataset(yolo).val) == ["d.jpg", "e.jpg"]


@pytest.mark.parametrize(
    ("text", "line", "complaint"),
    [
        ("", None, "must be a mapping"),
        ("- 1\n", None, "must be a mapping"),
        ("train: a\nval: [\n", 3, "not valid YAML"),
        ("val: images/val\nnames: [crow, owl]\n", None, "'train' is missing"),
        ("train: images/train\nnames: [crow, owl]\n", None, "'val' is missing"),
        ("train: images/train\nval: images/val\nnames:\n", 3, "'names' is missing or empty"),
        ("names: [crow, owl]\ntrain: images/none\nval: images/val\n", 2, "does not exist"),
        ("names: [crow, owl]\nval: images/val\ntrain: 7\n", 3, "'train' contains 7"),
        ("names: [crow, owl]\nval: images/val\ntrain: [images/train, {a: 1}]\n", 3, "'train' contains {'a': 1}"),
        ("names: [crow, owl]\ntrain: data.yaml\nval: images/val\n", 2, "neither a folder"),
        ("names: [crow, owl]\ntrain: labels\nval: images/val\n", 2, "leads to no picture"),
        ("path: nowhere\ntrain: images/train\nval: images/val\nnames: [crow, owl]\n", 1, "which does not exist"),
        ("path: 3\ntrain: images/train\nval: images/val\nnames: [crow, owl]\n", 1, "'path' is 3"),
        ("train: images/train\nval: images/val\nnc: 3\nnames: [crow, owl]\n", 3, "'nc' is 3, but 'names' lists 2"),
        ("train: images/train\nval: images/val\nnames: crow\n", 3, "must be a list of class names"),
        ('train: images/train\nval: images/val\nnc: "2"\nnames: [crow, owl]\n', 3, "'nc' is '2', but must be a whole"),
        ("train: images/train\nval: images/val\nnc: 2.0\nnames: [crow, owl]\n", 3, "'nc' is 2.0, but must be a whole"),
        ('train: images/train\nval: images/val\nnames: {"0": crow, "1": owl}\n', 3, "the key '0', which is text"),
        (
            "train: images/train\nval: images/val\ntrain: images/val\nnames: [a, b]\n",
            3,
            "the key 'train' is there twice",
        ),
        ("train: images/train\nval: images/val\nnames:\n  0: crow\n  00: owl\n", 5, "the key 0 is there twice"),
        ('names: ["\\ud800", owl]\ntrain: images/train\nval: images/val\n', 1, "cannot be written as UTF-8"),
        ('train: ""\nval: images/val\nnames: [crow, owl]\n', 1, "'train' is missing or empty"),
        ("train: images/train\nval: images/val\nnames: [crow, owl]\nkpt_shape: 4\n", 4, "'kpt_shape' is 4, but must"),
        ("train: images/train\nval: images/val\nnames: [crow, owl]\nkpt_shape: [4, 1]\n", 4, "'kpt_shape' is [4, 1]"),
        ("train: images/train\nval: images/val\nnames: !!bool crow\n", None, "not valid YAML"),
        ("train: !!timestamp x\nval: images/val\nnames: [a]\n", None, "not valid YAML"),
        ("train: images/train\nval: images/val\nnames: [crow, no]\n", 3, "False, which is not text"),
        ("train: images/train\nval: images/val\nnames: {0: crow, 2: owl}\n", 3, "without a gap"),
        ("train: images/train\nval: images/val\nnames: {a: crow, b: owl}\n", 3, "without a gap"),
    ],
)
def test_a_wrong_yaml_is_refused_with_file_and_line(yolo: Path, text: str, line: int, complaint: str) -> None:
    yolo.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_yaml_dataset(yolo)
    where = f"{yolo}, line {line}: " if line else f"{yolo}: "
    assert str(caught.value).startswith(where)
    assert complaint in str(caught.value)


def test_all_wrong_rows_of_all_files_are_reported_at_once(yolo: Path) -> None:
    labels = yolo.parent / "labels"
    (labels / "train" / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n5 0.5 0.5 0.2 0.2\n")
    (labels / "val" / "d.txt").write_text("0 0.5 0.5 1.2 0.2\n")
    with pytest.raises(UsageError) as caught:
        read_yaml_dataset(yolo)
    assert f"{labels}/train/a.txt, line 2: class 5" in str(caught.value)
    assert f"{labels}/val/d.txt, line 1: x from -0.1 to 1.1" in str(caught.value)


def test_a_list_file_is_reported_with_its_line(yolo: Path) -> None:
    (yolo.parent / "train.txt").write_text("images/train/a.jpg\nimages/train/z.jpg\nimages/train/b.gif\n")
    yolo.write_text("train: train.txt\nval: images/val\nnames: [crow, owl]\n")
    with pytest.raises(UsageError) as caught:
        read_yaml_dataset(yolo)
    assert "train.txt, line 2: leads to" in str(caught.value)
    assert "train.txt, line 3: images/train/b.gif does not end in .jpg, .jpeg, .png" in str(caught.value)


@pytest.mark.parametrize("suffix", [".webp", ".ppm", ".pfm", ".avif", ".jp2", ".heif", ".HEIC", ".bmp"])
def test_a_picture_of_an_unknown_suffix_in_a_folder_is_not_left_out_silently(yolo: Path, suffix: str) -> None:
    (yolo.parent / "images" / "train" / f"z{suffix}").write_bytes(b"x")
    with pytest.raises(UsageError, match=rf"z\{suffix}: has the suffix \{suffix.lower()}; only .* convert it"):
        read_yaml_dataset(yolo)


def test_pictures_without_a_single_label_are_refused(yolo: Path) -> None:
    shutil.rmtree(yolo.parent / "labels" / "train")
    with pytest.raises(UsageError, match=r"line 1: 'train' leads to 3 pictures without .*/labels/train/a\.txt"):
        read_yaml_dataset(yolo)


def test_a_coco_source_must_have_the_classes_of_the_yaml(yolo: Path, coco: Path) -> None:
    yolo.write_text(f"val: images/val\ntrain: {coco}\nnames: [owl, crow]\n")
    with pytest.raises(UsageError, match=r"line 2: 'train' leads to .* not those of 'names'"):
        read_yaml_dataset(yolo)
