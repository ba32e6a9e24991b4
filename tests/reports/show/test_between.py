"""Tables of what pins read of one another: on the page, in markdown, on a terminal, and what verdicts make of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from browser import Browser
from markdown_it import MarkdownIt
from results_folder import Folder, metric, policy

from harness.core.declaration import BetweenPins, Case, DeclaredCheck, DeclaredMetric
from harness.core.record import Check
from harness.core.spec import TWIN
from reports.__main__ import main
from reports.show.between import LEGEND, BetweenTable

Make = Callable[..., Folder]
Declare = Callable[[str, Case], None]
Reads = dict[tuple[str, str, str], Check]
PINS = ["1.10.0", TWIN, "1.12.1"]
WRITERS = ["1.10.0", "1.12.1"]
HOSTILE = "a|b <script>x</script> [c](d)\n# e"
CASE = Case(
    metrics=(DeclaredMetric("load_time", "Time to load", "s", "ratio"),),
    checks=(
        DeclaredCheck("weights", "Weights of {part} load here", BetweenPins("Weights", "Save tensors.")),
        DeclaredCheck("script", "A script of {part} loads here", BetweenPins("Script", "Trace anew."), gates=False),
    ),
)


@pytest.fixture
def carried(folder: Make, declare: Declare) -> Callable[[Reads], Folder]:
    """A folder of two rounds; by kind, writer and reader what is otherwise than equal in all bits."""
    declare("carry", CASE)

    def make(reads: Reads, rounds: int = 2) -> Folder:
        results = folder(PINS, rounds=rounds, cases=["carry"], policy=policy("step_time", required=["carry"]))
        for pin in PINS:
            made = [
                reads.get((kind, writer, pin), Check("", "held", "equal in all bits", 0.0))
                for kind in ("weights", "script")
                for writer in WRITERS
            ]
            names = [f"{kind}:{writer}" for kind in ("weights", "script") for writer in WRITERS]
            checks = [
                Check(name, one.outcome, one.said, one.apart, one.warnings)
                for name, one in zip(names, made, strict=True)
            ]
            for index in range(rounds):
                results.keep(pin, index, "carry", metrics=[metric("load_time", "s", 0.1)], checks=checks)
        return results

    return make


def failing(said: str = "KeyError: 'lr'") -> Check:
    return Check("", "failed", said)


def tables(results: Folder) -> list[BetweenTable]:
    (block,) = results.table().blocks
    assert block.checks == []
    return block.between


def texts(table: BetweenTable) -> dict[str, list[str]]:
    return {writer: [cell.text for cell in cells] for writer, cells in table.lines}


def reasons(results: Folder) -> list[tuple[str, str]]:
    """Role and check of the candidate's reasons that are checks."""
    (found,) = results.verdict_file().machines[0].candidates
    return [(reason.role, reason.about) for reason in found.reasons if reason.kind == "check"]


def test_each_kind_is_a_table_of_writers_by_readers(carried: Callable[[Reads], Folder]) -> None:
    weights, script = tables(carried({("weights", "1.10.0", "1.12.1"): Check("", "held", "apart", 2.5e-7)}))
    assert (weights.what, script.what) == ("Weights", "Script")
    assert texts(weights) == {"1.10.0": ["✓", "✓", "≈ 2e-07"], "1.12.1": ["✓", "✓", "✓"]}
    assert [cell.kind for cell in weights.lines[0][1]] == ["same", "same", "close"]
    assert (weights.notes, weights.advice) == ([], "")


def test_a_failure_has_a_mark_a_note_and_the_advice_and_alike_ones_share_the_note(
    carried: Callable[[Reads], Folder],
) -> None:
    reads = {
        ("weights", "1.12.1", "1.10.0"): failing(),
        ("weights", "1.12.1", TWIN): failing(),
        ("script", "1.12.1", "1.10.0"): Check("", "open", "1.12.1 saved none"),
    }
    weights, script = tables(carried(reads))
    assert texts(weights)["1.12.1"] == ["✗¹", "✗¹", "✓"]
    assert (weights.notes, weights.advice) == ([(1, "KeyError: 'lr'")], "Save tensors.")
    assert texts(script)["1.12.1"] == ["?²", "✓", "✓"]
    assert (script.notes, script.advice) == ([(2, "1.12.1 saved none")], "")


