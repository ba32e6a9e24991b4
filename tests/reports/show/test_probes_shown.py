"""How probes are told: on the page, in the tables, and in the decision record as what will bite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from results_folder import Folder, environment

from harness.core.declaration import Case, DeclaredCheck, DeclaredProbe
from harness.core.record import Check, Fingerprint
from harness.core.spec import TWIN
from reports.show.page import STEP_MARKS, to_page
from reports.show.probes import OUTCOMES, ProbesTold, bites_of

Make = Callable[..., Folder]
Declare = Callable[[str, Case], None]
HOSTILE = "<img src=x onerror=owned=1>| `x` {{ 7*7 }}"


def declared(name: str, **more: Any) -> DeclaredProbe:
    return DeclaredProbe(name, f"Title of {name}", topic="Sorting", why=f"Why {name}.", means=f"Mind {name}.", **more)


PROBES = (
    declared("alike", see={"": "https://example.org/alike"}),
    declared("bits"),
    declared("silent", see={"1.11": "https://example.org/silent"}),
    declared("gone"),
    declared("added"),
    declared("said"),
    declared("gpu"),
)
VALUES: dict[str, tuple[Any, Any]] = {
    "alike": (1.0, 1.0),
    "bits": (1.0, 1.0 + 1e-7),
    "silent": ("TF32: on", "TF32: off"),
    "gone": (1.0, "raises TypeError"),
    "added": ("lr, momentum", "lr, momentum, foreach"),
    "said": ("none", f"Warning{HOSTILE}"),
}


@pytest.fixture
def results(folder: Make, declare: Declare) -> Folder:
    """Records of a case with probes of every outcome, and a check that fails on the candidate alone."""
    declare("probing", Case(checks=(DeclaredCheck("whole", "All is whole"),), fingerprints=PROBES))
    made = folder(["1.10.0", TWIN, "1.12.1"], rounds=2, cases=["probing"])
    for pin in made.pins:
        new = pin == "1.12.1"
        prints = [Fingerprint(name, [pair[new]], ["value"]) for name, pair in VALUES.items()]
        prints.append(Fingerprint("gpu", [], unable="no GPU"))
        checks = [Check("whole", "failed" if new else "held", "one is missing")]
        for index in range(2):
            seen = environment(torch="1.12.1" if new else "1.10.0")
            made.keep(pin, index, "probing", metrics=[], fingerprints=prints, checks=checks, environment=seen)
    return made


def told(results: Folder) -> ProbesTold:
    (block,) = results.table().blocks
    assert block.probes is not None
    return block.probes


def test_those_that_changed_come_first_and_the_most_expensive_of_them_at_the_top(results: Folder) -> None:
    rows = told(results).rows
    assert [(row.title.removeprefix("Title of "), row.outcome) for row in rows] == [
        ("silent", "results differ"),
        ("said", "results differ"),
        ("gone", "stops"),
        ("added", "does more"),
        ("bits", "last bits"),
        ("gpu", "cannot run"),
        ("alike", "same"),
    ]
    assert set(STEP_MARKS) == set(OUTCOMES)


def test_each_step_is_counted_by_its_outcomes(results: Folder) -> None:
    assert told(results).counts == [
        "1.10.0 → 1.12.1: 2 results differ, 1 stops, 1 does more, 1 last bits, 1 cannot run, 1 same"
    ]


def test_a_change_tells_what_was_and_what_is_and_where_it_is_documented(results: Folder) -> None:
    steps = {row.title.removeprefix("Title of "): row.steps[0] for row in told(results).rows}
    assert steps["silent"].told == ["value: TF32: on → TF32: off"]
    assert steps["silent"].source == ["https://example.org/silent"]
    assert steps["gone"].told == ["value: 1 → raises TypeError"]
    assert steps["gone"].source == ["unexplained"]
    assert steps["added"].told == ["value: + foreach"]
    assert steps["bits"].told == ["value: by up to 1e-07 of the largest"]
    assert steps["bits"].source == []
    assert steps["gpu"].told == ["no GPU"]


def test_the_table_tells_each_probe_once_and_the_same_ones_by_their_titles(results: Folder) -> None:
    text = results.markdown()
    assert (
        "| Title of silent | **results differ**<br>value: TF32: on → TF32: off<br><https://example.org/silent> |"
        in (" ".join(text.split()))
    )
    assert "- Title of silent. Why silent. Mind silent." in text
    assert "- same: Title of alike" in text
    assert "- cannot run: Title of gpu" in text
    assert "Why alike" not in text
    assert "<img" not in text


def test_the_terminal_has_the_counts_and_the_titles_of_what_changed(results: Folder) -> None:
    text = results.terminal()
    assert "1.10.0 → 1.12.1: 2 results differ" in text
    assert "  - Title of gone" in text
    assert "Title of alike" not in text


def test_no_probe_stands_among_the_fingerprints_or_the_arguments(results: Folder) -> None:
    (block,) = results.table().blocks
    assert block.prints is None
    assert "bit for bit as on" not in results.decision()


def test_the_page_shows_every_probe_and_nothing_foreign_becomes_markup(results: Folder) -> None:
    account = results.account()
    page = to_page(account, [results.table()], b"<svg/>", "")
    for probe in PROBES:
        assert probe.title in page
        assert probe.why in page
        assert probe.means in page
    assert 'href="https://example.org/silent"' in page
    assert 'href="https://example.org/alike"' in page
    assert "<img src=x" not in page


def test_what_will_bite_begins_with_checks_that_fail_and_ends_with_the_last_bits(results: Folder) -> None:
    section = results.decision().partition("### What Will Bite Us")[2].partition("### Confirmation")[0]
    lines = [line for line in section.splitlines() if line.startswith("* ")]
    starts = ["All is whole", "Results differ: Title of silent", "Results differ: Title of said"]
    starts += ["Stops: Title of gone", "Works now, or is there (1): Title of added"]
    starts += ["In the last bits alone (1): Title of bits"]
    assert "\n#### 1.12.1\n" in section
    assert len(lines) == len(starts)
    for line, start in zip(lines, starts, strict=True):
        assert start in line
    assert "Mind silent. Documented: https://example.org/silent" in lines[1]
    assert "Documented: unexplained" in lines[3]


def test_where_nothing_bites_there_is_no_such_section(folder: Make) -> None:
    results = folder()
    for pin in results.pins:
        results.keep_all(pin, memory=[400.0] * results.rounds)
    assert "What Will Bite Us" not in results.decision()
    assert bites_of([], "1.12.1") == []


def test_one_pin_alone_is_told_without_steps(folder: Make, declare: Declare) -> None:
    declare("probing", Case(fingerprints=PROBES[:1]))
    results = folder(["1.10.0"], rounds=1, cases=["probing"])
    results.keep("1.10.0", 0, "probing", metrics=[], fingerprints=[Fingerprint("alike", [1.0], ["value"])])
    (block,) = results.table().blocks
    assert block.probes is None
