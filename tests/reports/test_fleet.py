"""The fleet on paper, in small: that its folders are ones that the report reads."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from reports.__main__ import main
from reports.show.verdict_file import VerdictFile
from tests.reports.fleet import make_fleet


def test_a_fleet_is_reported_as_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = make_fleet(tmp_path / "fleet", machines=3, rounds=2)
    assert len([*tmp_path.glob("fleet/*/runs/*/*/*.json")]) == 3 * 2 * 10
    assert main([*map(str, folders), "--into", str(tmp_path / "all")]) == 0, capsys.readouterr().err
    verdict = msgspec.json.decode((tmp_path / "all" / "verdict.json").read_bytes(), type=VerdictFile)
    assert [machine.label for machine in verdict.machines] == [f"processor {number}" for number in (1, 2, 3)]
    assert all(machine.runs == {"ok": 20} for machine in verdict.machines)
