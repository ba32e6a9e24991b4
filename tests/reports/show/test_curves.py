"""The page's curves: what they are called and what they count."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from results_folder import Folder

from reports.show.curves import curves_of
from reports.show.plots import Plot

Make = Callable[..., Folder]


def counted(plot: Plot) -> str:
    """What the axis counts."""
    return plot.figure["layout"]["xaxis"]["title"]["text"]  # type: ignore[index, no-any-return]


@pytest.mark.parametrize(("case", "loss"), [("train", "step"), ("soak", "epoch")])
def test_a_soak_has_all_its_curves_by_epoch_and_none_of_when_its_processes_began(
    folder: Make, case: str, loss: str
) -> None:
    results = folder(["1.10.0"], cases=[case])
    series = {"loss": [3.0, 2.0, 1.5], "rss": [4e8] * 3, "epoch_time": [9.0] * 3, "begun": [0.0]}
    results.keep("1.10.0", 0, case, series=series)
    plots = curves_of(results.machine(), case, 1)
    assert {plot.title: counted(plot) for plot in plots} == {
        "Loss": loss,
        "Memory at epoch end, RSS": "epoch",
        "Epoch time": "epoch",
    }


def test_memory_by_batch_size_is_in_mib_and_counts_sizes(folder: Make) -> None:
    results = folder(["1.10.0"], cases=["batch-change"])
    series = {"rss_by_phase": [4e8, 5e8, 4.5e8], "rss_fresh": [4e8, 5e8, 4e8], "peak_rss_fresh": [4e8, 6e8, 4e8]}
    series["reserved_by_phase"] = [4e8, 5e8, 5e8]
    results.keep("1.10.0", 0, "batch-change", series=series)
    plots = {plot.title: plot for plot in curves_of(results.machine(), "batch-change", 1)}
    assert set(plots) == {
        "Memory at epoch end, RSS, while the batch size changes",
        "Memory at epoch end, RSS, fresh at each batch size",
        "Peak memory of an epoch, RSS, fresh at each batch size",
        "GPU memory at epoch end, reserved, while the batch size changes",
    }
    for plot in plots.values():
        assert counted(plot) == "batch size, in the order of the case"
        assert plot.figure["layout"]["yaxis"]["title"]["text"] == "MiB"  # type: ignore[index]
        assert max(plot.figure["data"][0]["y"]) < 1000  # type: ignore[index]
