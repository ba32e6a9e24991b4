"""Results folders with a score that chance moves, and the steps that tell whether it is the same training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from results_folder import Folder, check, metric, policy

from harness.core.policy import AccuracyRule
from harness.core.record import Fingerprint
from harness.core.spec import TWIN

Make = Callable[..., Folder]
PINS = ["1.10.0", TWIN, "1.12.1"]
RULE = AccuracyRule(score="map50", same_step=["gradient_error", "update_error"])

SCORES = {"1.10.0": [0.8, 0.81, 0.805], TWIN: [0.82, 0.78, 0.83], "1.12.1": [0.81, 0.77, 0.79]}
"""The candidate's are lower by 1.5 points on average, and chance reaches 4.6."""
EPOCHS = [30.0, 31.0, 30.5]
STEP_ERRORS = [2.0e-7, 2.2e-7, 2.1e-7]
"""Of the gradients, round by round."""
SIZES = [64, 96]
SETTINGS = {
    "states": [0, 4],
    "trained_size": 64,
    "trained_batch": 8,
    "pictures": 16,
    "precisions": ["fp32"],
    "sizes": SIZES,
    "batches": [8],
}


def steps_of(error: float, *, update: float = 1.0, exact: float = 1.0) -> dict[str, Any]:
    """What a run says of its steps: their errors at two sizes, those of the update times a factor, a check that holds,
    and what comes out without rounding."""
    places = [{"precision": "fp32", "size": size, "batch": 8} for size in SIZES]
    metrics = [metric("gradient_error", "ratio", error, at=at) for at in places]
    metrics += [metric("update_error", "ratio", 3 * error * update, at=at) for at in places]
    prints = [Fingerprint("exact_steps", [2.0, exact]), Fingerprint("exact_detections", [3.0])]
    return {"metrics": metrics, "checks": [check(name="no_tensor")], "fingerprints": prints}


def make_accuracy_folder(
    folder: Make,
    *,
    pins: list[str] | None = None,
    cases: Sequence[str] = ("train", "fidelity"),
    scores: Mapping[str, Sequence[float]] | None = None,
    rule: bool = True,
) -> Folder:
    """Three rounds whose scores, `SCORES` where nothing else is given, are all that tells the pins apart."""
    judged = policy(
        *("epoch_time", "map50", "gradient_error", "update_error"),
        required=["train"],
        accuracy=RULE if rule else None,
    )
    results = folder(pins or PINS, rounds=3, cases=list(cases), policy=judged, settings={"fidelity": SETTINGS})
    known = {**dict.fromkeys(results.pins, SCORES["1.12.1"]), **SCORES, **(scores or {})}
    for pin in results.pins:
        results.keep_all(pin, map50=known[pin], epoch=EPOCHS)
        for index, error in enumerate(STEP_ERRORS if "fidelity" in cases else []):
            results.keep(pin, index, "fidelity", **steps_of(error))
    return results
