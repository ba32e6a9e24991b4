"""Somebody's code: which version of it, and where a pattern is found."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.core.errors import UsageError
from reports.evidence.sources import MOST_PLACES, checkout_of, look


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    (folder / "models").mkdir(parents=True)
    (folder / "train.py").write_text("one\n# hook()\nhook()\n", encoding="utf-8")
    (folder / "models" / "net.py").write_bytes(b"hook()\n\xff\n")
    return folder


def test_a_pattern_is_found_line_by_line_in_the_files_that_are_named(code: Path) -> None:
    assert look(code, ["**/*.py"], r"^hook\(").places == ("models/net.py:1", "train.py:3")
    assert look(code, ["train.py"], "hook").places == ("train.py:2", "train.py:3")
    assert look(code, ["*.py"], "never").places == ()


def test_an_empty_pattern_asks_whether_there_are_such_files(code: Path) -> None:
    assert look(code, ["models/*.py"], "").places == ("models/net.py",)
    nothing = look(code, ["models/export.py"], "")
    assert (nothing.places, nothing.files, nothing.digest) == ((), 0, "")


def test_the_digest_is_of_the_files_that_were_looked_at(code: Path) -> None:
    before = look(code, ["train.py"], "one")
    (code / "models" / "net.py").write_text("changed", encoding="utf-8")
    assert look(code, ["train.py"], "one") == before
    (code / "train.py").write_text("one\n", encoding="utf-8")
    assert look(code, ["train.py"], "one").digest != before.digest


def test_few_places_are_kept(code: Path) -> None:
    (code / "train.py").write_text("hook\n" * 100, encoding="utf-8")
    assert len(look(code, ["train.py"], "hook").places) == MOST_PLACES


def test_a_checkout_is_told_with_its_commit_and_a_folder_in_one_is_none(code: Path) -> None:
    assert look(code, ["*.py"], "one").commit == ""
    git = ["git", "-C", str(code), "-c", "user.name=n", "-c", "user.email=e"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "m"]):
        subprocess.run([*git, *words], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    commit = look(code, ["*.py"], "one").commit
    assert len(commit) == 12
    assert head.startswith(commit)
    assert look(code / "models", ["*.py"], "one").commit == ""


def test_a_checkout_is_named_by_a_variable(code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CODE_CHECKOUT", raising=False)
    assert checkout_of("CODE_CHECKOUT") is None
    monkeypatch.setenv("CODE_CHECKOUT", str(code))
    assert checkout_of("CODE_CHECKOUT") == code
    monkeypatch.setenv("CODE_CHECKOUT", str(code / "train.py"))
    with pytest.raises(UsageError, match=r"CODE_CHECKOUT names .*train\.py, which is no folder"):
        checkout_of("CODE_CHECKOUT")
