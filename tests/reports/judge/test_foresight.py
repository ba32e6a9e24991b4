"""What so many rounds will tell of one metric, by estimates made by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from results_folder import Folder, policy

from harness.core.cases import read_case
from harness.core.policy import AccuracyRule, MetricPolicy
from reports.evidence.units import guess
from reports.judge.findings import AnyEstimate, Question
from reports.judge.foresight import foreseen, score_beside_steps
from reports.judge.spread import SpreadEstimate
from reports.judge.statements import Pairs
from reports.judge.statistics import Estimate
from reports.show.foresight import row_of

LEVEL = 0.05


def question(estimate: AnyEstimate | None, pairs: Pairs = "rounds", name: str = "step_time") -> Question:
    """What was asked of a metric, answered by this estimate."""
    case = read_case("converge" if name.endswith("spread") else "train")
    rules = MetricPolicy(margin=0.5 if name.endswith("spread") else 0.03, gates=True)
    return Question("1.12.1", case.name, guess(case, name), rules, estimate, estimate.n if estimate else 0, pairs, 3)


def test_a_round_makes_as_many_sittings_as_before() -> None:
    found = foreseen([question(Estimate(0.0, 0.02, 6), "sittings")], before=2, rounds=4, level=LEVEL)
    assert (found.n, found.pairs) == (12, "sittings")
    # (t of 0.975 and 11, 2.2010, and t of 0.8, 0.8755) · 0.02 · √(6/12) = 0.04351 as a log-ratio
    assert found.smallest == pytest.approx(math.expm1(0.04351), abs=1e-5)
    # of 21 sittings: (2.0860 + 0.8600) · 0.02 · √(6/21) = 0.0315; of 24: 0.0293; ln 1.03 = 0.0296
    assert found.needed == 8


def test_a_round_in_which_a_pin_lacks_sittings_does_not_make_fewer() -> None:
    asked = [question(Estimate(0.0, 0.01, n), "sittings") for n in (5, 6)]
    assert foreseen(asked, before=2, rounds=2, level=LEVEL).n == 6


def test_freedom_that_comes_from_other_pins_grows_with_the_rounds() -> None:
    found = foreseen([question(Estimate(0.0, 0.01, 3, freedom=6))], before=3, rounds=6, level=LEVEL)
    # of 15 degrees: (2.1314 + 0.8662) · 0.01 · √(3/6)
    assert found.smallest == pytest.approx(math.expm1(0.021197), abs=1e-5)


def test_a_pin_without_an_estimate_neither_adds_noise_nor_hides_that_of_others() -> None:
    alone = foreseen([question(Estimate(0.0, 0.01, 3))], before=3, rounds=6, level=LEVEL)
    beside = foreseen([question(None), question(Estimate(0.0, 0.01, 3))], before=3, rounds=6, level=LEVEL)
    assert beside == alone


def test_without_any_estimate_nothing_is_foreseen() -> None:
    found = foreseen([question(None)], before=3, rounds=6, level=LEVEL)
    assert (found.smallest, found.needed, found.told) == (None, None, False)


def test_a_spread_takes_three_pairs() -> None:
    asked = [question(SpreadEstimate(0.0, 0.5, 8), name="map50_spread")]
    assert foreseen(asked, before=8, rounds=2, level=LEVEL).smallest == math.inf
    three = foreseen(asked, before=8, rounds=3, level=LEVEL).smallest
    assert three == pytest.approx(math.expm1(SpreadEstimate(0.0, 0.5, 3).smallest_effect(LEVEL)))


@pytest.mark.parametrize(
    ("cases", "score"), [(["train", "fidelity"], "map50"), (["train"], ""), (["fidelity"], "map50")]
)
def test_a_score_need_not_be_told_where_single_steps_are_compared(
    folder: Callable[..., Folder], cases: list[str], score: str
) -> None:
    made = folder(["1.10.0", "1.12.1"], 2, cases=cases)
    rule = AccuracyRule(score="map50", same_step=["gradient_error", "update_error"])
    assert score_beside_steps(made.plan, policy("map50", accuracy=rule)) == score
    assert score_beside_steps(made.plan, policy("map50")) == ""


@pytest.mark.parametrize(("error", "by_step", "said"), [(10.0, True, True), (10.0, False, False), (1e-4, True, False)])
def test_that_the_step_can_show_accuracy_is_said_of_a_score_that_cannot_be_told(
    error: float, by_step: bool, said: bool
) -> None:
    metric = foreseen([question(Estimate(0.0, error, 3), name="map50")], before=3, rounds=3, level=LEVEL)
    assert ("the same step" in row_of(metric, by_step=by_step)[-1]) == said
