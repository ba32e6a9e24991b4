"""Initial weights that are the same on every version of torch: drawn by numpy, entry by entry. And their digest."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from zlib import crc32

import numpy as np
import torch
from torch import Tensor, nn

from harness.core.errors import UsageError
from harness.core.files import spelt_out

NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)
"""Layers that normalise: the weights of all others are drawn, and are what weight decay falls on."""


def draw_weights(network: nn.Module, seed: int) -> None:
    """Set the initial weights of a network, in place. An entry depends on the seed and its name alone, never on the
    order.

    Weights of two and more dimensions and their biases are uniform in ±1/sqrt(fan_in), PyTorch's own default
    (arXiv:1502.01852 with a = sqrt(5)); layers that normalise start neutral. Everything else stays as the network was
    built, and a model whose other entries are random has to draw them itself: torch's numbers differ between versions.
    """
    for name, module in network.named_modules():
        if isinstance(module, NORMS):
            _make_neutral(module)
        else:
            _draw_own(module, f"{name}." if name else "", seed)


def _make_neutral(norm: nn.Module) -> None:
    if isinstance(norm, nn.modules.batchnorm._NormBase):
        norm.reset_running_stats()
    if norm.weight is not None:
        nn.init.ones_(norm.weight)
    if norm.bias is not None:
        nn.init.zeros_(norm.bias)


def _draw_own(module: nn.Module, prefix: str, seed: int) -> None:
    own: dict[str, Tensor] = dict(module.named_parameters(recurse=False))
    for name, parameter in own.items():
        source = own["weight"] if name == "bias" and "weight" in own else parameter
        if source.dim() > 1:
            _draw(parameter, 1 / math.sqrt(source[0].numel()), prefix + name, seed)


def _draw(parameter: Tensor, bound: float, name: str, seed: int) -> None:
    # numpy keeps RandomState's stream for good (NEP 19); that of its newer generators may change
    values = np.random.RandomState([seed, crc32(name.encode())]).uniform(-bound, bound, tuple(parameter.shape))
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(values.astype(np.float32)))


def nudge_weights(network: nn.Module, seed: int) -> None:
    """Move every trained float32 entry of a network to the float above or below, in place, by an equal chance that is
    drawn from the seed and the entry's name. A 0 stays: the floats beside it are no rounding of it.

    A change of one bit moves the end of a training as far as any other source of chance (Summers and Dinneen,
    "Nondeterminism and instability in neural network optimization", ICML 2021).
    """
    for name, parameter in network.named_parameters():
        if parameter.requires_grad and parameter.dtype == torch.float32:
            _nudge(parameter, name, seed)


def _nudge(parameter: Tensor, name: str, seed: int) -> None:
    values = parameter.detach().cpu().numpy()
    up = np.random.RandomState([seed, crc32(f"nudge of {name}".encode())]).randint(0, 2, values.shape) == 1
    moved = np.nextafter(values, np.where(up, np.inf, -np.inf).astype(np.float32))
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(np.where(values == 0, values, moved)))


@torch.no_grad()
def set_entries(network: nn.Module, entries: Mapping[str, Tensor]) -> None:
    """Set every entry of a network's state dict, in place. Its own way looks through all names at every module in torch
    1.10, which takes half a second here.

    Raises `ValueError` where the entries are not those of the network.
    """
    own = network.state_dict()
    if {name: entry.shape for name, entry in own.items()} != {name: entry.shape for name, entry in entries.items()}:
        raise ValueError("The names or shapes of the entries are not those of the network.")
    for name, entry in own.items():
        entry.copy_(entries[name])


@torch.no_grad()
def take_entries(own: Mapping[str, Tensor], entries: Mapping[str, Tensor], holder: str) -> None:
    """Set every tensor of `own` in place from the entry of its name, in its own type and on its own device.

    How many batches a norm has seen may be missing: files from before torch 0.4.1 do not say. Raises `UsageError` that
    names what else is missing, left over, of another shape, or no floating point; `holder` says what has the tensors.
    """
    wrong = {
        "missing": [name for name in own if name not in entries and not name.endswith("num_batches_tracked")],
        "left over": [name for name in entries if name not in own],
        "of another shape": [
            f"{name} ({tuple(entries[name].shape)} instead of {tuple(tensor.shape)})"
            for name, tensor in own.items()
            if name in entries and entries[name].shape != tensor.shape
        ],
        "of whole numbers": [
            name
            for name, tensor in own.items()
            if name in entries and tensor.is_floating_point() and not entries[name].is_floating_point()
        ],
    }
    if any(wrong.values()):
        said = "; ".join(f"{_counted(names)} {how}" for how, names in wrong.items() if names)
        raise UsageError(f"The weights are not those of {holder}: {said}; take weights of this model.")
    for name, entry in entries.items():
        own[name].copy_(entry)


def _counted(names: Sequence[str]) -> str:
    shown = ", ".join(spelt_out(name)[:150] for name in names[:3])
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{shown}{more} {'is' if len(names) == 1 else 'are'}"


def weights_digest(network: nn.Module) -> str:
    """SHA-256 of the state dict."""
    return tensors_digest(network.state_dict())


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and little-endian bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        values = np.array(tensor.detach().cpu().numpy(), order="C")
        values = values.astype(values.dtype.newbyteorder("<"), copy=False)
        digest.update(f"{name} {values.dtype.str} {values.shape}\n".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()
