"""The overview: what its lines say, where its bars lie, and the figure that is drawn of it."""

from __future__ import annotations

import html
import io
import math
import os
import re
import subprocess
import sys
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
from accuracy_folders import make_accuracy_folder
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image
from results_folder import Folder, environment, policy
from saying import says

from harness.core.files import ROOT
from harness.core.policy import read_policy
from harness.core.spec import TWIN
from reports.__main__ import main
from reports.judge.judgement import judge
from reports.judge.statements import Finding
from reports.show import forest
from reports.show.findings import effect, why_in_words
from reports.show.forest import draw, figure_of, fit, font_of
from reports.show.overview import LIMIT, Line, Mark, Panel, alt_text, bar_of, in_margins, mark_at, panels_of
from reports.show.verdict_file import account_of

Make = Callable[..., Folder]
PINS = ["1.10.0", TWIN, "1.12.1", "1.13.1", "2.0.1", "2.1.2"]
EPOCHS = [30.0, 31.0, 30.5]
MEASURED = "3 rounds, last run 2026-01-01"
WHEEL = "The wheel has no sm_90."
HOSTILE = "a|b $\\frac{1{2}$ <script>g</script> &amp; --> ]]> \x1b[31mh\r\n| x \u65e5\u672c \u202ej\u2028k" + "W" * 90


def mixed(folder: Make, **settings: object) -> Folder:
    """One candidate that is slower, one alike, one near the margin, and one that cannot run."""
    results = folder(
        PINS, rounds=3, policy=policy("epoch_time", "map50", "gradient_anomalies", idle=["epoch_time"]), **settings
    )
    for pin, factors in {"1.12.1": [1.1] * 3, "2.0.1": [1.02, 1.035, 1.03]}.items():
        results.keep_all(pin, epoch=[value * factor for value, factor in zip(EPOCHS, factors, strict=True)])
    for pin in ("1.10.0", TWIN, "1.13.1"):
        results.keep_all(pin, epoch=EPOCHS)
    for index in range(3):
        results.keep("2.1.2", index, status="unsupported", reason=WHEEL, metrics=[], hashes=None)
    return results


def panel(results: Folder) -> Panel:
    (only,) = panels_of(results.account().machines)
    return only


def line(results: Folder, title: str, pin: str) -> Line:
    """The one line of a pin in the group with this title."""
    (group,) = [group for group in panel(results).groups if group.title == title]
    (found,) = [line for line in group.lines if line.pin == pin]
    return found


def comments(svg: bytes) -> list[str]:
    """What is written in the figure: matplotlib keeps each text as a comment beside its outlines."""
    return [html.unescape(text.strip()) for text in re.findall("<!--(.*?)-->", svg.decode(), flags=re.DOTALL)]


# --- what the lines say -----------------------------------------------------------------------------------------


def test_every_pin_has_a_line_on_every_metric_with_its_effect_and_its_finding(folder: Make) -> None:
    results = mixed(folder)
    said = {
        (group.title, line.pin): (" ".join(filter(None, [line.estimate, line.interval])), line.outcome)
        for group in panel(results).groups
        for line in group.lines
    }
    assert said == {(one.quantity.title, one.pin): (effect(one), one.outcome) for one in results.findings()}
    assert len(said) == 3 * 5


def test_metrics_that_gate_come_first_and_the_control_last(folder: Make) -> None:
    groups = panel(mixed(folder)).groups
    assert [(group.title, group.gates) for group in groups] == [
        ("Gradient anomalies", True),
        ("Final mAP50", True),
        ("Epoch time", False),
    ]
    expected = [("1.12.1", 0), ("1.13.1", 1), ("2.0.1", 2), ("2.1.2", 3), (TWIN, None)]
    assert all([(line.pin, line.place) for line in group.lines] == expected for group in groups)


def test_the_head_gives_the_verdict_on_each_candidate_and_on_the_noise(folder: Make) -> None:
    results = mixed(folder)
    results.policy = policy("epoch_time")
    shown = panel(results)
    assert [(entry.pin, entry.said) for entry in shown.entries] == [
        ("1.12.1", "hold"),
        ("1.13.1", "upgrade"),
        ("2.0.1", "inconclusive"),
        ("2.1.2", "inconclusive (cannot run here)"),
        (TWIN, "quiet control"),
    ]
    assert (shown.baseline, shown.machine, shown.measured) == ("1.10.0", "AMD EPYC 7B13", MEASURED)


