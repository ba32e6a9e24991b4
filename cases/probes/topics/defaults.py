"""Defaults and warnings.

What holds where a script says nothing, and what it is told.
"""

from __future__ import annotations

import collections
import inspect
import io
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from cases.probes.probing import Trial, attempt, drawn, probe, warned


@probe(
    why="TF32 makes products of matrices on Ampere GPUs faster and coarser; its default has changed.",
    means="Set torch.backends.cuda.matmul.allow_tf32 and torch.backends.cudnn.allow_tf32 yourself.",
    see={"1.12": "https://github.com/pytorch/pytorch/issues/67384"},
)
def flags_of_backends() -> Any:
    """Flags: TF32, cuDNN's choices, determinism, precision of products, default type"""
    return {
        "TF32 in products of matrices": torch.backends.cuda.matmul.allow_tf32,
        "TF32 in convolutions": torch.backends.cudnn.allow_tf32,
        "cuDNN, benchmark": torch.backends.cudnn.benchmark,
        "cuDNN, deterministic": torch.backends.cudnn.deterministic,
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "half sums in products": attempt(lambda: torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction),
        "precision of products": attempt(lambda: torch.get_float32_matmul_precision()),
        "default type": str(torch.get_default_dtype()),
        "numbers below normal are kept": float(torch.tensor(1e-40) * 1) > 0,
        "anomaly detection": torch.is_anomaly_enabled(),
    }


@probe(
    why="use_deterministic_algorithms refuses other operations in every version.",
    means="Turn it on for a run of every version before you rest on it.",
)
def deterministic_algorithms() -> Any:
    """use_deterministic_algorithms on a CPU: what is refused, and warn_only"""
    torch.use_deterministic_algorithms(True)
    x, places = drawn(4), torch.tensor([0, 1, 1, 0])
    return {
        "warn_only": attempt(lambda: str(torch.use_deterministic_algorithms(True, warn_only=True))),
        "scatter_add": attempt(lambda: torch.zeros(2).scatter_add(0, places, x).tolist()),
        "put with accumulate": attempt(lambda: torch.zeros(2).put_(places, x, accumulate=True).tolist()),
        "bincount": attempt(lambda: torch.bincount(places).tolist()),
        "interpolate, backward": attempt(interpolate_backward),
    }


def interpolate_backward() -> str:
    """The backward pass of a resize."""
    x = drawn(1, 1, 3, 3).requires_grad_()
    F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False).sum().backward()
    return "works"


@probe(
    why="Every detector makes its grids by meshgrid; how it is indexed is meant to change.",
    means="Pass indexing='ij'.",
    see={"": "https://github.com/pytorch/pytorch/issues/50276"},
)
def meshgrid_by_default() -> Any:
    """meshgrid without indexing=: order and warnings"""
    rows = torch.meshgrid(torch.arange(2), torch.arange(3))[0]
    return {"first grid": rows, "said": warned(lambda: torch.meshgrid(torch.arange(2), torch.arange(3)))}


@probe(
    why="An exported model has the opset of the version that wrote it, unless one is named.",
    means="Pass opset_version= to every export.",
    see={
        "1.12": "https://github.com/pytorch/pytorch/issues/48341",
        "1.13": "https://github.com/pytorch/pytorch/pull/83284",
        "2.1": "https://github.com/pytorch/pytorch/pull/107829",
        "2.8": "https://github.com/pytorch/pytorch/pull/156023",
        "2.9": "https://github.com/pytorch/pytorch/pull/158802",
    },
)
def onnx_opset_by_default() -> Any:
    """ONNX: the opset, and the exporter, where none is named"""
    parameters = inspect.signature(torch.onnx.export).parameters
    dynamo = parameters.get("dynamo")
    return {"opset": opset_by_default(), "dynamo": str(dynamo.default) if dynamo else "not there"}


def opset_by_default() -> Any:
    """What the exporter's settings have, wherever the version keeps them."""
    for module, name in (
        ("torch.onnx._constants", "ONNX_DEFAULT_OPSET"),
        ("torch.onnx._internal.torchscript_exporter._constants", "ONNX_DEFAULT_OPSET"),
        ("torch.onnx._constants", "onnx_default_opset"),
        ("torch.onnx.symbolic_helper", "_default_onnx_opset_version"),
    ):
        try:
            return getattr(__import__(module, fromlist=[name]), name)
        except (ImportError, AttributeError):
            continue
    return "not found"


