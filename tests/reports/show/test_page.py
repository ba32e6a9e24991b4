"""The page in a real browser: it is drawn, asks nobody for anything, and does what it offers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from browser import Browser
from results_folder import Folder, anomaly, check, data_set, environment, metric, train_metrics
from saying import says

from harness.core.cases import read_case
from harness.core.dataset import LeftOut
from harness.core.policy import read_policy
from harness.core.record import Fingerprint, Sitting
from harness.core.spec import TWIN
from reports.__main__ import main
from reports.show.page import MOST_POINTS, TEMPLATES, commands_for, drawn_rounds

Make = Callable[..., Folder]
HOSTILE = "<img src=x onerror=\"owned=1\"></script><script>owned=1</script>&amp;{{ 7*7 }}${7*7} 'x' \u202ex"


def full_folder(folder: Make, pins: tuple[str, ...] = ("1.10.0", TWIN, "1.12.1", "1.13.1")) -> Folder:
    """Train, in turns, and soak with everything that a page shows: series, anomalies, a failed run, something not
    measured."""
    results = folder(list(pins), rounds=3, cases=["train", "soak"], policy=read_policy())
    for pin in pins:
        for index in range(3):
            loss = [10 / (1 + step) for step in range(40)]
            series = {"loss": [*loss[:7], None, *loss[8:]], "map50": [0.1, 0.3, 0.6, 0.8], "rss": [4e8, 4e8, 5e8, 5e8]}
            found = [anomaly(parameter=f"layer{number}") for number in range(5)] if pin == pins[-1] else []
            found += [anomaly("dead branch", step=index)] if pin == pins[2] else []
            metrics = train_metrics(memory=430 + index if pin == pins[-1] else 400 + index, anomalies=len(found))
            torch = environment(torch=pin)
            sittings = [Sitting(name=f"{index}.{number}", seat=0, laps=laps) for number, laps in enumerate((2, 1))]
            made = {"metrics": metrics, "series": series, "anomalies": found, "sittings": sittings}
            results.keep(pin, index, environment=torch, **made)
        results.keep_growths(pin, 0.0, 0.001, -0.001)
    results.fail(pins[2], 2, "The process was ended by SIGKILL.")
    results.keep(
        pins[1], 2, metrics=[metric("epoch_time", "s", 30.0)], not_measured={"training_memory": "no such file"}
    )
    return results


def page_of(results: Folder) -> Path:
    """The page as the command writes it."""
    assert main([str(results.path)]) in (0, 3)
    return results.path / "index.html"


def shown_rows(browser: Browser, table: str) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0] + ' tbody tr')].filter(e => e.offsetParent)"
    return browser.run(script + ".map(e => e.innerText)", table)


def choose(browser: Browser, column: str, value: str) -> None:
    """Set a filter as a person does, with its event."""
    script = """const field = document.querySelector(
            `[data-filters="anomaly-list"] [data-column="${arguments[0]}"]`);
        field.value = arguments[1]; field.dispatchEvent(new Event("input", {bubbles: true}));"""
    browser.run(script, column, value)


def test_every_plot_is_drawn_without_a_word_on_the_console_and_without_a_request(
    browser: Browser, folder: Make
) -> None:
    page = page_of(full_folder(folder))
    browser.open(page)
    traces = browser.run("return [...document.querySelectorAll('main .plots figure')].map("
                         "e => e.querySelectorAll('.scatterlayer .trace').length)")  # fmt: skip
    assert len(traces) > 15
    assert all(traces)
    assert browser.console() == []
    assert browser.requests() == [page.as_uri()]


def test_the_page_is_one_file_of_less_than_six_megabytes_that_names_no_other(folder: Make) -> None:
    text = page_of(full_folder(folder)).read_text(encoding="utf-8")
    assert len(text.encode()) < 6_000_000
    ours = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)  # plotly's own text holds addresses
    assert set(re.findall(r'(?:src|href)="([^"#][^",]*)', ours)) == {"data:", "data:image/svg+xml;base64"}
    assert not re.search(r"https?://|@import|url\(", ours)


def test_the_verdicts_stand_at_the_top_with_their_sentences(browser: Browser, folder: Make) -> None:
    results = full_folder(folder)
    browser.open(page_of(results))
    cards = browser.run("return [...document.querySelectorAll('.card')].map(e => e.innerText)")
    expected = [(one.version, one.verdict, one.sentence) for one in results.verdict_file().candidates]
    assert len(cards) == len(expected) == 2
    for card, (version, verdict, sentence) in zip(cards, expected, strict=True):
        assert f"{version}: {verdict}" in card
        assert " ".join(sentence.split()) in " ".join(card.split())


def test_the_list_of_anomalies_can_be_filtered_and_says_how_many_are_shown(browser: Browser, folder: Make) -> None:
    browser.open(page_of(full_folder(folder)))
    told = "return document.querySelector('[data-filters=anomaly-list] output').textContent"
    assert len(shown_rows(browser, "#anomaly-list")) == 5  # two runs of 1.12.1, as the third failed; three of 1.13.1
    choose(browser, "pin", "1.13.1")
    rows = shown_rows(browser, "#anomaly-list")
    assert len(rows) == 3
    assert all("layer0 and 4 more: nan" in row for row in rows)
    assert browser.run(told) == "3 of 5 shown"
    choose(browser, "kind", "dead branch")
    assert shown_rows(browser, "#anomaly-list") == []
    browser.run("document.querySelector('[data-filters=anomaly-list] button').click()")
    browser.run("return new Promise(done => setTimeout(done, 50))")
    choose(browser, "", "STEM.")
    assert browser.run(told) == "2 of 5 shown"


def test_checks_have_a_table_of_their_own_with_a_mark_and_what_was_seen(browser: Browser, folder: Make) -> None:
    results = folder(["1.10.0", "1.12.1", "1.13.1"], rounds=2, cases=["resume"])
    for pin, outcome in (("1.10.0", "held"), ("1.12.1", "failed"), ("1.13.1", "open")):
        results.keep_checks("resume", pin, *[[check(outcome, f"{pin} lost 3 of 9")]] * 2)  # type: ignore[arg-type]
    browser.open(page_of(results))
    (row,) = shown_rows(browser, "table.checks")
    assert [line for line in row.replace("\t", "\n").split("\n") if line] == [
        read_case("resume").check("killed").title,  # type: ignore[union-attr]
        "✓ held in 2 of 2 runs",
        "1.10.0 lost 3 of 9",
        "✗ failed in 2 of 2 runs",
        "1.12.1 lost 3 of 9",
        "? open in 2 of 2 runs",
        "1.13.1 lost 3 of 9",
    ]
    marked = (
        "return [...document.querySelectorAll('table.checks tbody td')].map(e => getComputedStyle(e).backgroundColor)"
    )
    held, failed, open_ = browser.run(marked)
    assert held == open_ != failed
    cards = browser.run("return [...document.querySelectorAll('.card')].map(e => e.innerText)")
    assert says(cards[0], "(resume): failed in", "2 of 2", "held in 2 of 2", "1.10.0")


def test_fingerprints_have_a_table_of_pairs_with_marks_that_need_no_colour(browser: Browser, folder: Make) -> None:
    results = folder(["1.10.0", "1.12.1", "1.13.1"])
    for pin, losses in (("1.10.0", [3.0, 2.5]), ("1.12.1", [3.0, 2.5]), ("1.13.1", [3.0, 2.0])):
        results.keep_prints(pin, {"first_losses": losses, "final_weights": pin})
    browser.open(page_of(results))
    rows = [row.split("\t") for row in shown_rows(browser, "table.prints")]
    assert [row[0] for row in rows] == ["1.10.0 and 1.12.1", "1.10.0 and 1.13.1", "1.12.1 and 1.13.1"]
    assert [row[1][0] for row in rows] == ["=", "≠", "≠"]
    assert [row[3][0] for row in rows] == ["≠"] * 3
    assert "2.5 and 2" in rows[1][1]
    browser.open(page_of(results), width=390)
    assert browser.run("return document.documentElement.scrollWidth <= innerWidth")


def test_a_spread_is_drawn_in_percent_against_the_baseline_and_in_points_by_run(browser: Browser, folder: Make) -> None:
    results = folder(["1.10.0", "1.12.1"], rounds=3, cases=["converge"])
    results.keep_seeds("1.10.0", 0.80, 0.81, 0.79)
    results.keep_seeds("1.12.1", 0.80, 0.83, 0.78)
    browser.open(page_of(results))
    script = """return [...document.querySelectorAll('section.metric')].map(e => [e.querySelector('h3').innerText,
        ...[...e.querySelectorAll('.xtitle, .ytitle')].map(t => t.textContent)].join(' | '))"""
    assert browser.run(script) == [
        "Final mAP50 converge | difference to 1.10.0, points",
        "Spread of final mAP50 (pt) converge | pt | difference to 1.10.0, %",
    ]


def test_only_what_differs_can_be_shown_of_the_environments(browser: Browser, folder: Make) -> None:
    browser.open(page_of(full_folder(folder)))
    before = shown_rows(browser, "table.environment")
    browser.run("document.querySelector('[data-differences]').click()")
    after = [row for row in shown_rows(browser, "table.environment") if "\t" in row]
    assert 0 < len(after) < len(before)
    assert all("≠" in row for row in after)
    assert any(row.startswith("torch ") for row in after)


def test_what_was_not_measured_is_listed_with_its_reason(browser: Browser, folder: Make) -> None:
    browser.open(page_of(full_folder(folder)))
    text = browser.run("return document.getElementById('absent').innerText")
    assert says(text, "failed: The process", "SIGKILL")
    assert "not measured: no such file" in text


def test_what_the_data_set_holds_is_listed_as_it_was_checked(browser: Browser, folder: Make) -> None:
    results = folder()
    hostile = LeftOut("hidden file", 7, HOSTILE)
    results.keep("1.10.0", data=data_set(left_out=[hostile]))
    results.keep("1.12.1", data=data_set(left_out=[hostile]))
    browser.open(page_of(results))
    text = browser.run("return document.getElementById('data').innerText")
    assert says(
        text, "The data set shapes", "train: 3 pictures (.jpg 3)", "left out: 7 hidden files, such as <img src=x"
    )
    assert browser.run("return window.owned") is None


def test_records_that_do_not_tell_of_their_data_set_are_told_of(browser: Browser, folder: Make) -> None:
    results = folder()
    results.keep("1.10.0")
    browser.open(page_of(results))
    assert "No record tells" in browser.run("return document.getElementById('data').innerText")


def test_foreign_text_is_shown_as_it_is_and_does_nothing(browser: Browser, folder: Make) -> None:
    pin = HOSTILE.replace("/", "")
    results = full_folder(folder, ("1.10.0", TWIN, pin, "1.13.1"))
    results.fail("1.13.1", 0, HOSTILE)
    for place, name in enumerate(("1.10.0", pin)):
        results.keep(name, 0, fingerprints=[Fingerprint(HOSTILE, f"{place} {HOSTILE}")])
    results.keep(
        "1.13.1",
        1,
        environment=environment(cpu=HOSTILE, flags={HOSTILE: HOSTILE}),
        anomalies=[anomaly(HOSTILE, parameter=HOSTILE, value=HOSTILE)],
        metrics=[metric(HOSTILE, HOSTILE, 1.0, 2.0)],
        not_measured={f"{HOSTILE} 2": HOSTILE},
        series={HOSTILE: [1.0, 2.0]},
        checks=[check("failed", HOSTILE, HOSTILE)],
        notes={HOSTILE: HOSTILE},
    )
    browser.open(page_of(results))
    assert browser.run("return typeof owned") == "undefined"
    assert browser.console() == []
    assert browser.run("return document.querySelectorAll('img').length") == 1
    assert browser.run("return document.querySelectorAll('.plot image, .plot a').length") == 0
    text = browser.run("return document.body.innerText")
    assert '<img src=x onerror="owned=1">' in text
    assert "{{ 7*7 }}${7*7}" in text
    assert "\u202e" not in text


@pytest.mark.parametrize("width", [360, 820])
def test_a_narrow_screen_scrolls_tables_and_never_the_page(browser: Browser, folder: Make, width: int) -> None:
    browser.open(page_of(full_folder(folder)), width=width)
    assert browser.run("return document.documentElement.scrollWidth") <= width
    too_wide = "return [...document.querySelectorAll('.plot')].filter(e => e.scrollWidth > e.clientWidth + 1).length"
    assert browser.run(too_wide) == 0


def test_no_long_name_makes_the_page_wider_than_a_phone(browser: Browser, folder: Make) -> None:
    results = folder(["1.10.0", "1.12.1"], rounds=2)
    long = "backbone.stage4.csp.bottleneck.2.cv1.convolution.weight"
    for pin in results.pins:
        found = [anomaly(kind=f"gradient of {long}", parameter=long)] if pin == "1.12.1" else []
        for index in range(2):
            results.keep(pin, index, anomalies=found)
    browser.open(page_of(results), width=390)
    assert browser.run("return document.documentElement.scrollWidth <= innerWidth")


def test_all_that_scrolls_or_filters_can_be_reached_by_keyboard(browser: Browser, folder: Make) -> None:
    browser.open(page_of(full_folder(folder)))
    reached = []
    for _ in range(60):
        for kind in ("rawKeyDown", "keyUp"):
            browser.device("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        reached.append(browser.run("const e = document.activeElement; return e.className || e.tagName.toLowerCase()"))
    assert reached[0] == "skip"
    assert {"scroll", "select", "input", "button", "summary"} <= set(reached)
    assert browser.run("return document.querySelectorAll('.scroll:not([tabindex])').length") == 0


def colours_of(browser: Browser) -> tuple[str, str]:
    """The page's background, and the text in its first plot."""
    script = """return [getComputedStyle(document.body).backgroundColor,
        getComputedStyle(document.querySelector('.plot .xtick text')).fill]"""
    back, text = browser.run(script)
    return back, text


