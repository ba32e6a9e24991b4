"""Layers, to the last bit.

The same numbers in: what comes out of layers, losses and sums on one thread of the CPU. Which kernels run depends on
the processor too.
"""

from __future__ import annotations

from typing import Any, Optional

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cases.probes.probing import attempt, drawn, drawn_between, probe


def with_gradients(output: Tensor, *inputs: Tensor) -> list[Optional[Tensor]]:
    """The gradients of a weighted sum of the output."""
    (output * drawn(*output.shape, seed=9)).sum().backward()
    return [one.grad for one in inputs]


@probe(
    why="Running statistics are part of the weights: if they differ, an evaluation does.",
    means="Expect last bits to differ; compare scores, not bits.",
)
def batch_norm_forward() -> Any:
    """BatchNorm, forward: outputs and running statistics, training and evaluating"""
    norm = nn.BatchNorm2d(3, eps=1e-3, momentum=0.03)
    batch = drawn(4, 3, 5, 5) * 3 + 1
    trained = norm(batch)
    return {
        "output": trained[:2, :, 0],
        "running mean": norm.running_mean,
        "running variance": norm.running_var,
        "evaluating": norm.eval()(batch)[:2, :, 0],
        "batches": norm.num_batches_tracked,
    }


@probe(
    why="BatchNorm's backward pass is in every step of a detector.",
    means="Expect last bits to differ: trainings then end apart as by chance.",
)
def batch_norm_backward() -> Any:
    """BatchNorm, backward: gradients of input, weight and bias"""
    norm = nn.BatchNorm2d(3)
    x = (drawn(4, 3, 5, 5) * 3 + 1).requires_grad_()
    found = with_gradients(norm(x), x, norm.weight, norm.bias)
    return {"input": found[0][:2, :, 0] if found[0] is not None else None, "weight": found[1], "bias": found[2]}


@probe(
    why="The last batch of an epoch can be one picture, and a map at the end of a network one pixel.",
    means="Use drop_last, or evaluate such batches.",
)
def batch_norm_of_one_value() -> Any:
    """BatchNorm and InstanceNorm of one value each"""
    return {
        "batch norm": attempt(lambda: nn.BatchNorm2d(2)(torch.ones(1, 2, 1, 1)).tolist()),
        "instance norm": attempt(lambda: nn.InstanceNorm2d(2)(torch.ones(1, 2, 1, 1)).tolist()),
        "nothing at all": attempt(lambda: [*nn.BatchNorm2d(2)(torch.ones(0, 2, 3, 3)).shape]),
    }


@probe(
    why="Convolutions are most of what a detector computes; their library changes with the version.",
    means="Expect last bits to differ.",
)
def convolution_forward() -> Any:
    """Convolutions, forward: 3 × 3, 1 × 1, stride 2, grouped, dilated"""
    x = drawn(1, 8, 9, 9)
    return {
        "3 × 3": F.conv2d(x, drawn(4, 8, 3, 3, seed=1), padding=1)[0, :, 4],
        "1 × 1": F.conv2d(x, drawn(4, 8, 1, 1, seed=2))[0, :, 4],
        "stride 2": F.conv2d(x, drawn(4, 8, 3, 3, seed=3), stride=2, padding=1)[0, :, 2],
        "grouped": F.conv2d(x, drawn(8, 1, 3, 3, seed=4), padding=1, groups=8)[0, :4, 4],
        "dilated": F.conv2d(x, drawn(4, 8, 3, 3, seed=5), padding=2, dilation=2)[0, :, 4],
        "channels last": F.conv2d(x.to(memory_format=torch.channels_last), drawn(4, 8, 3, 3, seed=1), padding=1)[
            0, :, 4
        ],
    }


@probe(
    why="A detector of grey pictures begins with a convolution of one channel; in channels last it can come out wrong.",
    means="Compare the first layer in both layouts on every version; where they differ, keep weights contiguous.",
    see={
        "1.12": "https://github.com/pytorch/pytorch/issues/82060",
        "1.13": "https://github.com/pytorch/pytorch/pull/83653",
    },
)
def convolution_of_one_channel() -> Any:
    """Convolution of one input channel with weights in channels last: how far it is from the contiguous one"""
    x, weight = drawn(1, 1, 20, 20), drawn(8, 1, 3, 3, seed=1)
    apart = F.conv2d(x, weight.contiguous(memory_format=torch.channels_last)) - F.conv2d(x, weight)
    moved = nn.Conv2d(1, 8, 3, bias=False).to(memory_format=torch.channels_last)
    moved.weight.data.copy_(weight)
    both = (("function", apart), ("module", moved(x) - F.conv2d(x, weight)))
    return {name: "the same" if float(one.abs().max()) < 1e-5 else "another result" for name, one in both}


