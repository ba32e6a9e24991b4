"""Trains once from each of several seeds, one a round.

Shows whether a training ends as well and as surely as before: the final mAP of every seed, pins paired by seed, and
how far the seeds of a pin lie apart.
"""

from harness.core import training
from harness.core.declaration import BySpread, Case, DeclaredCheck, DeclaredMetric

CASE = Case(
    metrics=(
        *training.HEALTH,
        *training.QUALITY,
        DeclaredMetric(
            "map50_spread",
            "Spread of final mAP50",
            "fraction",
            "spread",
            shown="points",
            zero="nothing learnt",
            chaotic=True,
            spread_of="map50",
            headline=False,
        ),
    ),
    series=(*training.HEALTH_SERIES, *training.QUALITY_SERIES),
    checks=(
        DeclaredCheck(
            "seeds_end_alike",
            "Seeds end alike: the {interval} of the spread of their final mAP50 is below {most}",
            BySpread("map50_spread", "map50_spread"),
        ),
    ),
    fingerprints=training.FINGERPRINTS,
)