def test_a_warning_is_marked_and_told_and_many_are_counted(carried: Callable[[Reads], Folder]) -> None:
    many = [f"{what} is old" for what in ("this", "that", "it", "all")]
    reads = {
        ("weights", "1.10.0", "1.12.1"): Check("", "held", "", 0.0, ["this is old"]),
        ("weights", "1.12.1", "1.10.0"): Check("", "held", "", 1e-6, many),
    }
    weights, _ = tables(carried(reads))
    assert texts(weights) == {"1.10.0": ["✓", "✓", "✓ !¹"], "1.12.1": ["≈ 1e-06 !²", "✓", "✓"]}
    assert weights.notes == [(1, "warns: this is old"), (2, "warns: this is old; that is old; and 2 more")]


def test_a_failure_of_some_rounds_has_their_number_and_no_run_a_dash(folder: Make, declare: Declare) -> None:
    declare("carry", CASE)
    results = folder(["1.10.0", "1.12.1"], rounds=2, cases=["carry"])
    for index, one in enumerate(("held", "failed")):
        check = Check("weights:1.10.0", one, "torn" if one == "failed" else "fine", 0.0)  # type: ignore[arg-type]
        results.keep("1.10.0", index, "carry", metrics=[metric("load_time", "s", 0.1)], checks=[check])
    (weights,) = tables(results)
    assert texts(weights) == {"1.10.0": ["✗ failed in 1 of 2 runs¹", "\N{EN DASH}"]}


def test_markdown_has_one_table_with_notes_and_what_can_be_done(carried: Callable[[Reads], Folder]) -> None:
    text = carried({("weights", "1.12.1", "1.10.0"): failing(HOSTILE)}).markdown()
    assert LEGEND in text
    row = next(line for line in text.splitlines() if "| 1.12.1 " in line and "✗" in line)
    assert [cell.strip() for cell in row.strip("|").split("|")] == ["", "1.12.1", "✗¹", "✓", "✓"]
    assert "- Weights: Save tensors." in text
    assert "Trace anew" not in text
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    assert "<script" not in html
    assert 'href="d"' not in html


def test_a_terminal_has_a_line_for_every_writer(carried: Callable[[Reads], Folder]) -> None:
    text = carried({("weights", "1.12.1", "1.10.0"): failing()}).terminal()
    assert "saved by 1.10.0: 1.10.0 ✓, A/A ✓, 1.12.1 ✓" in text
    assert "saved by 1.12.1: 1.10.0 ✗¹, A/A ✓, 1.12.1 ✓" in text


def test_what_the_baseline_wrote_holds_a_candidate_that_cannot_read_it(carried: Callable[[Reads], Folder]) -> None:
    results = carried({("weights", "1.10.0", "1.12.1"): failing()})
    assert reasons(results) == [("holds", "weights:1.10.0")]
    assert results.verdict().decision == "hold"


def test_what_does_not_gate_is_told_and_holds_nothing(carried: Callable[[Reads], Folder]) -> None:
    assert reasons(carried({("script", "1.10.0", "1.12.1"): failing()})) == [("tells", "script:1.10.0")]


def test_what_others_than_the_baseline_wrote_says_nothing_for_or_against_a_candidate(
    carried: Callable[[Reads], Folder],
) -> None:
    results = carried({("weights", "1.12.1", "1.12.1"): failing(), ("weights", "1.12.1", "1.10.0"): failing()})
    assert reasons(results) == []
    stored = {(one.name, one.gates) for one in results.verdict_file().machines[0].checks}
    assert ("weights:1.10.0", True) in stored
    assert ("weights:1.12.1", False) in stored
    assert "weights of 1.12.1" not in results.decision().lower()


def test_the_page_shows_the_tables_and_foreign_text_does_no_harm(
    carried: Callable[[Reads], Folder], browser: Browser
) -> None:
    results = carried({("weights", "1.12.1", "1.10.0"): failing("<script>owned=1</script> gone")})
    main([str(results.path)])
    browser.open(results.path / "index.html")
    shown = browser.run("return [...document.querySelectorAll('.between > div')].map(e => e.innerText)")
    assert len(shown) == 2
    assert "✗¹" in shown[0]
    assert "<script>owned=1</script> gone" in shown[0]
    assert "Save tensors." in shown[0]
    assert "Trace anew." not in shown[1]
    assert not browser.run("return window.owned")