def test_a_noisy_control_is_said(folder: Make) -> None:
    results = mixed(folder)
    results.keep_all(TWIN, epoch=[value * 1.2 for value in EPOCHS])
    assert panel(results).entries[-1].said == "noisy control"


def test_what_was_not_measured_has_no_bar_and_says_why(folder: Make) -> None:
    found = line(mixed(folder), "Final mAP50", "2.1.2")
    assert (found.bar, found.estimate, found.interval) == (None, "not measured", "")
    assert found.why == "unsupported: " + WHEEL


def test_one_pair_of_runs_is_no_finding_and_says_why(folder: Make) -> None:
    results = folder(policy=policy("epoch_time"))
    for pin in results.pins:
        results.keep(pin)
    found = line(results, "Epoch time", "1.12.1")
    assert (found.bar, found.estimate) == (None, "no finding")
    assert found.why == why_in_words(results.finding("epoch_time").why) != ""


def test_a_matrix_without_any_run_still_has_all_its_lines(folder: Make) -> None:
    shown = panel(folder(PINS, rounds=2))
    assert shown.measured == "2 rounds, no run yet"
    assert [len(group.lines) for group in shown.groups] == [5] * 5
    assert {line.estimate for group in shown.groups for line in group.lines} == {"not measured"}
    assert shown.entries[-1].said == "control not measured"


def test_what_the_policy_requires_and_the_matrix_does_without_is_said_once_and_has_no_lines(folder: Make) -> None:
    results = folder(rounds=2, cases=["converge"], policy=policy("epoch_time", "map50"))
    for pin in results.pins:
        results.keep_seeds(pin, 0.8, 0.81)
    shown = panel(results)
    assert shown.measured.startswith("2 rounds, last run ")
    assert shown.measured.endswith(", without train")
    assert "Epoch time" in {one.quantity.title for one in results.findings() if not one.case}
    assert "Epoch time" not in {group.title for group in shown.groups}


def test_a_metric_that_another_case_measured_too_names_it(folder: Make) -> None:
    results = folder(rounds=2, cases=["train", "converge"], policy=policy("epoch_time", "map50"))
    for pin in results.pins:
        results.keep_all(pin, epoch=[30.0, 31.0], map50=[0.8, 0.81])
        results.keep_seeds(pin, 0.8, 0.81)
    titles = [group.title for group in panel(results).groups]
    assert titles == ["Epoch time", "Final mAP50 (train)", "Final mAP50 (converge)"]


def test_below_an_open_score_it_is_said_of_which_pins_the_same_step_shows_accuracy(folder: Make) -> None:
    results = make_accuracy_folder(folder, pins=["1.10.0", TWIN, "1.12.1", "1.13.1"])
    assert line(results, "Final mAP50", "1.12.1").outcome == "inconclusive"
    notes = {group.title: group.note for group in panel(results).groups if group.note}
    assert [*notes] == ["Final mAP50"]
    assert says(notes["Final mAP50"], "Accuracy is shown by the same step", "chance: 1.12.1, 1.13.1")
    assert notes["Final mAP50"] in comments(draw([panel(results)])["overview.svg"])
    assert alt_text(results.account().machines).endswith(f" {notes['Final mAP50']}.")


def test_where_nothing_else_shows_accuracy_no_note_says_so(folder: Make) -> None:
    results = make_accuracy_folder(folder, cases=["train"])
    assert not any(group.note for group in panel(results).groups)


def test_each_machine_has_a_panel_of_its_own(folder: Make) -> None:
    one, other = mixed(folder), folder(["1.10.0", "1.12.1"], name="other", policy=policy("epoch_time"))
    other.keep("1.10.0", ended="2026-03-01T00:00:00.000+00:00", environment=environment(gpu="NVIDIA H100"))
    machines = account_of(judge([one.path, other.path], other.policy)).machines
    assert [(shown.machine, shown.measured) for shown in panels_of(machines)] == [
        ("AMD EPYC 7B13", MEASURED),
        ("NVIDIA H100", "1 round, last run 2026-03-01"),
    ]


# --- where the bars lie -----------------------------------------------------------------------------------------


