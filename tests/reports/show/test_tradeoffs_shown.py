"""The knee in words, and the figure of gain against cost."""

from __future__ import annotations

from collections.abc import Callable

from inference_folders import make_inference_folder
from results_folder import Folder
from saying import says

from harness.core.spec import TWIN
from reports.show.tradeoffs import knees_in_words, plots_of_tradeoff

Make = Callable[..., Folder]
SURE = "(100 %)"


def test_the_knee_is_defined_and_told_for_every_combination_and_pin(folder: Make) -> None:
    halves = {32: [0.3] * 4, 64: [0.5] * 4, 96: [0.5, 0.5, 0.5, 0.54]}
    results = make_inference_folder(folder, ["1.10.0", TWIN], runs={TWIN: {"halves": halves}})
    defined, *told = knees_in_words(results.machine(), "inference")
    assert says(defined, "mAP50 against latency", "a doubling of the latency brings less than 2.0 pt", "1,000 draws")
    assert len(told) == 2
    for batch, said in zip((1, 4), told, strict=True):
        assert says(said, f"Knee, fp32, batch {batch}:", f"1.10.0 64 px {SURE}", "A/A 64 px (7", "; 96 px 2")


def test_the_words_are_in_the_table_and_no_word_of_it_where_there_is_no_trade_off(folder: Make) -> None:
    assert f"1.10.0 64 px {SURE}" in make_inference_folder(folder, ["1.10.0"]).markdown()
    other = folder(["1.10.0"], name="other")
    other.keep("1.10.0")
    assert knees_in_words(other.machine(), "train") == []
    assert "Knee" not in other.markdown()


def test_a_figure_has_every_pin_with_its_intervals_and_a_ring_about_its_knee(folder: Make) -> None:
    faster = {"latencies": {32: 0.005, 64: 0.01, 96: 0.02}}
    results = make_inference_folder(folder, ["1.10.0", "1.12.1"], runs={"1.12.1": faster})
    plots = plots_of_tradeoff(results.machine(), "inference")
    assert [plot.title for plot in plots] == [f"mAP50 against latency, fp32, batch {batch}" for batch in (1, 4)]
    labels, line, ring, other, _ = plots[0].figure["data"]  # type: ignore[misc]
    assert (labels["x"], labels["text"]) == (line["x"], ["32 px", "64 px", "96 px"])
    assert (line["x"], line["y"]) == ([10.05, 20.1, 40.2], [0.3, 0.5, 0.51])
    assert line["error_y"]["array"] == [0.0] * 3
    assert (ring["x"], ring["y"]) == ([20.1], [0.5])
    assert other["x"] == [5.025, 10.05, 20.1]
    assert says(plots[0].about, "Ringed: the knee, 64 px on 1.10.0 and 1.12.1; beyond the knee a doubling", "90 %")
