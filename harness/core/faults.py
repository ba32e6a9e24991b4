"""The faults that `nox -s calibrate` can plant: what each one's size means, and where it has to be found.

They strike in `harness/cell/faults.py`. The conductor refuses one in any plan but a calibration's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.core.settings import Amount, Strict

FaultKind = Literal[
    "slow",
    "slow-layer",
    "memory",
    "leak",
    "nan-gradient",
    "dead-branch",
    "labels",
    "coarse-convolution",
    "norm-momentum",
    "norm-epsilon",
    "loss-term",
    "suppression",
    "average-decay",
]


class Fault(Strict, frozen=True):
    """A fault that is planted in a copy of the baseline, to see whether it is found. What `size` means is in
    `PLANTABLE`."""

    kind: FaultKind
    size: Amount


@dataclass(frozen=True)
class Plantable:
    """`size` says what a fault's size is; `shown` formats it. It is found where one of the metrics `worsens` is called
    worse, or, where a proof makes one of the checks `breaks`, where that fails in every run, or, where it has one of
    the fingerprints `alters`, where that differs from the baseline's in every round, or, where it has a breakdown with
    one of the parts `swells`, where that part is clearly more than the baseline's and is the one that differs most."""

    size: str
    shown: str
    worsens: tuple[str, ...] = ()
    breaks: tuple[str, ...] = ()
    alters: tuple[str, ...] = ()
    swells: tuple[str, ...] = ()


PLANTABLE: dict[str, Plantable] = {
    "slow": Plantable(
        "share of a training step's time, or of the deployed network's", "{:.0%}", ("step_time", "network_time")
    ),
    "slow-layer": Plantable(
        "how often all batch normalisations do their work once more for nothing in the forward pass",
        "{:.0f} times more",
        swells=("BatchNorm2d, forward",),
    ),
    "memory": Plantable(
        "share of what the first epoch's training adds at its peak", "{:.0%}", ("training_memory", "peak_reserved")
    ),
    "leak": Plantable(
        "share of the memory in use, added at the end of every epoch",
        "+{:.1%} of RSS an epoch",
        ("memory_growth",),
        ("leak_rss", "leak_allocated", "leak_reserved"),
    ),
    "nan-gradient": Plantable(
        "the optimiser step, counted from 0 over the run", "one, at step {:.0f}", ("gradient_anomalies",)
    ),
    "dead-branch": Plantable("none", "cut off", ("gradient_anomalies",)),
    "labels": Plantable("share of the boxes that are put into the next class", "{:.0%}", ("map50",)),
    "coarse-convolution": Plantable(
        "bits of the mantissa that the input of one convolution keeps of 23: TF32 keeps 10",
        "{:.0f} bits",
        breaks=("no_tensor",),
    ),
    "norm-momentum": Plantable(
        "share by which all batch normalisations have a larger momentum", "{:+.2%}", alters=("exact_steps",)
    ),
    "norm-epsilon": Plantable("the epsilon of all batch normalisations", "{:g}", alters=("exact_steps",)),
    "loss-term": Plantable(
        "share by which the first term of the loss counts too much", "{:+.2%}", alters=("exact_steps",)
    ),
    "suppression": Plantable(
        "the IoU above which a box is suppressed", "at an IoU of {:g}", alters=("exact_detections",)
    ),
    "average-decay": Plantable("the decay of the weight average", "{:g}", alters=("exact_steps",)),
}
