"""Initial weights that are the same on every version of torch: drawn by numpy, entry by entry."""

from __future__ import annotations

import hashlib
import math
from zlib import crc32

import numpy as np
import torch
from torch import nn

from harness.cell.yolov9.model import YOLOv9S


def draw_initial_weights(model: YOLOv9S, seed: int) -> None:
    """Set the whole state of `model`, in place. An entry depends on the seed and its name alone, never on the order.

    Convolutions are uniform in ±1/sqrt(fan_in), PyTorch's own default (arXiv:1502.01852 with a = sqrt(5)).
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            _draw(module, f"{name}.weight", seed)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
    model.head.reset()


def _draw(convolution: nn.Conv2d, name: str, seed: int) -> None:
    weight = convolution.weight
    bound = 1 / math.sqrt(weight[0].numel())
    # numpy keeps RandomState's stream for good (NEP 19); that of its newer generators may change
    values = np.random.RandomState([seed, crc32(name.encode())]).uniform(-bound, bound, tuple(weight.shape))
    with torch.no_grad():
        weight.copy_(torch.from_numpy(values.astype(np.float32)))


def weights_digest(model: nn.Module) -> str:
    """SHA-256 over names, types, shapes and little-endian bytes of the state dict, in the order of the names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        values = np.array(tensor.detach().cpu().numpy(), order="C")
        values = values.astype(values.dtype.newbyteorder("<"), copy=False)
        digest.update(f"{name} {values.dtype.str} {values.shape}\n".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()
