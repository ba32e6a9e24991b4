"""The scan: everything that is wrong at once, and nothing decoded twice."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Callable

import pytest
from PIL import Image

import harness.cell.data.scan as scan_module
from harness.cell.data.scan import scan
from harness.core.errors import UsageError

Write = Callable[..., Path]


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that are opened from now on."""
    opened: list[str] = []
    look = scan_module.look

    def counting(paths: list[str]) -> list:
        opened.extend(paths)
        return look(paths)

    monkeypatch.setattr(scan_module, "look", counting)
    return opened


def test_a_scan_notes_upright_size_and_content(tmp_path: Path, picture: Write) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = picture(tmp_path / "a.jpg", 48, 32, exif=exif)
    found = scan([str(path)], tmp_path)[str(path)]
    assert (found.width, found.height) == (32, 48)
    assert found.digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_all_bad_pictures_are_reported_at_once_and_the_good_are_remembered(
    tmp_path: Path, picture: Write, looked: list[str]
) -> None:
    good = picture(tmp_path / "good.png")
    torn = picture(tmp_path / "torn.jpg", 200, 150)
    torn.write_bytes(torn.read_bytes()[:2000])
    empty, text, none = (tmp_path / name for name in ("empty.jpg", "text.jpg", "none.jpg"))
    empty.write_bytes(b"")
    text.write_text("not a picture")
    paths = [str(path) for path in (good, torn, empty, text, none)]
    with pytest.raises(UsageError) as caught:
        scan(paths, tmp_path)
    message = str(caught.value)
    assert message.startswith("4 of 5 pictures cannot be used, so nothing was trained")
    assert f"{torn}: it cannot be decoded (image file is truncated" in message
    assert f"{empty}: the file is empty" in message
    assert f"{text}: it is not a JPEG or PNG picture" in message
    assert f"{none}: there is no such file" in message
    looked.clear()
    with pytest.raises(UsageError):
        scan(paths, tmp_path)
    assert str(good) not in looked


def test_a_name_that_is_not_text_is_listed_with_the_other_unusable_pictures(tmp_path: Path, picture: Write) -> None:
    path = picture(tmp_path / "good.jpg").rename(tmp_path / os.fsdecode(b"caf\xe9.jpg"))
    with pytest.raises(UsageError) as caught:
        scan([str(path), str(tmp_path / "none.jpg")], tmp_path)
    message = str(caught.value)
    assert message.startswith("2 of 2 pictures cannot be used")
    assert f"{tmp_path}/caf\\xe9.jpg: its name is not text in UTF-8: rename it" in message
    message.encode()


def test_a_name_with_a_line_break_is_shown_on_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        scan([str(tmp_path / "a\nb.jpg")], tmp_path)
    assert str(caught.value).splitlines()[1:] == [f"  {tmp_path}/a\\nb.jpg: there is no such file"]


def test_a_picture_that_was_replaced_by_one_of_the_same_size_and_time_is_opened_again(
    tmp_path: Path, picture: Write, looked: list[str]
) -> None:
    path, other = picture(tmp_path / "a.png", seed=1), picture(tmp_path / "b.png", seed=2)
    with path.open("ab") as one, other.open("ab") as two:  # Pillow does not mind what follows the last chunk
        one.write(b" " * max(0, other.stat().st_size - path.stat().st_size))
        two.write(b" " * max(0, path.stat().st_size - other.stat().st_size))
    before = scan([str(path)], tmp_path)[str(path)]
    status = path.stat()
    path.write_bytes(other.read_bytes())
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    after = scan([str(path)], tmp_path)[str(path)]
    assert (after.size, after.mtime_ns) == (before.size, before.mtime_ns)
    assert after.digest != before.digest


def test_an_unchanged_picture_is_not_opened_again(tmp_path: Path, picture: Write, looked: list[str]) -> None:
    paths = [str(picture(tmp_path / f"{n}.png", seed=n)) for n in range(3)]
    first = scan(paths, tmp_path)
    assert looked == paths
    assert scan(paths, tmp_path) == first
    assert looked == paths


def test_a_changed_picture_is_opened_again(tmp_path: Path, picture: Write, looked: list[str]) -> None:
    path = picture(tmp_path / "a.png", seed=1)
    before = scan([str(path)], tmp_path)[str(path)]
    picture(path, 50, 32, seed=2)
    os.utime(path, ns=(1, 1))
    after = scan([str(path)], tmp_path)[str(path)]
    assert looked == [str(path)] * 2
    assert (after.width, after.digest != before.digest) == (50, True)


def test_a_broken_cache_is_as_good_as_none(tmp_path: Path, picture: Write) -> None:
    path = str(picture(tmp_path / "a.png"))
    (tmp_path / scan_module.CACHE_NAME).write_bytes(b"\xc1 not msgpack")
    assert path in scan([path], tmp_path)


def test_workers_find_the_same(tmp_path: Path, picture: Write) -> None:
    paths = [str(picture(tmp_path / f"{n}.png", seed=n)) for n in range(70)]
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    assert scan(paths, tmp_path / "one") == scan(paths, tmp_path / "two", workers=2)


def test_progress_rises_to_the_total_whether_cached_or_not(tmp_path: Path, picture: Write) -> None:
    paths = [str(picture(tmp_path / f"{n}.png", seed=n)) for n in range(40)]
    for _ in range(2):
        seen: list[tuple[int, int]] = []
        scan([*paths, paths[0]], tmp_path, progress=lambda done, total: seen.append((done, total)))  # noqa: B023
        assert seen == sorted(set(seen))
        assert seen[-1] == (40, 40)
