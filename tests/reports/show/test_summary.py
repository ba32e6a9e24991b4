"""`summary.md`: what stands in a job's summary or a pull request."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from markdown_it import MarkdownIt
from results_folder import Folder, environment, hashes, policy, train_metrics
from saying import says

from harness.core.spec import TWIN
from reports.judge.judgement import judge
from reports.show.markdown import MOST_CHARACTERS, to_summary
from reports.show.table import build_table
from reports.show.text import for_markdown
from reports.show.verdict_file import account_of

Make = Callable[..., Folder]
PINS = ["1.10.0", TWIN, "1.12.1"]
TAKEN = 65_536
"""Characters that GitHub takes in a comment."""
HOSTILE = "a|b `c` *d* _e_ <script>g</script> &amp; \\| \x1b[31mh\x07\r\n| x | y |\n# i \u202ej\u2028k ![l](m) [n](o)"


def judged(folder: Make, **settings: object) -> Folder:
    results = folder(PINS, rounds=3, policy=policy("epoch_time"), **settings)
    for pin in results.pins:
        results.keep_all(pin, epoch=[33.0, 34.1, 33.55] if pin == "1.12.1" else [30.0, 31.0, 30.5])
    return results


def rendered(markdown: str) -> str:
    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(markdown)


def test_it_starts_with_the_verdict_on_each_candidate_in_one_sentence(folder: Make) -> None:
    results = judged(folder)
    lines = results.summary().splitlines()
    assert lines[:2] == ["# Upgrade verdict", ""]
    (candidate,) = results.verdict_file().candidates
    assert lines[2] == f"- **1.12.1: hold.** {for_markdown(candidate.sentence)}"
    assert says(candidate.sentence, "Epoch time is worse", "+10.0 % [")


def test_the_control_and_the_tables_follow(folder: Make) -> None:
    results = judged(folder)
    text = results.summary()
    control = for_markdown(results.verdict_file().machines[0].control.sentence)
    heading, said, below = text.partition(f"\n\n{control}\n\n")
    assert heading.endswith("quick on AMD EPYC 7B13")
    assert said
    assert below.startswith("### train\n\n| metric ")
    assert re.search(r"^\| Epoch time \(s\) +\| +30\.50 \(30\.00.31\.00\) \|", text, flags=re.MULTILINE)
    assert rendered(text).count("<table>") == 1
    assert "Every run" not in text


def test_warnings_stand_above_the_tables(folder: Make) -> None:
    results = judged(folder)
    results.keep("1.12.1", 1, hashes=hashes(data="other"))
    above = results.summary().partition("| metric")[0]
    assert says(above, "> **Warning:** ", "1.12.1, round 2: ")


def test_a_noisy_machine_is_the_first_warning(folder: Make) -> None:
    results = judged(folder)
    results.keep_all(TWIN, epoch=[36.0, 37.2, 36.6])
    (first, *_) = [line for line in results.summary().splitlines() if line.startswith("> ")]
    assert first.startswith("> **Warning:** NOISE: ")


def test_what_is_not_there_is_said_with_its_reason(folder: Make) -> None:
    results = judged(folder)
    results.fail("1.12.1", 1, "CUDA error: no kernel image")
    assert says(results.summary(), "1.12.1, round 2, failed: ", "CUDA error: no kernel")


def test_a_matrix_without_a_candidate_says_so(folder: Make) -> None:
    results = folder(["1.10.0"])
    results.keep("1.10.0")
    heading, said, *_ = results.summary().split("\n\n")
    assert (heading, said) == ("# Upgrade verdict", "No candidate was measured.")


def test_several_machines_are_in_one_summary(folder: Make) -> None:
    one, other = judged(folder), judged(folder, name="other")
    for index in range(3):
        for pin in other.pins:
            there = environment(cpu="Intel Xeon")
            other.keep(pin, index, environment=there, ended="2026-02-02", metrics=train_metrics(epoch=30 + index))
    account = account_of(judge([one.path, other.path], one.policy))
    text = to_summary([build_table(told) for told in account.machines], account.verdict)
    assert text.count("\n## Cross-version table: ") == text.count("| metric ") == 2
    assert says(text, "- **1.12.1: hold.**", "disagree", "hold on AMD EPYC")


def test_fingerprints_are_left_to_the_whole_table(folder: Make) -> None:
    results = judged(folder)
    for pin in PINS:
        results.keep_prints(pin, *[{"final_weights": "f"}] * 3)
    assert "Final weights" not in results.summary()
    assert "Final weights" in results.markdown()


# --- short enough -----------------------------------------------------------------------------------------------


REST = "The rest does not fit here: it is in table.md."


def assert_cut_well(text: str) -> None:
    """Short enough for a comment, cut at the end of a line, and saying so."""
    assert MOST_CHARACTERS / 2 < len(text) < TAKEN
    assert text.endswith(f"\n\n{REST}\n")


def test_a_short_summary_is_whole(folder: Make) -> None:
    text = judged(folder).summary()
    assert len(text) < 5000
    assert "does not fit" not in text


def test_two_hundred_pins_fit_into_a_comment(folder: Make) -> None:
    results = folder([f"1.{number}.0" for number in range(200)], rounds=2)
    for pin in results.pins:
        results.keep_all(pin)
    whole = results.summary()
    assert_cut_well(whole)
    assert all(f"- **{pin}: " in whole for pin in results.pins[1:])


@pytest.mark.parametrize("reason", ["x" * 100_000, "<&|*" * 25_000, "why " * 25_000])
def test_very_long_reasons_fit_into_a_comment(folder: Make, reason: str) -> None:
    results = folder([f"1.{number}.0" for number in range(200)])
    for number, pin in enumerate(results.pins):
        results.fail(pin, 0, f"{number} {reason}")
    text = results.summary()
    assert_cut_well(text)
    assert "x" * 301 not in text


def test_it_is_cut_at_the_end_of_a_line(folder: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    results = judged(folder)
    tables, verdict = [results.table()], results.verdict_file()
    whole = to_summary(tables, verdict).splitlines()
    for most in range(100, 1500, 7):
        monkeypatch.setattr("reports.show.markdown.MOST_CHARACTERS", most)
        *kept, empty, said, end = to_summary(tables, verdict).split("\n")
        assert (empty, said, end) == ("", REST, "")
        assert kept == whole[: len(kept)]


# --- hostile text -----------------------------------------------------------------------------------------------


def test_hostile_names_and_reasons_are_text_like_any_other(folder: Make) -> None:
    pin = HOSTILE.replace("/", "")
    results = folder(["1.10.0", TWIN, pin], rounds=2)
    for name in results.pins:
        results.keep(name, 0, environment=environment(cpu=HOSTILE), notes={HOSTILE: HOSTILE})
    results.fail(pin, 1, HOSTILE)
    html = rendered(results.summary())
    assert set(re.findall(r"</?([a-zA-Z0-9]+)", html)) <= {
        *("h1", "h2", "h3", "p", "ul", "li", "strong", "blockquote"),
        *("table", "thead", "tbody", "tr", "th", "td", "br"),
    }
    assert "&lt;script&gt;g&lt;" in html
    (table,) = re.findall(r"<table>.*?</table>", html, flags=re.DOTALL)
    rows = re.findall(r"<tr>.*?</tr>", table, flags=re.DOTALL)
    assert {len(re.findall(r"<t[hd][ >]", row)) for row in rows} == {4}
    assert (html.count("<h1>"), html.count("<h2>"), html.count("<h3>")) == (1, 1, 1)
    assert "\x1b" not in html
    assert "\u202e" not in html