@probe(
    why="Gradients of convolutions are sums over all pixels of a batch: their order is their rounding.",
    means="Expect last bits to differ: trainings then end apart as by chance.",
)
def convolution_backward() -> Any:
    """Convolution, backward: gradients of input, weight and bias"""
    layer = nn.Conv2d(6, 4, 3, padding=1)
    layer.weight.data, layer.bias.data = drawn(4, 6, 3, 3, seed=1), drawn(4, seed=2)
    x = drawn(2, 6, 8, 8).requires_grad_()
    inputs, weight, bias = with_gradients(layer(x), x, layer.weight, layer.bias)
    assert inputs is not None
    assert weight is not None
    return {"input": inputs[0, :, 3], "weight": weight[:, 0], "bias": bias}


@probe(
    why="Products of matrices come from MKL, which is chosen by the version and by the processor.",
    means="Expect last bits to differ.",
)
def matrix_products() -> Any:
    """Products of matrices: mm, bmm, linear, mv, einsum, half the size of a cache line too"""
    a, b = drawn(7, 65), drawn(65, 9, seed=1)
    return {
        "mm": a @ b,
        "linear": F.linear(a, b.T.contiguous(), drawn(9, seed=2)),
        "bmm": torch.bmm(drawn(2, 5, 33), drawn(2, 33, 4, seed=1)),
        "mv": a @ drawn(65, seed=3),
        "einsum": torch.einsum("ij,jk->ik", a, b),
        "float64": a.double() @ b.double(),
    }


@probe(
    why="It is said that from 1.12 on a call of cuBLAS that linear layers with a bias end in, cublasLtMatmul, aborts.",
    means="As long as it is the same on a GPU of yours, linear layers are no reason to stay or to move.",
)
def linear_on_a_gpu() -> Any:
    """Linear layer with a bias on a GPU: forward and backward, in single and in half precision"""
    found = {}
    for kind in (torch.float32, torch.float16):
        layer, x = nn.Linear(64, 32).to("cuda", kind), drawn(16, 64).to("cuda", kind)
        layer(x).sum().backward()
        torch.cuda.synchronize()
        found[str(kind)] = all(bool(one.grad.isfinite().all()) for one in layer.parameters())
    return found


@probe(
    why="Activations run on every number of every map; vectorised versions of them change.",
    means="Expect last bits to differ.",
)
def activations() -> Any:
    """Activations: sigmoid, tanh, silu, gelu, softplus, mish, hardswish, elu, and exp and log"""
    x = torch.cat((drawn_between(-6, 6, 27), torch.tensor([0.0, 3.0, -3.0, 20.0, -20.0, 1e-6, -0.0])))
    functions = {
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "silu": F.silu,
        "gelu": F.gelu,
        "softplus": F.softplus,
        "mish": F.mish,
        "hardswish": F.hardswish,
        "hardsigmoid": F.hardsigmoid,
        "elu": F.elu,
        "logsigmoid": F.logsigmoid,
        "exp": torch.exp,
        "log": lambda values: torch.log(values.abs() + 1e-3),
        "erf": torch.erf,
        "pow": lambda values: values.abs() ** 1.7,
    }
    return {name: function(x) for name, function in functions.items()}


@probe(
    why="The gradient of silu is in every layer of a modern detector.",
    means="Expect last bits to differ; at an edge a gradient may be another number altogether.",
    see={"2.8": "https://github.com/pytorch/pytorch/pull/148049"},
)
def activation_gradients() -> Any:
    """Gradients of activations"""
    found = {}
    for name in ("sigmoid", "silu", "gelu", "mish", "hardswish", "hardsigmoid", "softplus", "leaky_relu", "relu6"):
        x = torch.cat((drawn_between(-6, 6, 27), torch.tensor([0.0, 3.0, -3.0, 6.0, 20.0]))).requires_grad_()
        function = getattr(F, name)
        (found[name],) = with_gradients(function(x), x)
    return found


@probe(
    why="Where the softmax runs over an inner dimension another kernel adds up.",
    means="Put the dimension of a softmax last if bits have to agree between versions.",
    see={"1.13": "https://github.com/pytorch/pytorch/pull/80114"},
)
def softmax_over_a_dimension() -> Any:
    """softmax and log_softmax over the last and an inner dimension, with gradients"""
    found: dict[str, Any] = {}
    for name, dimension in (("inner", 1), ("last", 2)):
        x = (drawn(2, 16, 17) * 3).requires_grad_()
        output = x.softmax(dimension)
        (gradient,) = with_gradients(output, x)
        assert gradient is not None
        found[f"{name} dimension"] = output[0, :, :2]
        found[f"{name} dimension, gradient"] = gradient[0, :, :2]
        found[f"{name} dimension, logarithm"] = x.log_softmax(dimension)[0, :, :2]
    return found


