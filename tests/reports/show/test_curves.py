"""The page's curves: what they are called and what they count."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from results_folder import Folder

from harness.core.cases import read_case
from reports.show.curves import curves_of
from reports.show.plots import Plot

Make = Callable[..., Folder]


def counted(plot: Plot) -> str:
    """What the axis counts."""
    return plot.figure["layout"]["xaxis"]["title"]["text"]  # type: ignore[index, no-any-return]


def vertical(plot: Plot) -> dict[str, object]:
    """The other axis."""
    return plot.figure["layout"]["yaxis"]  # type: ignore[index, no-any-return]


def title_of(case: str, name: str) -> str:
    """What a case calls one of its series."""
    series = read_case(case).one_series(name)
    assert series
    return series.title


@pytest.mark.parametrize(("case", "loss"), [("train", "step"), ("soak", "epoch")])
def test_a_soak_has_all_its_curves_by_epoch_and_none_of_when_its_processes_began(
    folder: Make, case: str, loss: str
) -> None:
    results = folder(["1.10.0"], cases=[case])
    series = {"loss": [3.0, 2.0, 1.5], "rss": [4e8] * 3, "waited_for_data": [9.0] * 3}
    results.keep("1.10.0", 0, case, series={**series, "begun": [0.0]} if case == "soak" else series)
    plots = curves_of(results.matrix(), case, 1)
    assert {plot.title: counted(plot) for plot in plots} == {
        "Loss": loss,
        title_of(case, "rss"): "epoch",
        title_of(case, "waited_for_data"): "epoch",
    }


def test_memory_by_batch_size_is_in_mib_and_counts_sizes(folder: Make) -> None:
    results = folder(["1.10.0"], cases=["batch-change"])
    series = {"rss_by_phase": [4e8, 5e8, 4.5e8], "rss_fresh": [4e8, 5e8, 4e8], "training_memory_fresh": [4e8, 6e8, 4e8]}
    series["reserved_by_phase"] = [4e8, 5e8, 5e8]
    results.keep("1.10.0", 0, "batch-change", series=series)
    plots = curves_of(results.matrix(), "batch-change", 1)
    assert {plot.title for plot in plots} == {title_of("batch-change", name) for name in series}
    for plot in plots:
        assert counted(plot).startswith("batch size, ")
        assert vertical(plot)["title"] == {"text": "MiB"}
        assert max(plot.figure["data"][0]["y"]) < 1000  # type: ignore[index]


def test_series_come_in_the_order_of_the_declaration_with_their_parts_behind_them(folder: Make) -> None:
    results = folder(["1.10.0"])
    names = ["zeal", "map50", "loss:box", "gradient_norm", "loss", "loss:auxiliary box"]
    results.keep("1.10.0", series={name: [1.0, 2.0] for name in names})
    plots = curves_of(results.matrix(), "train", 1)
    norm, score = title_of("train", "gradient_norm"), title_of("train", "map50")
    assert [plot.title for plot in plots] == ["Loss", "Loss, auxiliary box", "Loss, box", norm, score, "zeal"]
    assert [vertical(plot)["type"] for plot in plots] == ["linear", "linear", "linear", "log", "linear", "linear"]


@pytest.mark.parametrize(("length", "unit"), [(4, "epoch"), (5, "step")])
def test_a_series_that_no_case_declares_is_by_epoch_where_it_has_one_value_for_each(
    folder: Make, length: int, unit: str
) -> None:
    results = folder(["1.10.0"])
    assert results.plan.runs[0].train.epochs == 4
    results.keep("1.10.0", series={"disk_reads": [1.0] * length})
    (plot,) = curves_of(results.matrix(), "train", 1)
    assert (plot.title, counted(plot)) == ("disk reads", unit)
