"""The first line of a checkpoint, which is read without the rest."""

import msgspec
import pytest

from harness.core.checkpoints import FORMAT, Header, read_header

HEADER = Header(format=FORMAT, torch="1.10.0", run="abc", epoch=2, step=0, size=3, sha256="0" * 64)


@pytest.fixture
def written(tmp_path):
    """A file with this first line and three bytes after it."""

    def write(line):
        path = tmp_path / "0.1.checkpoint"
        path.write_bytes(line + b"\n\xff\x00\n")
        return path

    return write


def test_the_header_is_the_first_line_whatever_bytes_follow(written):
    assert read_header(written(msgspec.json.encode(HEADER))) == HEADER


@pytest.mark.parametrize("form", [FORMAT - 1, FORMAT + 1])
def test_a_checkpoint_of_another_format_has_no_header_here(written, form):
    assert read_header(written(msgspec.json.encode(msgspec.structs.replace(HEADER, format=form)))) is None


@pytest.mark.parametrize("line", [b"", b"hello", b"\xff\xfe", b"{}", b"[3]", msgspec.json.encode(HEADER)[:-1]])
def test_what_does_not_begin_as_a_checkpoint_has_none(written, line):
    assert read_header(written(line)) is None


def test_neither_has_a_file_that_is_not_there_or_no_file(tmp_path):
    assert read_header(tmp_path / "0.1.checkpoint") is None
    assert read_header(tmp_path) is None
