"""Names and messages that hold markup, HTML, escape codes or line breaks do no harm where they are shown."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

import pytest
from markdown_it import MarkdownIt
from results_folder import Folder, check, environment, metric

from harness.core.record import Fingerprint
from reports.show.text import for_markdown, one_line

Make = Callable[..., Folder]
HOSTILE = "a|b `c` *d* _e_ [red]f[/red] <script>g</script> &amp; \\| \x1b[31mh\x07\r\n| x | y |\n# i \u202ej\u2028k"


def hostile_folder(folder: Make) -> Folder:
    pin = HOSTILE.replace("/", "")
    results = folder(["1.10.0", pin], rounds=2)
    made = [check("failed", HOSTILE, HOSTILE)]
    results.keep("1.10.0", 0, environment=environment(cpu=HOSTILE), notes={HOSTILE: HOSTILE}, checks=made)
    results.keep("1.10.0", 1, metrics=[metric(HOSTILE, HOSTILE, 1.0)], not_measured={"map50": HOSTILE})
    results.keep(pin, 0, environment=environment(cpu="other"), checks=made)
    results.fail(pin, 1, HOSTILE)
    return results


def rendered(markdown: str) -> str:
    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(markdown)


def test_the_markdown_tables_keep_their_columns(folder: Make) -> None:
    html = rendered(hostile_folder(folder).markdown())
    tables = re.findall(r"<table>.*?</table>", html, flags=re.DOTALL)
    columns = [
        {len(re.findall(r"<t[hd][ >]", row)) for row in re.findall(r"<tr>.*?</tr>", table, flags=re.DOTALL)}
        for table in tables
    ]
    assert columns == [{3}, {3}, {4}]


def test_the_markdown_holds_no_tag_but_the_line_breaks_of_our_own(folder: Make) -> None:
    html = rendered(hostile_folder(folder).markdown())
    tags = set(re.findall(r"</?([a-zA-Z0-9]+)", html))
    assert tags <= {
        "h1",
        "h2",
        "p",
        "ul",
        "li",
        "strong",
        "blockquote",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "br",
    }


def test_hostile_fingerprints_are_cells_like_any_other_and_never_markup(folder: Make) -> None:
    pin = HOSTILE.replace("/", "")
    results = folder(["1.10.0", pin, "1.12.1"])
    for place, name in enumerate(results.pins):
        prints = [Fingerprint(HOSTILE, f"{place} {HOSTILE}"), Fingerprint("final_weights", "f")]
        results.keep(name, fingerprints=prints)
    html = rendered(results.markdown())
    (table,) = [each for each in re.findall(r"<table>.*?</table>", html, flags=re.DOTALL) if "fingerprint" in each]
    rows = re.findall(r"<tr>.*?</tr>", table, flags=re.DOTALL)
    assert len(rows) == 1 + 3
    assert {len(re.findall(r"<t[hd][ >]", row)) for row in rows} == {1 + 5}
    for text in (html, rendered(results.decision().partition("---\n\n")[2])):
        assert "script" not in set(re.findall(r"</?([a-zA-Z0-9]+)", text))
        assert re.search(r"<h\d>\s*i", text) is None
    lines = results.terminal().splitlines()
    assert not any(line.startswith(("| x", "# i")) for line in lines)
    assert results.terminal().replace("\n", "").isprintable()


def broken_check(folder: Make) -> Folder:
    """A candidate that is held by a check whose name and words are hostile."""
    results = folder(["1.10.0", "1.12.1"], rounds=2, cases=["resume"])
    results.keep_checks("resume", "1.10.0", *[[check("held", HOSTILE, HOSTILE)]] * 2)
    results.keep_checks("resume", "1.12.1", *[[check("failed", HOSTILE, HOSTILE)]] * 2)
    return results


def test_a_check_that_holds_an_upgrade_is_one_line_wherever_it_is_said(folder: Make) -> None:
    results = broken_check(folder)
    (verdict,) = results.verdict_file().machines[0].candidates
    assert verdict.verdict == "hold"
    sentences = [verdict.sentence, *(reason.sentence for reason in verdict.reasons)]
    assert all(sentence == one_line(sentence, 9999) for sentence in sentences)


def test_no_check_adds_a_heading_or_a_tag_to_decision_or_summary(folder: Make) -> None:
    results = broken_check(folder)
    for text in (results.decision(), results.summary()):
        html = rendered(text.partition("---\n\n")[2] or text)
        assert "script" not in set(re.findall(r"</?([a-zA-Z0-9]+)", html))
        assert re.search(r"<h\d>\s*i", html) is None
        assert "a|b `c` *d*" in html


def test_the_whole_text_is_still_readable_in_the_markdown() -> None:
    text = "a|b `c` *d* [red]e[/red] <b>f</b> \\ ~g~ $h$"
    html = rendered(for_markdown(text))
    assert html == "<p>a|b `c` *d* [red]e[/red] &lt;b&gt;f&lt;/b&gt; \\ ~g~ $h$</p>\n"


def test_links_pictures_and_half_open_tags_stay_text() -> None:
    text = "[a](http://b) ![c](d) <img src=e"
    assert rendered(for_markdown(text)) == "<p>[a](http://b) ![c](d) &lt;img src=e</p>\n"
    assert "<" not in for_markdown(text)


@pytest.mark.parametrize("text", ["- a", "+ a", "-", "1. a", "2) a", "- - -"])
def test_text_at_the_start_of_a_line_or_an_item_begins_no_list(text: str) -> None:
    assert rendered(for_markdown(text)) == f"<p>{text}</p>\n"
    assert rendered(f"* {for_markdown(text)}") == f"<ul>\n<li>{text}</li>\n</ul>\n"


@pytest.mark.parametrize("text", ["---", "===", "-", "="])
def test_a_line_of_dashes_makes_no_heading_of_the_line_above(text: str) -> None:
    assert rendered(f"above\n{for_markdown(text)}") == f"<p>above\n{text}</p>\n"


@pytest.mark.parametrize("text", ["1.12.1", "-5 %", "+4.1 %", "1.10.0 ran"])
def test_versions_and_numbers_are_written_as_they_are(text: str) -> None:
    assert for_markdown(text) == text


@pytest.mark.parametrize("text", ["@octocat", "torch @ file", "a@b.c", "(@team/people)", "@@me"])
def test_a_name_after_an_at_sign_is_shown_and_notifies_nobody(text: str) -> None:
    shown = rendered(for_markdown(text))
    assert re.search(r"@(?!\u200b)", shown) is None
    assert shown.replace("\u200b", "") == f"<p>{text}</p>\n"


def test_the_terminal_gets_no_control_character_and_all_the_markup_as_it_is(folder: Make) -> None:
    text = hostile_folder(folder).terminal()
    steering = {character for character in text if unicodedata.category(character) in {"Cc", "Cf", "Zl", "Zp"}}
    assert steering == {"\n"}
    assert "[red]f[/red]" in text
    assert "\\x1b[31m" in text


def test_no_line_of_hostile_text_starts_a_row_of_its_own(folder: Make) -> None:
    lines = hostile_folder(folder).terminal().splitlines()
    assert not any(line.startswith(("| x", "# i")) for line in lines)


@pytest.mark.parametrize("length", [301, 100_000])
def test_a_long_message_is_cut_and_says_so(length: int) -> None:
    line = one_line("x" * length)
    assert (len(line), line[-1]) == (300, "…")


def test_the_terminal_keeps_to_a_hundred_columns(folder: Make) -> None:
    results = folder([f"1.{number}.0+cu118" for number in range(9)], rounds=3)
    for pin in results.pins:
        for index in range(3):
            results.keep(pin, index, notes={"step_time": "word " * 60})
    results.fail(results.pins[1], 0, "why " * 60)
    text = results.terminal()
    assert max(map(len, text.splitlines())) <= 100
    assert all(pin in text for pin in results.pins)
    heads = [line for line in text.splitlines() if line.startswith("case train")]
    assert len(heads) > 1
    assert all(results.pins[0] in head for head in heads)


@pytest.mark.parametrize("text", ["#12", "see octo/cat#12", "##1"])
def test_a_number_after_a_hash_is_shown_and_refers_to_no_issue(text: str) -> None:
    shown = rendered(for_markdown(text))
    assert re.search(r"#\d", shown) is None
    assert shown.replace("\u200b", "") == f"<p>{text}</p>\n"
