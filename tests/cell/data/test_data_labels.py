"""Label files: what is accepted, and what is refused with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cell.data.labels import label_path, parse_row, read_labels
from harness.cell.data.problems import Problems
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
        ("0 0.5 0.5 0 0.2", "must be greater than 0"),
        ("0 0.5 0.5 0.2 -0.2", "must be greater than 0"),
        ("0 0.95 0.5 0.2 0.2", "leaves the picture"),
        ("0 320 240 64 64", "pixels must be divided"),
        ("0 .1 .1 .1 .5 .1 .9", "no width or no height"),
        ("0 .1 .1 .1 1.5 .1 .9", "leaves the picture"),
    ],
)
def test_a_wrong_row_is_reported_with_file_and_line(tmp_path: Path, row: str, complaint: str) -> None:
    label = tmp_path / "a.txt"
    label.write_text(f"0 0.5 0.5 0.2 0.2\n\n{row}\n")
    problems = Problems("label rows")
    assert len(read_labels(str(tmp_path / "a.jpg"), 2, problems)) == 1
    with pytest.raises(UsageError) as caught:
        problems.settle(2)
    assert f"{label}, line 3: " in str(caught.value)
    assert complaint in str(caught.value)


def test_no_label_file_means_no_objects(tmp_path: Path) -> None:
    problems = Problems("label rows")
    assert read_labels(str(tmp_path / "a.jpg"), 2, problems) == []
    problems.settle(0)


def test_an_empty_label_file_means_no_objects(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n")
    assert read_labels(str(tmp_path / "a.jpg"), 2, Problems("label rows")) == []


def test_equal_rows_are_all_kept(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n" * 3)
    assert len(read_labels(str(tmp_path / "a.jpg"), 2, Problems("label rows"))) == 3


def test_a_label_file_that_is_not_text_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    problems = Problems("label rows")
    read_labels(str(tmp_path / "a.jpg"), 2, problems)
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