@probe(
    why="A loss is one number that everything follows from.",
    means="Expect last bits to differ; where more does, pass all arguments of the loss.",
    see={
        "1.11": "https://github.com/pytorch/pytorch/pull/69511",
        "1.12": "https://github.com/pytorch/pytorch/issues/73205",
    },
)
def losses() -> Any:
    """Losses: cross-entropy with and without smoothing, binary with weights, smooth L1, KL divergence"""
    x, labels = drawn(6, 5), torch.tensor([0, 1, 2, 3, 4, -100])
    goal = drawn_between(0, 1, 6, 5, seed=1)
    return {
        "cross-entropy": F.cross_entropy(x, labels),
        "smoothed": F.cross_entropy(x, labels, label_smoothing=0.1),
        "of probabilities": F.cross_entropy(x, goal.softmax(1)),
        "all ignored": str(float(F.cross_entropy(x[:1], labels[-1:]))),
        "binary, with logits": F.binary_cross_entropy_with_logits(x, goal, pos_weight=torch.full((5,), 2.0)),
        "binary": F.binary_cross_entropy(x.sigmoid(), goal),
        "binary at 0 and 1": F.binary_cross_entropy(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0])),
        "smooth L1": F.smooth_l1_loss(x, goal, beta=0.5),
        "KL": F.kl_div(x.log_softmax(1), goal.softmax(1), reduction="batchmean"),
    }


@probe(
    why="Sums over many numbers are rounded by the order in which they are added.",
    means="Expect last bits to differ; sum in float64 what is compared.",
)
def reductions() -> Any:
    """Sums: sum, mean, var, std, norm, cumsum, prod, logsumexp, over all and over one dimension"""
    x = drawn(33, 65)
    return {
        "sum": x.sum(),
        "sum of columns": x.sum(0)[:9],
        "sum of rows": x.sum(1)[:9],
        "sum over strides": x[:, ::2].sum(),
        "mean": x.mean(1)[:9],
        "var": x.var(1)[:9],
        "std": x.std(),
        "norm": x.norm(),
        "norm of rows": torch.linalg.norm(x, dim=1)[:9],
        "cumsum": x.cumsum(1)[0, -5:],
        "prod": x.prod(1)[:5],
        "logsumexp": x.logsumexp(1)[:9],
    }


@probe(
    why="Half precision on a CPU grew operation by operation.",
    means="Call .float() on a half model before it runs on a CPU with an older version.",
    see={"1.12": "https://github.com/Lightning-AI/torchmetrics/issues/1009"},
)
def half_precision_on_a_cpu() -> Any:
    """float16 on a CPU: which operations there are"""
    x = drawn(1, 4, 6, 6).half()
    trials = {
        "conv2d": lambda: F.conv2d(x, drawn(2, 4, 3, 3).half()),
        "matmul": lambda: x[0, 0] @ x[0, 1],
        "add": lambda: x + x,
        "sigmoid": lambda: x.sigmoid(),
        "silu": lambda: F.silu(x),
        "softmax": lambda: x.softmax(1),
        "batch norm": lambda: nn.BatchNorm2d(4).half()(x),
        "max pool": lambda: F.max_pool2d(x, 2),
        "interpolate": lambda: F.interpolate(x, scale_factor=2.0),
        "sum": lambda: x.sum(),
        "topk": lambda: x.flatten().topk(3)[0],
        "cat": lambda: torch.cat((x, x)),
    }
    return {name: outcome(attempt(trial)) for name, trial in trials.items()}


def outcome(result: Any) -> str:
    """Whether there is a result."""
    return result if isinstance(result, str) else "works"


@probe(
    why="Decompositions are fixed but for signs and last bits, and both change with the library.",
    means="Do not rest on the signs of singular or eigenvectors.",
)
def decompositions() -> Any:
    """Linear algebra: solve, inverse, svd, eigh, qr, cholesky, det"""
    a = drawn(5, 5)
    square = a @ a.T + torch.eye(5)
    u, s, _ = torch.linalg.svd(a)
    return {
        "solve": torch.linalg.solve(square, drawn(5, seed=1)),
        "inverse": torch.inverse(square)[0],
        "singular values": s,
        "left vectors": u[:, 0],
        "eigenvalues": torch.linalg.eigh(square)[0],
        "eigenvectors": torch.linalg.eigh(square)[1][:, 0],
        "qr": torch.linalg.qr(a)[1][0],
        "cholesky": torch.linalg.cholesky(square)[-1],
        "det": torch.linalg.det(a),
    }