AUTOCAST: dict[str, Trial] = {
    "conv2d": lambda: F.conv2d(torch.ones(1, 1, 4, 4), torch.ones(1, 1, 3, 3)),
    "matmul": lambda: torch.ones(2, 2) @ torch.ones(2, 2),
    "linear": lambda: F.linear(torch.ones(2, 2), torch.ones(2, 2)),
    "bmm": lambda: torch.bmm(torch.ones(1, 2, 2), torch.ones(1, 2, 2)),
    "softmax": lambda: torch.ones(2, 2).bfloat16().softmax(1),
    "sigmoid": lambda: torch.ones(2).bfloat16().sigmoid(),
    "batch norm": lambda: F.batch_norm(torch.ones(2, 2).bfloat16(), None, None, training=True),
    "interpolate": lambda: F.interpolate(torch.ones(1, 1, 2, 2).bfloat16(), scale_factor=2.0),
    "sum": lambda: torch.ones(2).bfloat16().sum(),
    "exp": lambda: torch.ones(2).bfloat16().exp(),
    "mse_loss": lambda: F.mse_loss(torch.ones(2).bfloat16(), torch.ones(2).bfloat16()),
    "binary_cross_entropy": lambda: F.binary_cross_entropy(torch.ones(2), torch.ones(2)),
    "smooth_l1_loss": lambda: F.smooth_l1_loss(torch.ones(2).bfloat16(), torch.ones(2).bfloat16()),
    "avg_pool2d": lambda: F.avg_pool2d(torch.ones(1, 1, 2, 2).bfloat16(), 2),
    "max_pool2d": lambda: F.max_pool2d(torch.ones(1, 1, 2, 2).bfloat16(), 2),
    "cat of two types": lambda: torch.cat((torch.ones(2), torch.ones(2).bfloat16())),
    "layer_norm": lambda: F.layer_norm(torch.ones(2, 2).bfloat16(), (2,)),
    "cumsum": lambda: torch.ones(2).bfloat16().cumsum(0),
    "norm": lambda: torch.ones(2).bfloat16().norm(),
}


@probe(
    why="Which operations run in low precision under autocast is a list, and lists change.",
    means="Convert what has to be float32 explicitly.",
    see={
        "1.12": "https://github.com/pytorch/pytorch/pull/77623",
        "1.13": "https://github.com/pytorch/pytorch/pull/82196",
    },
)
def autocast_on_a_cpu() -> Any:
    """autocast on a CPU: types of the results of many operations"""
    found = {}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for name, trial in AUTOCAST.items():
            found[name] = attempt(lambda trial: str(trial().dtype), trial)
    return found


@probe(
    why="Which operations run in half precision under autocast is a list, and lists change.",
    means="Convert what has to be float32 explicitly.",
)
def autocast_on_a_gpu() -> Any:
    """autocast on a GPU: types of the results of many operations"""
    x = torch.ones(2, 2, device="cuda")
    with torch.autocast("cuda"):
        half = x @ x
        return {
            "matmul": str(half.dtype),
            **{name: attempt(lambda name: str(getattr(half, name)().dtype), name) for name in ("exp", "sum", "norm")},
            "softmax": str(half.softmax(1).dtype),
            "add": str((half + x).dtype),
            "mse_loss": str(F.mse_loss(half, x).dtype),
            "layer_norm": str(F.layer_norm(half, (2,)).dtype),
            "cat": str(torch.cat((half, x)).dtype),
        }


@probe(
    why="autocast of a device that is not there is switched off, or fails; its default type matters on a CPU.",
    means="Pass enabled= and dtype=.",
    see={"1.11": "https://github.com/open-mmlab/mmengine/pull/330"},
)
def autocast_by_default() -> Any:
    """autocast: default type on a CPU, float16 there, and the GPU's without a GPU"""

    def kind(*how: Any, **more: Any) -> Any:
        with torch.autocast(*how, **more):
            return str((torch.ones(2, 2) @ torch.ones(2, 2)).dtype)

    return {
        "cpu": attempt(lambda: kind("cpu")),
        "cpu, float16": attempt(lambda: kind("cpu", dtype=torch.float16)),
        "cpu, float16, said": warned(lambda: kind("cpu", dtype=torch.float16)),
        "cpu, float32": attempt(lambda: kind("cpu", dtype=torch.float32)),
        "enabled inside": attempt(lambda: str(torch.is_autocast_enabled())),
    }


