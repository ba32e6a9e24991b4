"""Detects objects with the deployed model, all pins in turns.

Shows what an upgrade would change where the trained model is served: at every picture size and batch size the time of
preparing the pictures, of the network and of suppression, how many pictures a second that is, the latency that one
batch in twenty exceeds, peak memory, and the mAP that the size is worth. The processes of all pins are alive at once
and take turns of one batch of every kind, lap by lap in shuffled order, so what slows the machine for longer slows them
alike. Each set of processes is followed by a fresh one.
"""

from __future__ import annotations

from typing import Annotated, Literal, Optional

from msgspec import Meta

from harness.core.declaration import (
    Case,
    DeclaredFingerprint,
    DeclaredMetric,
    DeclaredSeries,
    Parameter,
    TradeOff,
    Turns,
)
from harness.core.settings import CaseSettings, Count, PictureSize, Positive, TrainSettings


class Settings(CaseSettings, frozen=True, kw_only=True):
    """What is detected in, and how the processes take turns. Of `train`, which all profiles have, only `warmup_batches`
    counts: so many laps at the start of every process are kept apart."""

    precisions: Annotated[list[Literal["fp32", "fp16"]], Meta(min_length=1)]
    """fp16 is the network in half precision on pictures in half precision, as it is deployed; left out on a CPU."""
    sizes: Annotated[list[PictureSize], Meta(min_length=1)]
    """Sides of the letterboxes in pixels, rising."""
    batches: Annotated[list[Positive], Meta(min_length=1)]
    """Pictures of a batch, rising."""
    laps: Positive
    """Laps of one process, without those of warm-up: in each one batch of every kind."""
    sittings: Positive
    """Processes of a run, one after another: a process can be faster or slower by 2 % for as long as it lives."""
    pictures: Count = 100
    """The first so many pictures of the validation set; 0: all of it."""

    def problem(self, train: TrainSettings) -> Optional[str]:  # noqa: ARG002
        """Sizes and batches are told apart by their numbers, and a figure goes along the sizes."""
        for name, numbers in (("sizes", self.sizes), ("batches", self.batches)):
            if numbers != sorted(set(numbers)):
                return f"its {name} {', '.join(map(str, numbers))} are not rising: name each once, the smallest first"
        return None


BY = ("precision", "size", "batch")
BY_SIZE = ("precision", "size")
NETWORK_TIME = DeclaredMetric("network_time", "Time of the network", "s", "ratio", shown="ms", by=BY)
PREPARE_TIME = DeclaredMetric("prepare_time", "Time of preparing", "s", "ratio", shown="ms", by=BY, margin=0.05)
SUPPRESSION_TIME = DeclaredMetric(
    "suppression_time", "Time of suppression", "s", "ratio", shown="ms", by=BY, margin=0.05
)
LATENCY = DeclaredMetric("latency", "Latency", "s", "ratio", shown="ms", by=BY, margin=0.03)
LATENCY_P95 = DeclaredMetric(
    "latency_p95", "95th percentile of the latency", "s", "ratio", shown="ms", by=BY, by_part=True, margin=0.1
)
"""Of the laps of each process: a percentile of so few is nearly the slowest of them. It is compared process by process,
and does not gate."""
THROUGHPUT = DeclaredMetric("throughput", "Throughput", "pictures/s", "ratio", better="higher", by=BY)
"""The latency once more, as pictures a second: a finding on it would say the same twice."""
MEMORY = (
    DeclaredMetric(
        "inference_memory", "Peak memory of inference", "bytes", "ratio", applies="cpu", by=BY, by_part=True
    ),
    DeclaredMetric(
        "inference_allocated", "Peak GPU memory of inference", "bytes", "ratio", applies="cuda", by=BY, by_part=True
    ),
)
"""On a CPU the process's own less its fixed cost, on a GPU what is allocated: in either the network's weights and all
that a batch takes."""
MAP50 = DeclaredMetric(
    "deployed_map50", "mAP50", "fraction", "points", better="higher", zero="nothing learnt", by=BY_SIZE, margin=0.008
)
MAP50_95 = DeclaredMetric(
    "deployed_map50_95", "mAP50-95", "fraction", "points", better="higher", zero="nothing learnt", by=BY_SIZE
)
HALVES = DeclaredSeries("map50_of_halves", "mAP50 of random halves of the pictures", counted="draw", drawn=False)
DETECTIONS = DeclaredFingerprint("deployed_detections", "Detections of the deployed model", counted="size")

CASE = Case(
    settings=Settings,
    weights="given",
    parameters=(
        Parameter("precision", "", "precisions"),
        Parameter("size", "", "sizes", "px"),
        Parameter("batch", "batch", "batches"),
    ),
    turns=Turns(
        metrics=tuple(one.name for one in (NETWORK_TIME, PREPARE_TIME, SUPPRESSION_TIME, LATENCY, THROUGHPUT)),
        rest=LATENCY_P95.name,
    ),
    tradeoff=TradeOff(gain=MAP50.name, cost=LATENCY.name, along="size", draws=HALVES.name, worth=0.02),
    metrics=(
        NETWORK_TIME,
        PREPARE_TIME,
        SUPPRESSION_TIME,
        LATENCY,
        LATENCY_P95,
        THROUGHPUT,
        *MEMORY,
        MAP50,
        MAP50_95,
    ),
    series=(HALVES,),
    fingerprints=(DETECTIONS,),
)
