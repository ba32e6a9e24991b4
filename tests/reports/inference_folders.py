"""Results folders of the case `inference`: what every lap took at every size, and the mAP of that size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from results_folder import Folder, metric, policy

from harness.core.record import Metric, Sitting

Make = Callable[..., Folder]
SIZES = [32, 64, 96]
BATCHES = [1, 4]
SETTINGS = {
    "precisions": ["fp32"],
    "sizes": SIZES,
    "batches": BATCHES,
    "laps": 4,
    "sittings": 2,
    "pictures": 100,
}
LATENCIES = {32: 0.01, 64: 0.02, 96: 0.04}
"""Seconds: each size takes twice as long as the one before."""
GAINS = {32: 0.3, 64: 0.5, 96: 0.51}
LAPS = [1.0, 1.01, 0.99, 1.02]
"""How much longer laps take than their size does."""


def keep_inference(
    results: Folder,
    pin: str,
    index: int = 0,
    *,
    latencies: Mapping[int, float] | None = None,
    gains: Mapping[int, float] | None = None,
    halves: Mapping[int, Sequence[float]] | None = None,
    laps: Sequence[Sequence[float]] = (LAPS, LAPS),
    **changes: Any,
) -> None:
    """Write the record of one run. Batches of 4 take four times as long; half of a latency is the network's. `laps`: by
    sitting how much longer each takes; `halves`: the gains of halves of the pictures, where not all as of the whole."""
    latencies, gains = latencies or LATENCIES, gains or GAINS
    sittings = [Sitting(f"{index}.{number}", 0, len(own)) for number, own in enumerate(laps)]
    metrics: list[Metric] = []
    for size in SIZES:
        for batch in BATCHES:
            at = {"precision": "fp32", "size": size, "batch": batch}
            seconds = [latencies[size] * batch * lap for own in laps for lap in own]
            metrics.append(metric("latency", "s", *seconds, at=at))
            metrics.append(metric("network_time", "s", *(each / 2 for each in seconds), at=at))
        metrics.append(metric("deployed_map50", "fraction", gains[size], at={"precision": "fp32", "size": size}))
    series = {f"map50_of_halves:fp32, {size}": list((halves or {}).get(size, [gains[size]] * 4)) for size in SIZES}
    results.keep(pin, index, "inference", metrics=metrics, series=series, sittings=sittings, **changes)


def make_inference_folder(
    folder: Make, pins: list[str], rounds: int = 1, runs: Mapping[str, Mapping[str, Any]] | None = None, **settings: Any
) -> Folder:
    """One record for each pin and round; `runs`: by pin what `keep_inference` is told of it."""
    judged = policy("network_time", required=["inference"])
    told = {"inference": SETTINGS}
    results = folder(pins, rounds, cases=["inference"], settings=told, **{"policy": judged, **settings})
    for pin in pins:
        for index in range(rounds):
            keep_inference(results, pin, index, **(runs or {}).get(pin, {}))
    return results
