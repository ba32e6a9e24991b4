"""Label files: what is accepted, and what is refused with file and line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.cell.data.labels import find_labels, label_path, parse_row, read_labels
from harness.cell.data.problems import Problems
from harness.cell.data.summary import Aside
from harness.core.errors import UsageError


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("/d/images/train/a.jpg", "/d/labels/train/a.txt"),
        ("/images/d/images/a.b.png", "/images/d/labels/a.b.txt"),
        ("/d/myimages/a.jpg", "/d/myimages/a.txt"),
        ("/d/images.jpg", "/d/images.txt"),
    ],
)
def test_labels_lie_where_the_last_images_folder_becomes_labels(image: str, label: str) -> None:
    assert label_path(image) == label


def test_a_box_is_kept_to_the_last_digit() -> None:
    assert parse_row(["1", "0.123456789", "0.5", "0.2", "0.3"], 2) == [1.0, 0.123456789, 0.5, 0.2, 0.3]


def test_an_outline_becomes_its_box() -> None:
    assert parse_row(["0", "0.25", "0.5", "0.75", "0.25", "0.5", "0.75"], 1) == [0.0, 0.5, 0.5, 0.5, 0.5]


def test_a_box_that_sticks_out_by_rounding_is_cut() -> None:
    kind, x, y, width, height = parse_row(["0", "0.0999", "0.5", "0.2", "0.9"], 1)
    assert x - width / 2 == 0
    assert x + width / 2 == pytest.approx(0.1999)
    assert (kind, y, height) == (0, 0.5, pytest.approx(0.9))


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("0 0.5 0.5 0.2", "4 columns"),
        ("0 0.5 0.5 0.2 0.2 0.9", "6 columns"),
        ("0 .1 .1 .5 .5 .9 .9 .3", "8 columns"),
        ("2 0.5 0.5 0.2 0.2", "class 2 is not one of the 2 classes"),
        ("-1 0.5 0.5 0.2 0.2", "class -1 is not"),
        ("0.5 0.5 0.5 0.2 0.2", "class 0.5 is not"),
        ("0 0.5 nan 0.2 0.2", "'nan' is not a finite number"),
        ("0 0.5 inf 0.2 0.2", "'inf' is not a finite number"),
        ("0 0.5 half 0.2 0.2", "'half' is not a number"),
        ("0 0.5 0.5 0.2_5 0.2", "'0.2_5' is not a number"),
        ("0 0.5 0.5 0.\u0662 0.2", "is not a number"),
        ("0 0.5 0.5 0.2 -0.2", "must not be less than 0"),
        ("0 0.95 0.5 0.2 0.2", "leaves the picture"),
        ("0 320 240 64 64", "pixels must be divided"),
        ("0 .1 .1 .1 1.5 .1 .9", "leaves the picture"),
    ],
)
def test_a_wrong_row_is_reported_with_file_and_line(tmp_path: Path, row: str, complaint: str) -> None:
    label = tmp_path / "a.txt"
    label.write_text(f"0 0.5 0.5 0.2 0.2\n\n{row}\n")
    problems = Problems("label rows")
    assert len(read_labels(str(label), 2, problems, Aside())) == 1
    with pytest.raises(UsageError) as caught:
        problems.settle(2)
    assert f"{label}, line 3: " in str(caught.value)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    "row", ["1 0.5 0.5 0 0.2", "1 0.5 0.5 0.2 0", "0 .1 .1 .1 .5 .1 .9", "1 1.0005 0.5 0.001 0.2", "1 .5 .5 1e-300 .2"]
)
def test_a_box_without_width_or_height_is_left_out_and_said(tmp_path: Path, row: str) -> None:
    label, problems, aside = tmp_path / "a.txt", Problems("label rows"), Aside()
    label.write_text(f"0 0.5 0.5 0.2 0.2\n{row}\n")
    assert read_labels(str(label), 2, problems, aside) == [[0, 0.5, 0.5, 0.2, 0.2]]
    assert problems.found == []
    assert [(one.kind, one.count, one.example) for one in aside.noted()] == [("empty box", 1, f"{label}, line 2")]


@pytest.mark.parametrize(
    ("points", "row"),
    [
        (8, "0 .5 .5 .2 .1 .4 .45 .6 .45 .6 .55 .4 .55"),
        (6, "0 .5 .5 .2 .1 .4 .45 2 .6 .45 0"),
        (3, "0 .5 .5 .2 .1 .4 .45 2"),
        (8, "0 .5 .5 .2 .1"),
    ],
)
def test_keypoints_follow_the_box_and_are_no_outline(points: int, row: str) -> None:
    assert parse_row(row.split(), 1, points) == [0, 0.5, 0.5, 0.2, 0.1]


@pytest.mark.parametrize("row", ["0 .5 .5 .2 .1 .4 .45", "0 .1 .1 .5 .5 .9 .9"])
def test_a_row_of_another_length_than_kpt_shape_says_is_refused(row: str) -> None:
    with pytest.raises(ValueError, match=r"has 7 columns; by 'kpt_shape' a row has 13 .* or 5 without keypoints"):
        parse_row(row.split(), 1, 8)


def linked(link: Path, target: Path) -> str:
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(target)
    return str(link)


def written(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    return str(path)


def test_where_labels_lie_is_decided_for_a_folder_and_not_anew_for_a_picture_that_is_a_link(tmp_path: Path) -> None:
    pool = Path(written(tmp_path / "pool" / "images" / "x.jpg"))
    written(tmp_path / "pool" / "labels" / "x.txt")
    own = written(tmp_path / "d" / "images" / "a.jpg")
    label = written(tmp_path / "d" / "labels" / "a.txt")
    link = linked(tmp_path / "d" / "images" / "bg.jpg", pool)
    assert find_labels([own, link]) == [label, str(tmp_path / "d" / "labels" / "bg.txt")]


def test_a_folder_of_links_alone_has_the_labels_of_what_they_lead_to(tmp_path: Path) -> None:
    pool = Path(written(tmp_path / "pool" / "images" / "x.jpg"))
    label = written(tmp_path / "pool" / "labels" / "x.txt")
    link = linked(tmp_path / "part" / "images" / "y.jpg", pool)
    assert find_labels([link]) == [label]


def test_a_linked_folder_below_one_with_labels_has_its_own(tmp_path: Path) -> None:
    own = written(tmp_path / "d" / "images" / "a.jpg")
    label = written(tmp_path / "d" / "labels" / "a.txt")
    written(tmp_path / "other" / "images" / "b.jpg")
    other = written(tmp_path / "other" / "labels" / "b.txt")
    linked(tmp_path / "d" / "images" / "more", tmp_path / "other" / "images")
    assert find_labels([own, str(tmp_path / "d" / "images" / "more" / "b.jpg")]) == [label, other]


@pytest.mark.parametrize("kind", ["folder", "pipe", "lost link"])
def test_a_label_file_that_is_no_file_is_reported_and_not_taken_for_none(tmp_path: Path, kind: str) -> None:
    label, problems = tmp_path / "a.txt", Problems("label rows")
    make = {"folder": label.mkdir, "pipe": lambda: os.mkfifo(label), "lost link": lambda: label.symlink_to("nowhere")}
    make[kind]()
    assert read_labels(str(label), 2, problems, Aside()) == []
    what = "a link that leads nowhere" if kind == "lost link" else "not a regular file"
    assert problems.found == [f"{label}: the label file is {what}"]


def test_no_label_file_means_no_objects(tmp_path: Path) -> None:
    problems = Problems("label rows")
    assert read_labels(str(tmp_path / "a.txt"), 2, problems, Aside()) == []
    problems.settle(0)


def test_an_empty_label_file_means_no_objects(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n")
    assert read_labels(str(tmp_path / "a.txt"), 2, Problems("label rows"), Aside()) == []


def test_equal_rows_are_all_kept(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n" * 3)
    assert len(read_labels(str(tmp_path / "a.txt"), 2, Problems("label rows"), Aside())) == 3


def test_a_label_file_that_is_not_text_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    problems = Problems("label rows")
    read_labels(str(tmp_path / "a.txt"), 2, problems, Aside())
    assert "cannot be read as text" in problems.found[0]


def test_many_problems_are_counted_and_twenty_are_listed() -> None:
    problems = Problems("pictures")
    for number in range(23):
        problems.add(f"/p/{number}.jpg", "is broken")
    with pytest.raises(UsageError) as caught:
        problems.settle(100)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("23 of 100 pictures cannot be used, so nothing was trained")
    assert len(lines) == 22
    assert lines[1].strip() == "/p/0.jpg: is broken"
    assert lines[-1].strip() == "… and 3 more"