@probe(
    why="Functions that were deprecated before 2021 are removed one after another.",
    means="Replace them by those of torch.linalg, torch.fft and torch.nn.functional.interpolate.",
    see={
        "1.12": "https://github.com/pytorch/pytorch/pull/70986",
        "1.13": "https://github.com/pytorch/pytorch/pull/70982",
        "2.0": "https://github.com/pytorch/pytorch/pull/69857",
    },
)
def functions_that_go() -> Any:
    """Functions that were deprecated by 2021: whether they still run, and what they say"""
    square = torch.eye(2)
    trials: dict[str, Trial] = {
        "symeig": lambda: torch.symeig(square),
        "eig": lambda: torch.eig(square),
        "lstsq": lambda: torch.lstsq(square, square),
        "solve": lambda: torch.solve(square, square),
        "qr": lambda: torch.qr(square),
        "cholesky": lambda: torch.cholesky(square),
        "svd": lambda: torch.svd(square),
        "norm": lambda: torch.norm(square),
        "matrix_rank": lambda: torch.matrix_rank(square),
        "chain_matmul": lambda: torch.chain_matmul(square, square),
        "triangular_solve": lambda: torch.triangular_solve(square, square),
        "stft without return_complex": lambda: torch.stft(torch.ones(16), 4),
        "rfft": lambda: torch.rfft(torch.ones(4), 1),
        "upsample": lambda: F.upsample(torch.ones(1, 1, 2, 2), scale_factor=2.0),
        "functional.tanh": lambda: F.tanh(square),
        "T of one dimension": lambda: torch.ones(2).T,
        "T of three dimensions": lambda: torch.ones(2, 2, 2).T,
        "addmm with its old order": lambda: torch.addmm(1, square, 1, square, square),
        "add_ with its old order": lambda: torch.ones(2).add_(1, torch.ones(2)),
        "nonzero without as_tuple": lambda: torch.ones(2).nonzero(),
        "size_average": lambda: nn.MSELoss(size_average=True),
        "softmax without dim": lambda: F.softmax(torch.ones(2)),
        "volatile storage": lambda: torch.ones(2).storage(),
        "set_default_tensor_type": lambda: torch.set_default_tensor_type(torch.FloatTensor),
        "FloatTensor": lambda: torch.FloatTensor([1.0]),
        "new": lambda: torch.ones(2).new(2),
        "weight_norm": lambda: nn.utils.weight_norm(nn.Linear(2, 2)),
        "jit.script": lambda: torch.jit.script(nn.ReLU()),
        "jit.trace": lambda: torch.jit.trace(nn.ReLU(), torch.ones(2)),
    }
    return {name: warned(trial) for name, trial in trials.items()}


@probe(
    why="Default arguments of loading: what a file may contain.",
    means="Pass weights_only= explicitly; save state dictionaries of tensors and plain values.",
    see={"2.6": "https://github.com/pytorch/pytorch/pull/141304"},
)
def loading_by_default() -> Any:
    """torch.load by default: tensors, plain values, numbers and arrays of numpy, a whole module, and warnings"""

    def loaded(value: Any) -> Any:
        file = io.BytesIO()
        torch.save(value, file)
        file.seek(0)
        return type(torch.load(file)).__name__

    return {
        "tensor": attempt(lambda: loaded(torch.ones(1))),
        "ordered dictionary": attempt(lambda: loaded(collections.OrderedDict(a=torch.ones(1)))),
        "number of numpy": attempt(lambda: loaded({"best": np.float64(1.0)})),
        "array of numpy": attempt(lambda: loaded(np.ones(2))),
        "module": attempt(lambda: loaded(nn.Linear(1, 1))),
        "said of a tensor": warned(lambda: loaded(torch.ones(1))),
        "said of a module": warned(lambda: loaded(nn.Linear(1, 1))),
    }
