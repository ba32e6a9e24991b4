"""What decides whether a pin's environment is used again."""

import importlib.util
import json

import pytest

from harness.core.files import ROOT


@pytest.fixture(scope="module")
def module():
    """The project's noxfile, loaded once: nox registers its sessions."""
    spec = importlib.util.spec_from_file_location("noxfile_under_test", ROOT / "noxfile.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        spec.loader.exec_module(module)
    return module


@pytest.fixture
def noxfile(module, tmp_path, monkeypatch):
    """The noxfile with one lock and one complete environment of its own."""
    monkeypatch.setattr(module, "LOCKS", tmp_path)
    monkeypatch.setattr(module, "BUILT", tmp_path)
    (tmp_path / "1.13.1.txt").write_text("torch==1.13.1\n", encoding="utf-8")
    (tmp_path / "python").write_text("", encoding="utf-8")
    built = {"interpreter": str(tmp_path / "python"), "source": module.source_of("1.13.1")}
    (tmp_path / "1.13.1.json").write_text(json.dumps(built), encoding="utf-8")
    return module


def test_an_environment_is_kept_while_its_lock_is_unchanged(noxfile):
    assert noxfile.is_built("1.13.1")


def test_a_changed_lock_means_a_new_environment(noxfile, tmp_path):
    (tmp_path / "1.13.1.txt").write_text("torch==1.13.1\nnumpy==1.26.4\n", encoding="utf-8")
    assert not noxfile.is_built("1.13.1")


def test_another_python_means_a_new_environment(noxfile, monkeypatch):
    monkeypatch.setitem(noxfile.PINS, "1.13.1", "3.10")
    assert not noxfile.is_built("1.13.1")


def test_an_environment_that_was_deleted_or_never_completed_is_built(noxfile, tmp_path):
    (tmp_path / "python").unlink()
    assert not noxfile.is_built("1.13.1")
    (tmp_path / "1.13.1.json").unlink()
    assert not noxfile.is_built("1.13.1")


def test_every_pin_of_the_matrix_file_has_a_session(noxfile, matrix):
    assert set(noxfile.PINS) == set(matrix.pins)
