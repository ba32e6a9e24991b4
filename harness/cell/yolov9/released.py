"""Networks from the entries of released weights, which have two forms.

The training form has the names of `YOLOv9S`. The converted form is what is deployed: layers 0 to 21, and as layer 22
the head with the main group alone, under the names that the auxiliary group has in training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Union

import torch
from torch import Tensor

from harness.cell.weights import take_entries
from harness.cell.yolov9.fold import Deployed
from harness.cell.yolov9.head import BINS, STRIDES
from harness.cell.yolov9.model import HEAD, YOLOv9S
from harness.core.errors import UsageError

CONVERTED_HEAD = 22
CONVERTED = {
    f"model.{HEAD}.{ours}.": f"model.{CONVERTED_HEAD}.{theirs}."
    for ours, theirs in (("cv4", "cv2"), ("cv5", "cv3"), ("dfl2", "dfl"))
}
"""How names begin in the training form, and in the converted one."""
CONVERTED_CLASSES = f"model.{CONVERTED_HEAD}.cv3."
CLASSES = f"model.{HEAD}.cv5."


def network_of(entries: Mapping[str, Tensor]) -> Union[YOLOv9S, Deployed]:
    """The network of these entries, float32 on the CPU. Raises `UsageError` where they are of neither form."""
    converted = any(name.startswith(CONVERTED_CLASSES) for name in entries)
    classes = _classes_in(entries, CONVERTED_CLASSES if converted else CLASSES)
    network: Union[YOLOv9S, Deployed] = YOLOv9S(classes)
    own = network.state_dict()
    if converted:
        network = Deployed(network)
        own = {_converted(name): tensor for name, tensor in network.state_dict().items()}
    form = "converted" if converted else "training"
    take_entries(own, entries, f"YOLOv9-S in its {form} form (classes: {classes})")
    _check_distances(own)
    return network


def _classes_in(entries: Mapping[str, Tensor], branch: str) -> int:
    """As many as a class branch has biases; 1 where the branches have none, which is then said of them."""
    biases = [entries.get(f"{branch}{level}.2.bias") for level in range(len(STRIDES))]
    return next((len(bias) for bias in biases if bias is not None and bias.dim() == 1 and len(bias)), 1)


def _converted(name: str) -> str:
    for ours, theirs in CONVERTED.items():
        if name.startswith(ours):
            return theirs + name[len(ours) :]
    return name


def _check_distances(own: Mapping[str, Tensor]) -> None:
    # The network computes with these distances whatever the weights say. An average of weights is off by rounding.
    for name, tensor in own.items():
        if ".dfl" in name and not torch.allclose(tensor.flatten(), torch.arange(float(BINS)), rtol=1e-3):
            raise UsageError(f"The weights have no distances 0 to {BINS - 1} in {name}; take those of YOLOv9-S.")