def epoch_time(folder: Make, **changes: object) -> Finding:
    """A finding on the epoch time, whose margin is 3 %."""
    results = folder(rounds=3, policy=policy("epoch_time"))
    for pin in results.pins:
        results.keep_all(pin, epoch=EPOCHS)
    return replace(results.finding("epoch_time"), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(("share", "margins"), [(0.03, 1.0), (1 / 1.03 - 1, -1.0), (0.0, 0.0), (1.03**4 - 1, 4.0)])
def test_a_share_lies_where_its_log_ratio_does(folder: Make, share: float, margins: float) -> None:
    assert in_margins(epoch_time(folder), share) == pytest.approx(margins)


def test_worse_is_to_the_right_whatever_the_direction(folder: Make) -> None:
    results = folder(rounds=3, policy=policy("epoch_time", "map50"))
    results.keep_all("1.10.0", epoch=EPOCHS, map50=[0.80, 0.80, 0.80])
    results.keep_all("1.12.1", epoch=[value * 1.01 for value in EPOCHS], map50=[0.798, 0.797, 0.796])
    slower, lower = results.finding("epoch_time"), results.finding("map50")
    for found in (slower, lower):
        bar = bar_of(found)
        assert bar
        assert bar.left.at <= bar.estimate.at <= bar.right.at
        assert bar.estimate.at > 0
    assert lower.estimate is not None
    assert lower.estimate < 0


def test_what_lies_beyond_the_axis_is_at_its_edge_with_an_arrow(folder: Make) -> None:
    bar = bar_of(epoch_time(folder, estimate=0.3, low=0.05, high=math.inf))
    assert bar
    assert not bar.left.beyond
    assert bar.estimate == bar.right == Mark(LIMIT, True)


def test_a_share_of_all_there_is_lies_at_the_left_edge(folder: Make) -> None:
    bar = bar_of(epoch_time(folder, estimate=-0.5, low=-1.0, high=0.0))
    assert bar
    assert (bar.left, bar.right) == (Mark(-LIMIT, True), Mark(0.0, False))


def test_the_edge_itself_has_no_arrow() -> None:
    assert [mark_at(LIMIT), mark_at(-LIMIT)] == [Mark(LIMIT, False), Mark(-LIMIT, False)]


@pytest.mark.parametrize(("value", "mark"), [(0, Mark(0, False)), (1, Mark(LIMIT, True)), (-1, Mark(-LIMIT, True))])
def test_where_the_margin_is_0_anything_but_0_is_at_the_edge(folder: Make, value: float, mark: Mark) -> None:
    results = folder(rounds=2, policy=policy("gradient_anomalies"))
    for pin in results.pins:
        results.keep_all(pin)
    found = results.finding("gradient_anomalies")
    assert mark_at(in_margins(found, value)) == mark


# --- the figure -------------------------------------------------------------------------------------------------


def test_the_report_writes_a_whole_svg_and_a_whole_png(folder: Make) -> None:
    results = mixed(folder)
    main([str(results.path)])
    assert ET.parse(results.path / "overview.svg").getroot().tag.endswith("svg")
    with Image.open(results.path / "overview.png") as picture:
        picture.load()
        assert picture.width == 1728
        assert 1000 < picture.height < 4000
        assert picture.convert("RGB").getpixel((0, 0)) == (255, 255, 255)


def test_all_that_is_said_is_written_in_the_figure(folder: Make) -> None:
    panels = panels_of(mixed(folder).account().machines)
    written = comments(draw(panels)["overview.svg"])
    assert {"Upgrade from 1.10.0?", f"AMD EPYC 7B13 · {MEASURED}"} <= set(written)
    assert {"← better", "worse →", "does not gate"} <= set(written)
    symbols = {"worse": "✗ worse", "equivalent": "= equivalent", "inconclusive": "? inconclusive"}
    for group in panels[0].groups:
        assert {group.title, f"margin {group.margin}"} <= set(written)
        for line in group.lines:
            texts = {line.pin, line.estimate, line.interval, line.why, symbols[line.outcome]}
            assert texts - {""} <= set(written)
    assert written.count("not measured") == 3


def test_no_text_overlaps_another_or_leaves_the_figure(folder: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(forest.rcParams, "text.parse_math", False)
    results = folder(["1.10.0" + "W" * 80, TWIN, HOSTILE.replace("/", ""), "2.0.1"], rounds=2)
    for pin in results.pins:
        results.keep_all(pin, epoch=[30.0, 3e9] if pin == TWIN else EPOCHS[:2])
    results.fail(results.pins[2], 0, HOSTILE)
    figure = figure_of(panels_of([*results.account().machines, *mixed(folder).account().machines]))
    figure.set_dpi(192)
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in figure.axes[0].texts]
    assert len(boxes) > 100
    room = figure.bbox
    assert all(room.x0 <= box.x0 and box.x1 <= room.x1 and room.y0 <= box.y0 and box.y1 <= room.y1 for box in boxes)
    assert not [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])]