def test_plots_follow_dark_and_light_and_paper_is_always_white(browser: Browser, folder: Make) -> None:
    page = page_of(full_folder(folder))
    light = ("rgb(255, 255, 255)", "rgb(27, 31, 36)")
    dark = ("rgb(20, 23, 27)", "rgb(232, 235, 239)")
    browser.open(page, dark=True)
    assert colours_of(browser) == dark
    browser.run("dispatchEvent(new Event('beforeprint'))")
    assert colours_of(browser) == light
    browser.run("dispatchEvent(new Event('afterprint'))")
    assert colours_of(browser) == dark
    browser.scheme(dark=False)
    browser.run("return new Promise(done => setTimeout(done, 300))")
    assert colours_of(browser) == light


def luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb` (WCAG 2.2)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1])
def test_text_stands_out_from_what_it_lies_on(scheme: int) -> None:
    css = (TEMPLATES / "page.css").read_text(encoding="utf-8")
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", css.split("@media screen")[scheme]))
    pairs = [(text, back) for text in ("text", "soft", "link") for back in ("back", "paper")]
    pairs += [(word, f"{word}-back") for word in ("worse", "better", "inconclusive")]
    pairs += [(word, "back") for word in ("worse", "better", "inconclusive", "equivalent")]
    for text, back in pairs:
        light, dark = sorted((luminance(colours[text]), luminance(colours[back])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, back)


def test_as_many_rounds_are_drawn_as_fit_and_always_one(folder: Make) -> None:
    results = folder(["1.10.0", "1.12.1"], rounds=3)
    for pin in results.pins:
        for index in range(3):
            results.keep(pin, index, series={f"s{number}": [1.0] * 200 for number in range(30)})
    points = 2 * 30 * 200  # of one round
    assert 3 * points < MOST_POINTS < 6 * points
    assert drawn_rounds(results.matrix(), 1) == 3
    assert drawn_rounds(results.matrix(), 2) == 2
    assert drawn_rounds(results.matrix(), 1000) == 1


def test_several_machines_have_a_part_each_and_the_anomalies_a_column(browser: Browser, folder: Make) -> None:
    first, second = full_folder(folder), folder(["1.10.0", "1.12.1"], rounds=3, name="other")
    for pin in second.pins:
        for index in range(3):
            second.keep(pin, index, environment=environment(cpu="Xeon"), ended="2026-02-02", anomalies=[anomaly()])
    assert main([str(first.path), str(second.path)]) == 3
    browser.open(first.path.parent / "quick+other" / "index.html")
    heads = browser.run("return [...document.querySelectorAll('h2')].map(e => e.innerText)")
    assert any("AMD EPYC 7B13" in head for head in heads)
    assert any("Xeon" in head for head in heads)
    choose(browser, "machine", "Xeon")
    assert len(shown_rows(browser, "#anomaly-list")) == 6


def test_the_command_that_measures_again_names_rounds_only_where_all_cases_have_as_many(folder: Make) -> None:
    machine = folder(rounds=2, cases=["train", "resume"]).machine()
    measures, _ = commands_for(machine)
    assert "--case train resume --rounds 2 " in measures
    plan = machine.matrix.plan
    fewer = [run for run in plan.runs if run.case == "train" or run.round == 0]
    matrix = replace(machine.matrix, plan=msgspec.structs.replace(plan, runs=fewer))
    measures, _ = commands_for(replace(machine, matrix=matrix))
    assert "--rounds" not in measures
