"""How often the control A/A cries wolf, over matrices drawn from samples that were recorded on a shared machine.

`recorded-noise.json` holds sittings of training steps (every lap of four pins) and rounds of trainings, both with the
baseline and its twin, all clean. A matrix is drawn from them without putting back: six sittings and three rounds; in
each, baseline and twin swap their places by chance. So nothing of a sitting's own noise is averaged away, as it would
be if laps were drawn one by one.
"""

import json
import math
import random

import pytest
from scipy import stats

from harness.core.cases import read_case
from harness.core.files import ROOT
from harness.core.policy import read_policy
from harness.core.spec import TWIN
from reports.evidence.units import guess
from reports.judge.findings import Question, judged, with_common_noise
from reports.judge.laps import in_turns
from reports.judge.statistics import count_of, mean_of

MATRICES = 400
LAPS = 24
SITTINGS = 6
BASELINE = "1.10.0"
RECORDED = {"training_memory": "peak_rss"}
"""What was recorded in a metric's place: the peak of all that is resident is no quieter than the part that gates."""


@pytest.fixture(scope="module")
def recorded():
    """The recorded samples: the beginnings of sittings that are long enough, and rounds."""
    noise = json.loads((ROOT / "tests" / "golden" / "recorded-noise.json").read_text(encoding="utf-8"))
    long = [sitting for sitting in noise["sittings"] if len(sitting[BASELINE]) >= LAPS]
    return [{pin: laps[:LAPS] for pin, laps in sitting.items()} for sitting in long], noise["rounds"]


@pytest.fixture(scope="module")
def drawn(recorded):
    """Matrices: sittings and rounds, baseline and twin swapped by chance in each."""
    sittings, rounds = recorded
    random_ = random.Random(1)

    def swapped(runs):
        change = {BASELINE: TWIN, TWIN: BASELINE} if random_.random() < 0.5 else {}
        return {change.get(pin, pin): run for pin, run in runs.items()}

    return [
        (
            [swapped(one) for one in random_.sample(sittings, SITTINGS)],
            [swapped(one) for one in random_.sample(rounds, 3)],
        )
        for _ in range(MATRICES)
    ]


def by_pin(runs):
    """Values by pin and round, as findings pair them."""
    values = {}
    for place, run in enumerate(runs):
        for pin, value in run.items():
            values.setdefault(pin, {})[place] = value
    return values


def by_sitting(sittings, slow=1.0):
    """Laps by pin and sitting; `slow` makes the twin's longer."""
    found = {}
    for place, sitting in enumerate(sittings):
        for pin, laps in sitting.items():
            found.setdefault(pin, {})[0, str(place)] = [lap * (slow if pin == TWIN else 1) for lap in laps]
    return found


def questions(sittings, rounds, slow=1.0):
    """What a matrix asks of the control; `slow` makes the twin's steps longer."""
    policy = read_policy()
    turned = in_turns(by_sitting(sittings, slow), BASELINE)[TWIN]
    asked = [(guess(read_case("train"), "step_time"), turned, SITTINGS, "sittings")]
    for name in ("epoch_time", "training_memory", "memory_growth", "map50", "gradient_anomalies"):
        values = by_pin([{pin: run[RECORDED.get(name, name)] for pin, run in one.items()} for one in rounds])
        own, base = list(values[TWIN].values()), list(values[BASELINE].values())
        if name == "gradient_anomalies":
            estimate = count_of(own, base)
        elif name == "map50":
            estimate = mean_of([one - other for one, other in zip(own, base)])
        else:
            ratio = name != "memory_growth"
            estimate = with_common_noise(values, TWIN, BASELINE, list(values[BASELINE]), ratio=ratio)
        case = read_case("soak" if name == "memory_growth" else "train")
        asked.append((guess(case, name), estimate, 3, "rounds"))
    return [
        Question(TWIN, "", quantity, policy.metrics[quantity.name], estimate, n, kind, 3)
        for quantity, estimate, n, kind in asked
    ]


def alarms(asked):
    return any(found.tells_noise for found in judged(asked, read_policy().error_rate))


def over_seven_percent(sittings, rounds):
    """What a table of one value per version and a fixed threshold says: the first run of each."""
    pairs = [(stats.scoreatpercentile(sittings[0][TWIN], 50), stats.scoreatpercentile(sittings[0][BASELINE], 50))]
    pairs += [(rounds[0][TWIN][name], rounds[0][BASELINE][name]) for name in ("epoch_time", "peak_rss")]
    return any(abs(own / base - 1) > 0.07 for own, base in pairs)


def pooled_t(sittings, rounds):
    """Student's t on all values pooled, as if they were independent, each metric at 5 %."""
    pooled = [
        ([lap for one in sittings for lap in one[TWIN]], [lap for one in sittings for lap in one[BASELINE]]),
        *(
            ([one[TWIN][name] for one in rounds], [one[BASELINE][name] for one in rounds])
            for name in ("epoch_time", "peak_rss", "memory_growth")
        ),
    ]
    return any(stats.ttest_ind(own, base).pvalue < 0.05 for own, base in pooled)


def test_at_most_one_matrix_in_twenty_calls_the_baseline_different_from_itself(drawn, capsys):
    ours = sum(alarms(questions(*one)) for one in drawn) / MATRICES
    threshold = sum(over_seven_percent(*one) for one in drawn) / MATRICES
    pooled = sum(pooled_t(*one) for one in drawn) / MATRICES
    with capsys.disabled():
        print(f"\nA/A called different: {ours:.1%}; over 7 % on one value: {threshold:.1%}; pooled t: {pooled:.1%}")
    assert ours <= 0.05
    assert ours < threshold
    assert ours < pooled


def test_an_interval_of_the_step_time_misses_the_truth_no_oftener_than_its_level_says(drawn):
    missed = 0
    for sittings, _ in drawn:
        low, high = in_turns(by_sitting(sittings), BASELINE)[TWIN].interval(0.05)
        missed += not low <= 0 <= high
    assert missed / MATRICES <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / MATRICES)


def test_a_step_that_is_a_tenth_slower_is_found_in_nineteen_of_twenty_matrices(drawn):
    found = sum(judged(questions(*one, slow=1.1), read_policy().error_rate)[0].outcome == "worse" for one in drawn)
    assert found / MATRICES >= 0.95
