import sys

import pytest

from harness.conduct import environments
from harness.conduct.environments import interpreter_of, require_ambient, why_not_built
from harness.core.errors import UsageError
from harness.core.spec import AMBIENT, Pin


def test_an_environment_built_from_another_lock_is_not_used(spec, tmp_path, monkeypatch):
    monkeypatch.setattr(environments, "BUILT", tmp_path)
    built = f'{{"interpreter": "{sys.executable}", "source": {{"lock": "other"}}}}'
    (tmp_path / "1.13.1.json").write_text(built, encoding="utf-8")
    assert interpreter_of(spec.pin) is None
    (tmp_path / "1.13.1.json").write_text(built.replace("other", spec.pin.lock), encoding="utf-8")
    assert str(interpreter_of(spec.pin)) == sys.executable


@pytest.mark.parametrize("text", ["", "[]", "{}"])
def test_a_broken_marker_counts_as_not_built(spec, tmp_path, monkeypatch, text):
    monkeypatch.setattr(environments, "BUILT", tmp_path)
    (tmp_path / "1.13.1.json").write_text(text, encoding="utf-8")
    assert interpreter_of(spec.pin) is None


def test_what_is_not_built_says_how_to_get_the_python_that_it_needs(spec):
    assert "uv python install 3.9" in why_not_built(spec.pin)


def test_the_ambient_interpreter_is_the_one_that_runs_nox(monkeypatch):
    monkeypatch.setenv("TORCH_MATRIX_AMBIENT", "/some/python")
    assert str(interpreter_of(Pin(AMBIENT, None, None, None, None))) == "/some/python"


def test_an_ambient_interpreter_without_torch_is_one_sentence(monkeypatch):
    monkeypatch.setattr(environments, "NEEDED", ("sys", "no_such_module"))
    with pytest.raises(UsageError, match="lacks no_such_module"):
        require_ambient(sys.executable)
