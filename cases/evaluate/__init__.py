"""Evaluates given weights on the validation pictures: those of `--weights`, or of a short training of the baseline.

Shows whether another version finds the same objects with the same weights, as it matters where a trained model is
served: letterboxed pictures, a score of 0.001, suppression at an IoU of 0.7, 300 detections a picture, COCO's figures.
These are the settings in which released weights are published. Nothing here is left to chance, so versions differ by
rounding or by a fault.
"""

from harness.core.declaration import Case, DeclaredFingerprint, DeclaredMetric


def score(name: str, title: str) -> DeclaredMetric:
    """A COCO figure of the given weights; a tenth of a point is far above rounding."""
    title = f"{title} of given weights"
    points = {"better": "higher", "zero": "nothing learnt", "margin": 0.001}
    return DeclaredMetric(name, title, "fraction", "points", **points)  # type: ignore[arg-type]


CASE = Case(
    weights="given",
    metrics=(
        score("given_map50", "mAP50"),
        score("given_map75", "mAP75"),
        score("given_map50_95", "mAP50-95"),
        DeclaredMetric("evaluation_time", "Time of an evaluation", "s", "ratio", headline=False),
    ),
    fingerprints=(DeclaredFingerprint("given_detections", "Detections of given weights"),),
)
