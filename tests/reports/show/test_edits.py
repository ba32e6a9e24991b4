"""The sections of decision.md that people edit: they stay, byte for byte, and a sign-off is of what it names."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from results_folder import Folder, policy

from harness.core.errors import UsageError
from harness.core.policy import read_policy
from harness.core.spec import TWIN
from reports.__main__ import main
from reports.show.decision import evidence_digest
from reports.show.edits import FIRST, SIGN_OFF, marker, read_edits

Make = Callable[..., Folder]
Output = pytest.CaptureFixture[str]
ALL = {"epoch": [30.0, 31.0, 30.5], "map50": [0.8, 0.81, 0.805]}
OWN = "We ship in March.\r\n\n  * two\tspaces \u2028 \ufeff\n\n```\n# no marker\n```\n\n"
SIGNED = "Evidence: {}\n\n| Ada | lead | 2026-03-01 | sign |\n"
ELSEWHERE = "**Status or sign-off were given on other evidence than "


@pytest.fixture
def results(folder: Make) -> Folder:
    """A matrix with a candidate, reported once."""
    made = folder(["1.10.0", TWIN, "1.12.1"], rounds=3, policy=read_policy())
    for pin in made.pins:
        made.keep_all(pin, **ALL)
    main([str(made.path)])
    return made


def text_of(results: Folder) -> str:
    return (results.path / "decision.md").read_bytes().decode()


def write(results: Folder, text: str) -> None:
    (results.path / "decision.md").write_bytes(text.encode())


def edit(results: Folder, **sections: str) -> None:
    """Put these texts into the sections, whose names have `_` for `-`."""
    text = text_of(results)
    for name, content in sections.items():
        section = name.replace("_", "-")
        found = read_edits(results.path / "decision.md")[section]
        text = text.replace(f"{marker(section)}\n{found}", f"{marker(section)}\n{content}")
        assert content in text
    write(results, text)


def measure_again(results: Folder) -> None:
    """Other records: the candidate is slower now."""
    results.keep_all("1.12.1", **{**ALL, "epoch": [33.0, 34.2, 33.5]})


def digest(results: Folder) -> str:
    return evidence_digest(results.verdict_file())


# --- what was edited stays --------------------------------------------------------------------------------------


def test_without_a_file_there_is_nothing_to_keep(folder: Make) -> None:
    assert read_edits(folder().path / "decision.md") == {}


def test_a_second_report_changes_no_byte(results: Folder) -> None:
    before = text_of(results)
    main([str(results.path)])
    assert text_of(results) == before


@pytest.mark.parametrize("name", ["context", "risks", "decision-makers"])
@pytest.mark.parametrize("own", [OWN, "", "\n"])
def test_an_edited_section_stays_byte_for_byte_while_the_evidence_changes(results: Folder, name: str, own: str) -> None:
    edit(results, **{name.replace("-", "_"): own})
    edited = text_of(results)
    measure_again(results)
    main([str(results.path)])
    assert read_edits(results.path / "decision.md")[name] == own
    assert "Step time is worse" in text_of(results)
    assert "Step time is worse" not in edited


def test_what_is_edited_outside_the_sections_is_generated_again(results: Folder) -> None:
    before = text_of(results)
    write(results, before.replace("## Decision Outcome\n", "## Decision Outcome\n\nMove at once!\n"))
    main([str(results.path)])
    assert text_of(results) == before


def test_a_file_with_the_line_ends_of_windows_keeps_its_sections(results: Folder) -> None:
    edit(results, context="We ship in March.\n")
    write(results, text_of(results).replace("\n", "\r\n"))
    main([str(results.path)])
    assert read_edits(results.path / "decision.md")["context"] == "We ship in March.\r\n"
    assert "## Decision Outcome\n" in text_of(results)


# --- the sign-off is of the evidence that it names --------------------------------------------------------------


def test_a_sign_off_that_nobody_filled_in_is_renewed_with_the_evidence(results: Folder) -> None:
    first = digest(results)
    assert read_edits(results.path / "decision.md")["sign-off"] == SIGN_OFF.format(digest=first)
    measure_again(results)
    main([str(results.path)])
    assert digest(results) != first
    assert read_edits(results.path / "decision.md")["sign-off"] == SIGN_OFF.format(digest=digest(results))
    assert ELSEWHERE not in text_of(results)


def test_a_sign_off_on_this_evidence_stays_and_is_not_flagged(results: Folder) -> None:
    edit(results, sign_off=SIGNED.format(digest(results)), decision_makers="status: accepted\n")
    signed = text_of(results)
    main([str(results.path)])
    assert text_of(results) == signed
    assert ELSEWHERE not in signed


def test_a_sign_off_on_other_evidence_stays_and_is_flagged_above_it_and_at_the_top(results: Folder) -> None:
    signed = SIGNED.format(digest(results))
    edit(results, sign_off=signed)
    measure_again(results)
    main([str(results.path)])
    text = text_of(results)
    assert read_edits(results.path / "decision.md")["sign-off"] == signed
    assert ELSEWHERE + digest(results) in text.partition("### Sign-off")[2].partition(marker("sign-off"))[0]
    assert f"**Decided on other evidence than {digest(results)}: see the sign-off.**" in text.partition("## Context")[0]


def test_signing_again_takes_the_flag_away(results: Folder) -> None:
    edit(results, sign_off=SIGNED.format(digest(results)))
    measure_again(results)
    main([str(results.path)])
    edit(results, sign_off=SIGNED.format(digest(results)))
    main([str(results.path)])
    assert "other evidence" not in text_of(results)


@pytest.mark.parametrize("status", ["status: accepted\n", "status: rejected\ndecision-makers: [Ada]\n", ""])
def test_a_status_set_on_other_evidence_is_flagged_though_nobody_signed(results: Folder, status: str) -> None:
    edit(results, decision_makers=status)
    measure_again(results)
    for _ in range(2):  # and it does not wear off
        main([str(results.path)])
        assert ELSEWHERE in text_of(results)
    assert read_edits(results.path / "decision.md")["decision-makers"] == status


def test_naming_who_decides_is_no_decision(results: Folder) -> None:
    edit(results, decision_makers='status: "proposed"\ndecision-makers: [Ada, Grace]\nconsulted: [Linus]\n')
    measure_again(results)
    main([str(results.path)])
    assert "other evidence" not in text_of(results)


def test_calibrating_the_machine_does_not_undo_a_sign_off(folder: Make) -> None:
    made = folder(["1.10.0", TWIN, "1.12.1"], rounds=3, policy=policy("epoch_time"))
    verdict = made.verdict_file()
    (machine,) = verdict.machines
    told = msgspec.structs.replace(machine, calibration_sentence="Calibrated on this machine.")
    calibrated = msgspec.structs.replace(verdict, machines=[told])
    assert evidence_digest(calibrated) == evidence_digest(verdict)


# --- broken markers ---------------------------------------------------------------------------------------------

OPEN, END = marker("context"), marker("context", end=True)
BROKEN = {
    "no end": ((END, ""), "section context has not ended yet: put `<!-- end edit: context -->` above."),
    "no end at the end": ((marker("sign-off", end=True), ""), "section sign-off has no end: add `<!-- end edit: sign"),
    "no start": ((OPEN, ""), "section context ends without being open: put `<!-- edit: context -->` where it starts."),
    "twice": ((marker("risks"), OPEN), "section context was opened in line 27 already: keep it once."),
    "nested": ((END, f"{marker('risks')}\n{END}"), "section context has not ended yet"),
    "unknown": ((OPEN, "<!-- edit: kontext -->"), "there is no section kontext: take one of decision-makers, context,"),
    "ended twice": ((END, f"{END}\n{END}"), "section context ends without being open"),
    "ends another": ((END, marker("risks", end=True)), "section risks ends without being open"),
    "not alone": ((END, f"Text. {END}"), "a marker has to be a line of its own like `<!-- edit: risks -->`:"),
    "misspelt": ((OPEN, "<!--edit : context-->"), "a marker has to be a line of its own"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_marker_is_refused_with_its_line_and_nothing_is_written(
    results: Folder, capsys: Output, case: str
) -> None:
    (old, new), said = BROKEN[case]
    broken = text_of(results).replace(old, new)
    write(results, broken)
    measure_again(results)
    before = {path.name: path.read_bytes() for path in results.path.glob("*.*")}
    capsys.readouterr()
    assert main([str(results.path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {results.path / 'decision.md'}, line ")
    assert said in error
    assert error.count("\n") == 1
    assert {path.name: path.read_bytes() for path in results.path.glob("*.*")} == before


def test_the_line_that_is_named_is_the_one_with_the_marker(results: Folder, capsys: Output) -> None:
    lines = text_of(results).split("\n")
    lines[lines.index(END)] = ""
    write(results, "\n".join(lines))
    main([str(results.path)])
    assert f"decision.md, line {lines.index(marker('risks')) + 1}: " in capsys.readouterr().err


@pytest.mark.parametrize("name", FIRST)
def test_a_file_that_lacks_a_section_is_refused_as_text_of_people_may_be_lost(
    results: Folder, capsys: Output, name: str
) -> None:
    lines = text_of(results).split("\n")
    without = "\n".join(line for line in lines if f"edit: {name} -->" not in line)
    write(results, without)
    assert main([str(results.path)]) == 2
    assert f"decision.md has no section {name}: put the lines `{marker(name)}` and" in capsys.readouterr().err
    assert text_of(results) == without


@pytest.mark.parametrize("content", [b"", b"# Our own decision\n", b"\xff\xfe"])
def test_a_decision_that_is_not_ours_is_not_written_over(results: Folder, capsys: Output, content: bytes) -> None:
    (results.path / "decision.md").write_bytes(content)
    assert main([str(results.path)]) == 2
    assert re.search("move (it|the file) away", capsys.readouterr().err)
    assert (results.path / "decision.md").read_bytes() == content


def test_a_folder_in_the_place_of_the_file_is_said_to_be_in_the_way(results: Folder, capsys: Output) -> None:
    (results.path / "decision.md").unlink()
    (results.path / "decision.md").mkdir()
    assert main([str(results.path)]) == 2
    assert "decision.md cannot be read (Is a directory): mend it or move it away." in capsys.readouterr().err


def test_a_file_that_must_not_be_written_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "decision.md"
    path.write_text("signed", encoding="utf-8")
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write everything
    with pytest.raises(UsageError, match="must not be written"):
        read_edits(path)