def test_a_text_without_room_is_cut_off_and_says_so() -> None:
    fitted, width = fit("W" * 50, 1.0, font_of())
    assert re.fullmatch("W{3,}…", fitted)
    assert width <= 1.0
    assert fit("1.12.1", 1.0, font_of())[0] == "1.12.1"


def test_hostile_names_are_text_like_any_other(folder: Make) -> None:
    pin = HOSTILE.replace("/", "")
    results = folder(["1.10.0", pin], rounds=2)
    for name in results.pins:
        results.keep(name, 0, environment=environment(cpu=HOSTILE))
    results.fail(pin, 1, HOSTILE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        files = draw(panels_of(results.account().machines))
    root = ET.fromstring(files["overview.svg"])
    assert not [element for element in root.iter() if element.tag.endswith("script")]
    assert any(text.startswith("a|b $\\frac{1{2}$ <script>") for text in comments(files["overview.svg"]))
    assert Image.open(io.BytesIO(files["overview.png"])).size[0] == 1728


def test_a_very_long_figure_loses_sharpness_and_no_line(folder: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    panels = panels_of(mixed(folder).account().machines)
    monkeypatch.setattr(forest, "MOST_PIXELS", 500)
    with Image.open(io.BytesIO(draw(panels)["overview.png"])) as picture:
        assert picture.height == pytest.approx(500, abs=1)


def test_without_a_candidate_the_figure_says_so(folder: Make) -> None:
    results = folder(["1.10.0"])
    results.keep("1.10.0")
    assert "There is no candidate." in comments(draw(panels_of(results.account().machines))["overview.svg"])


def test_the_same_records_give_the_same_bytes_whatever_the_users_settings(folder: Make, tmp_path: Path) -> None:
    results = mixed(folder)
    settings = tmp_path / "matplotlibrc"
    settings.write_text("font.size: 30\nsvg.fonttype: none\nsavefig.bbox: tight\n", encoding="utf-8")
    variables = {"MATPLOTLIBRC": str(settings), "HOME": "/proc/none", "MPLCONFIGDIR": "/proc/none"}
    command = [sys.executable, "-m", "reports", str(results.path)]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **variables}, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    files = draw(panels_of(account_of(judge([results.path], read_policy())).machines))
    assert {name: (results.path / name).read_bytes() for name in files} == files


def test_drawing_leaves_the_settings_of_matplotlib_alone(folder: Make) -> None:
    before = dict(forest.rcParams)
    draw(panels_of(mixed(folder).account().machines))
    assert dict(forest.rcParams) == before


# --- in words ---------------------------------------------------------------------------------------------------


def test_the_figure_in_words_names_verdicts_and_every_finding(folder: Make) -> None:
    text = alt_text(mixed(folder).account().machines)
    assert f"AMD EPYC 7B13, against 1.10.0, {MEASURED}." in text
    said = {pin: text.partition(f" {pin}: ")[2] for pin in PINS[1:]}
    alike = "Gradient anomalies; Final mAP50"
    worse = effect(mixed(folder, name="again").finding("epoch_time"))
    assert said["1.12.1"].startswith(f"upgrade. Worse: Epoch time {worse}. ")
    assert said["2.0.1"].startswith(f"upgrade. Equivalent: {alike}. Inconclusive: Epoch time.")
    assert says(said["2.1.2"], "inconclusive (cannot run here)", f"Not measured: {alike}; Epoch time.")
    assert said[TWIN] == f"quiet control. Equivalent: {alike}; Epoch time."


def test_the_figure_in_words_is_one_line_of_harmless_characters(folder: Make) -> None:
    results = folder(["1.10.0", HOSTILE.replace("/", "")])
    results.keep("1.10.0", environment=environment(cpu=HOSTILE))
    assert alt_text(results.account().machines).isprintable()
