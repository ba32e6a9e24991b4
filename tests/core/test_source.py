"""A user's folder: what belongs to it, what its digest follows, and its copy."""

import pytest

from harness.core import source
from harness.core.errors import UsageError
from harness.core.source import copy_source, digest_of_source, entries_of, source_folder


@pytest.fixture
def folder(tmp_path):
    """A script with a module, a link to data, and what does not belong to it."""
    made = tmp_path / "mine"
    (made / "parts" / "__pycache__").mkdir(parents=True)
    (made / ".git").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "picture.png").write_bytes(b"a picture")
    for name in ("train.py", "parts/net.py", "parts/__pycache__/net.pyc", ".git/config", ".hidden"):
        (made / name).write_text(name, encoding="utf-8")
    (made / "data").symlink_to(tmp_path / "data")
    return made


def names(folder):
    return [path.relative_to(folder).as_posix() for path in entries_of(folder)]


def test_hidden_files_and_caches_do_not_belong_to_it_and_links_are_not_followed(folder):
    assert sorted(names(folder)) == ["data", "parts/net.py", "train.py"]


def test_a_changed_added_or_renamed_file_changes_the_digest(folder):
    seen = {digest_of_source(folder)}
    (folder / "train.py").write_text("other", encoding="utf-8")
    seen.add(digest_of_source(folder))
    (folder / "more.py").touch()
    seen.add(digest_of_source(folder))
    (folder / "more.py").rename(folder / "less.py")
    seen.add(digest_of_source(folder))
    assert len(seen) == 4


def test_where_it_lies_and_what_does_not_belong_to_it_leave_the_digest_as_it_is(folder, tmp_path):
    before = digest_of_source(folder)
    (folder / ".git" / "config").write_text("other", encoding="utf-8")
    (tmp_path / "data" / "picture.png").write_bytes(b"another")
    moved = folder.rename(tmp_path / "moved")
    assert digest_of_source(moved) == before


def test_a_large_file_is_known_by_its_size_and_linked_in_the_copy(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(source, "MOST_BYTES", 10)
    (folder / "weights").write_bytes(b"0" * 11)
    before = digest_of_source(folder)
    (folder / "weights").write_bytes(b"1" * 11)
    assert digest_of_source(folder) == before
    (folder / "weights").write_bytes(b"1" * 12)
    assert digest_of_source(folder) != before
    copy_source(folder, tmp_path / "copy")
    assert (tmp_path / "copy" / "weights").is_symlink()
    assert (tmp_path / "copy" / "weights").read_bytes() == b"1" * 12


def test_a_copy_has_the_files_of_its_own_and_reaches_the_data(folder, tmp_path):
    copy_source(folder, tmp_path / "copy")
    assert names(tmp_path / "copy") == names(folder)
    assert (tmp_path / "copy" / "data" / "picture.png").read_bytes() == b"a picture"
    (tmp_path / "copy" / "train.py").write_text("spoilt", encoding="utf-8")
    assert (folder / "train.py").read_text(encoding="utf-8") == "train.py"


def test_a_folder_with_more_files_than_a_program_has_is_refused(folder, monkeypatch):
    monkeypatch.setattr(source, "MOST_FILES", 2)
    with pytest.raises(UsageError, match="holds more than 2 files: keep data elsewhere"):
        digest_of_source(folder)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        digest_of_source(tmp_path / "absent")


def test_a_relative_path_begins_at_the_project_and_a_tilde_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/somebody")
    assert source_folder("mine", tmp_path) == tmp_path / "mine"
    assert str(source_folder("~/mine", tmp_path)) == "/somebody/mine"
    assert str(source_folder("/else/mine", tmp_path)) == "/else/mine"
