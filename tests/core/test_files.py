import multiprocessing
import os
import signal
import time

import pytest

from harness.core.errors import UsageError
from harness.core.files import digest_of, digest_of_files, is_text, spelt_out, write_atomically


def rewrite_for_ever(path, contents):
    while True:
        for content in contents:
            write_atomically(path, content)


def test_a_reader_never_sees_half_a_file_and_a_kill_leaves_a_whole_one(tmp_path):
    path = tmp_path / "record.json"
    contents = [b"a" * 3_000_000, b"b" * 3_000_000]
    write_atomically(path, contents[0])
    for _ in range(5):
        writer = multiprocessing.get_context("spawn").Process(target=rewrite_for_ever, args=(path, contents))
        writer.start()
        for _ in range(20):
            assert path.read_bytes() in contents
            time.sleep(0.02)
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        assert path.read_bytes() in contents


def test_a_folder_that_cannot_be_made_gives_a_sentence(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UsageError, match="cannot be written"):
        write_atomically(tmp_path / "file" / "record.json", b"")


def test_a_full_disk_gives_a_sentence_and_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "record.json"
    write_atomically(path, b"old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["record.json"]


def test_the_digest_of_a_value_does_not_depend_on_the_order_of_its_keys():
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    assert digest_of({"a": 1}) != digest_of({"a": 2})


def test_the_digest_of_files_sees_names_and_contents(tmp_path):
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    one.write_text("1", encoding="utf-8")
    first = digest_of_files([one], tmp_path)
    one.rename(two)
    renamed = digest_of_files([two], tmp_path)
    two.write_text("2", encoding="utf-8")
    assert len({first, renamed, digest_of_files([two], tmp_path)}) == 3


@pytest.mark.parametrize(
    ("name", "shown"),
    [(b"caf\xe9.jpg", "caf\\xe9.jpg"), ("café.jpg".encode(), "café.jpg"), (b"a\nb\x1b", "a\\nb\\x1b"), (b"a b", "a b")],
)
def test_a_file_name_is_spelt_out_where_it_is_no_text(name, shown):
    text = os.fsdecode(name)
    assert spelt_out(text) == shown
    spelt_out(text).encode()


def test_only_what_utf_8_can_hold_is_text():
    assert is_text("café\n")
    assert not is_text(os.fsdecode(b"caf\xe9"))
    assert not is_text("\ud800")
