"""Feeds pictures that are black, not finite, torn, empty or wrongly labelled to a running training.

Shows what one such picture does on every pin: whether loss or gradients stop being finite, whether the step is then
left out whole (weights, BatchNorm's statistics, their average and the optimiser exactly as before), and whether the
training goes on to the mAP of one that met none. Up to the broken picture all kinds share one training: the clean
one's, from its checkpoint.
"""

from harness.core import training
from harness.core.declaration import Case, DeclaredCheck, DeclaredMetric
from harness.core.settings import CaseSettings, Fraction, Positive


class Settings(CaseSettings, frozen=True):
    """There is one training for every kind of broken picture, and a clean one."""

    step: Positive
    """The batch, counted from 0 over the run, in which the broken picture comes: late enough that the model has learnt
    something."""
    allowed: Fraction
    """How far the final mAP50 may lie below the clean run's before a training counts as not having recovered."""


KINDS = {
    "black_batch_at_start": "An all-black batch at the very start",
    "black_batch": "An all-black batch later",
    "black_picture": "An all-black picture",
    "non_finite_pixel": "A picture with a pixel that is not finite",
    "torn_file": "A truncated file",
    "empty_file": "A file of zero bytes",
    "unlabelled_picture": "A picture without labels",
    "unlabelled_batch": "A batch without labels",
    "label_outside": "A label outside the picture",
}
"""The kinds of broken pictures, in words."""

CASE = Case(
    settings=Settings,
    metrics=(
        *training.HEALTH,
        *training.QUALITY,
        DeclaredMetric(
            "map50_after_faults",
            "Lowest mAP50 after broken pictures, against the clean run",
            "fraction",
            "points",
            better="higher",
            shown="points",
            chaotic=True,
            zero="nothing changed",
        ),
    ),
    series=(*training.HEALTH_SERIES, *training.QUALITY_SERIES),
    checks=tuple(DeclaredCheck(name, f"{kind} does no harm that stays") for name, kind in KINDS.items()),
    fingerprints=training.FINGERPRINTS,
)
