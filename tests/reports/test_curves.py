"""The page's curves: what they are called and what they count."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from results_folder import Folder

from reports.curves import curves_of
from reports.plots import Plot

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
