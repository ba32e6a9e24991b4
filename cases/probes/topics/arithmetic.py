"""Types and arithmetic.

Which type a result has, how integers are divided, and what comes of ties and of NaN.
"""

from __future__ import annotations

import copy
import itertools
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cases.probes.probing import Trial, attempt, drawn, probe, warned

KINDS = (torch.bool, torch.uint8, torch.int32, torch.int64, torch.float16, torch.bfloat16, torch.float32)


def texts(values: Tensor) -> list[str]:
    """Values as texts, so that NaN and infinities show."""
    return [str(value) for value in values.flatten().tolist()]


def short(kind: torch.dtype) -> str:
    """A type without the module."""
    return str(kind).replace("torch.", "")


@probe(
    why="The type of a sum decides its precision and its memory.",
    means="Convert explicitly where the type matters.",
)
def promotion() -> Any:
    """Type of a + b for all pairs of types, and of a tensor and a number"""
    found = {}
    for first, second in itertools.combinations_with_replacement(KINDS, 2):
        result = torch.ones(2, dtype=first) + torch.ones(2, dtype=second)
        found[f"{short(first)} + {short(second)}"] = short(result.dtype)
    for kind in KINDS:
        found[f"{short(kind)} + 1.5"] = short((torch.ones(2, dtype=kind) + 1.5).dtype)
        found[f"{short(kind)} / 2"] = short((torch.ones(2, dtype=kind) / 2).dtype)
    return found


@probe(
    why="Cells of a grid are found by integer division; below zero it once rounded towards zero.",
    means="Use torch.div(…, rounding_mode=…) and say which rounding is meant.",
    see={"1.13": "https://github.com/pytorch/pytorch/pull/78411"},
)
def integer_division() -> Any:
    """Integer division of negative numbers: //, floor_divide, div, % and their warnings"""
    a, b = torch.tensor([-7, 7, -7, 7]), torch.tensor([2, 2, -2, -2])
    return {
        "//": a // b,
        "// of floats": a.float() // b.float(),
        "number // tensor": 7 // torch.tensor([-2]),
        "floor_divide": torch.floor_divide(a, b),
        "div, floor": torch.div(a, b, rounding_mode="floor"),
        "%": a % b,
        "fmod": torch.fmod(a, b),
        "by zero": attempt(lambda: (a // 0).tolist()),
        "said of //": warned(lambda: a // b),
        "said of floor_divide": warned(lambda: torch.floor_divide(a, b)),
    }


@probe(
    why="where() of two types or of numbers failed once, and its result has a type that matters.",
    means="Convert both branches to one type.",
    see={"1.12": "https://github.com/pytorch/pytorch/pull/76691"},
)
def where_of_two_types() -> Any:
    """where() of different types and of numbers: type of the result"""
    yes = torch.tensor([True, False])
    branches: dict[str, Trial] = {
        "float32, float64": lambda: torch.where(yes, torch.ones(2), torch.ones(2).double()),
        "float32, int64": lambda: torch.where(yes, torch.ones(2), torch.ones(2).long()),
        "float32, number": lambda: torch.where(yes, torch.ones(2), 0.0),
        "float16, number": lambda: torch.where(yes, torch.ones(2).half(), 0.0),
        "number, number": lambda: torch.where(yes, 1, 0.0),
        "condition of bytes": lambda: torch.where(yes.byte(), torch.ones(2), torch.zeros(2)),
    }
    return {name: attempt(lambda make: short(make().dtype), make) for name, make in branches.items()}


@probe(
    why="Masks are subtracted and negated in old code.",
    means="Use ~mask and mask ^ other.",
)
def arithmetic_of_masks() -> Any:
    """Masks: subtraction, negation, sum, product, and indexing by bytes"""
    mask = torch.tensor([True, False, True])
    return {
        "mask - mask": attempt(lambda: (mask - mask).tolist()),
        "1 - mask": attempt(lambda: (1 - mask).tolist()),
        "-mask": attempt(lambda: (-mask).tolist()),
        "~mask": texts(~mask),
        "sum": [short(mask.sum().dtype), int(mask.sum())],
        "mean": attempt(lambda: float(mask.mean())),
        "cumsum": short(mask.cumsum(0).dtype),
        "index by bytes": attempt(lambda: torch.arange(3)[mask.byte()].tolist()),
        "index by bytes, said": warned(lambda: torch.arange(3)[mask.byte()]),
    }


@probe(
    why="The best of equal scores is a matter of the kernel.",
    means="Use stable=True, or make scores distinct.",
)
def ties() -> Any:
    """Ties: places that topk, sort, argmax, max, unique, mode and kthvalue choose among equal ones"""
    few = torch.tensor([1.0, 3.0, 3.0, 2.0, 3.0, 1.0])
    many = (torch.arange(200) % 7).float()
    return {
        "topk, few": few.topk(3)[1],
        "topk, many": many.topk(9)[1],
        "topk, not sorted": many.topk(9, sorted=False)[1].sort()[0],
        "sort, few": few.sort(descending=True)[1],
        "sort, many": many.sort(descending=True)[1][:30],
        "argmax": few.argmax(),
        "max of rows": torch.stack((few, few)).max(1)[1],
        "argmin": few.argmin(),
        "mode": list(few.mode()),
        "median": list(few.median(0)),
        "kthvalue": list(few.kthvalue(4)),
        "unique, places": few.unique(return_inverse=True)[1],
    }


@probe(
    why="A NaN that vanishes in a maximum is a fault that nobody sees.",
    means="Look for NaN with isfinite() before reductions, not after.",
    see={"1.12": "https://github.com/pytorch/pytorch/pull/77306"},
)
def not_a_number() -> Any:
    """NaN: max, min, maximum, clamp, median, sort, topk, argmax, nan_to_num, comparisons, unique"""
    nan, inf = float("nan"), float("inf")
    x = torch.tensor([1.0, nan, 3.0, -inf])
    return {
        "max": texts(x.max()),
        "argmax": x.argmax(),
        "maximum": texts(torch.maximum(x, torch.ones(4))),
        "fmax": texts(torch.fmax(x, torch.ones(4))),
        "clamp": texts(x.clamp(0, 2)),
        "clamp by tensors": texts(torch.clamp(torch.zeros(1), torch.tensor([nan]), torch.ones(1))),
        "clamp, low above high": texts(torch.zeros(1).clamp(2, 1)),
        "relu": texts(torch.relu(x)),
        "median": texts(x.median()),
        "sort": texts(x.sort()[0]),
        "topk": texts(x.topk(2)[0]),
        "nan_to_num": texts(torch.nan_to_num(x)),
        "unique": texts(torch.tensor([nan, nan, 1.0]).unique()),
        "to int": attempt(lambda: int(torch.tensor(nan).bool())),
        "sign": texts(torch.sign(x)),
        "sum of nothing": texts(torch.zeros(0).sum()),
        "mean of nothing": texts(torch.zeros(0).mean()),
        "max of nothing": attempt(lambda: float(torch.zeros(0).max())),
    }


@probe(
    why="Grids of anchors and schedules are made by arange and linspace.",
    means="Compute what must be exact in float64 or in integers.",
    see={"1.11": "https://github.com/pytorch/pytorch/issues/55951"},
)
def ranges() -> Any:
    """arange, linspace, logspace: values, types and numbers of steps"""
    return {
        "arange": torch.arange(0, 1, 0.1),
        "arange, length": len(torch.arange(0.0, 2.1, 0.3)),
        "linspace": torch.linspace(0.1, 0.9, 13),
        "linspace, integers": attempt(lambda: torch.linspace(0, 9, 4, dtype=torch.int64)),
        "logspace": torch.logspace(0, 2, 5),
        "range": warned(lambda: torch.range(0, 3)),
        "linspace without steps": warned(lambda: torch.linspace(0, 1)),
        "arange of integers": short(torch.arange(3).dtype),
        "full of an integer": short(torch.full((1,), 2).dtype),
    }


@probe(
    why="Numbers of numpy come in from data and labels, and take their type along.",
    means="Convert with float() and int() where numbers of numpy meet tensors.",
)
def numbers_of_numpy() -> Any:
    """Numbers and arrays of numpy: types of tensors made of them and combined with them"""
    one = torch.ones(2)
    return {
        "tensor(float64)": short(torch.tensor(np.float64(1)).dtype),
        "tensor([float64])": short(torch.tensor([np.float64(1)]).dtype),
        "tensor([float32])": short(torch.tensor([np.float32(1)]).dtype),
        "tensor(bool_)": short(torch.tensor(np.bool_(True)).dtype),
        "tensor * float64": short((one * np.float64(2)).dtype),
        "float64 * tensor": str(type(np.float64(2) * one).__name__),
        "array * tensor": attempt(lambda: type(np.ones(2) * one).__name__),
        "tensor + array": attempt(lambda: short((one + np.ones(2)).dtype)),
        "uint16": attempt(lambda: short(torch.from_numpy(np.ones(2, np.uint16)).dtype)),
        "int of tensor": int(torch.tensor(2.9)),
        "list of tensors": attempt(lambda: short(torch.tensor([torch.tensor(1), torch.tensor(2.5)]).dtype)),
    }


@probe(
    why="Strides and grids are computed from shapes.",
    means="Convert sizes with int() before dividing.",
)
def arithmetic_of_shapes() -> Any:
    """Sizes: types of parts, quotients and slices of a shape"""
    shape = torch.ones(7, 4).shape
    return {
        "part": type(shape[0]).__name__,
        "part / 2": [type(shape[0] / 2).__name__, shape[0] / 2],
        "part // 2": [type(shape[0] // 2).__name__, shape[0] // 2],
        "slice": type(shape[:1]).__name__,
        "shape + shape": type(shape + shape).__name__,
        "shape + tuple": type(shape + (1,)).__name__,  # noqa: RUF005
        "numel": shape.numel(),
        "repeated": type(shape * 2).__name__,
    }


@probe(
    why="What is written twice to one place, and conversions beyond a type's range, are not fixed by any rule.",
    means="Do not rest on either: use index_add or scatter_reduce, and clamp before converting.",
)
def writing_and_converting() -> Any:
    """Doubled indices, conversions of large and negative numbers, rounding of halves"""
    twice = torch.zeros(2)
    twice[torch.tensor([0, 0, 1])] = torch.tensor([1.0, 2.0, 3.0])
    return {
        "index put twice": twice,
        "scatter_reduce": attempt(scatter_reduced),
        "-1.5 as uint8": torch.tensor([-1.5]).byte(),
        "300 as uint8": torch.tensor([300]).byte(),
        "halves rounded": torch.tensor([0.5, 1.5, 2.5, -0.5]).round(),
        "two decimals": attempt(lambda: torch.tensor([1.005, 2.675]).round(decimals=2).tolist()),
        "float to half": torch.tensor([65519.0, 65503.0]).half().float().clamp(max=1e6),
        "shifted": attempt(lambda: (torch.tensor([1, -8]) >> 1).tolist()),
    }


def scatter_reduced() -> list[float]:
    """Sums by places, as the function of 2022 takes them."""
    places = torch.tensor([0, 1, 0])
    return torch.zeros(2).scatter_reduce(0, places, torch.tensor([1.0, 2.0, 3.0]), reduce="sum").tolist()


@probe(
    why="Subclasses of tensors are how libraries carry boxes and masks; operations keep the class, or lose it.",
    means="Test what a subclass becomes after the operations that you use.",
    see={
        "1.11": "https://github.com/pytorch/pytorch/issues/65430",
        "1.12": "https://github.com/pytorch/pytorch/pull/73459",
    },
)
def subclasses() -> Any:
    """A subclass of Tensor: what operations return, and __torch_function__ as a plain method"""

    class Boxes(torch.Tensor):
        pass

    class Plain:
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return "handled"

    boxes = torch.ones(2, 4).as_subclass(Boxes)
    return {
        "boxes + 1": type(boxes + 1).__name__,
        "slice": type(boxes[0]).__name__,
        "cat": type(torch.cat((boxes, boxes))).__name__,
        "parts": [type(part).__name__ for part in boxes.unbind(1)],
        "tensor + boxes": type(torch.ones(2, 4) + boxes).__name__,
        "parameter": type(torch.nn.Parameter(boxes)).__name__,
        "plain method": attempt(lambda: torch.add(Plain(), 1)),
        "plain method, said": warned(lambda: torch.add(Plain(), 1)),
        "deepcopy": attempt(lambda: type(copy.deepcopy(boxes)).__name__),
    }


@probe(
    why="Sums in half precision overflow or not, by the type in which they are added up.",
    means="Pass dtype=torch.float32 to sums of half numbers.",
    see={"2.1": "https://github.com/pytorch/pytorch/pull/96074"},
)
def sums_of_half_numbers() -> Any:
    """bfloat16 and integers: sums, means and products, and the types of their results"""
    x = drawn(100).bfloat16()
    return {
        "bfloat16, sum": x.sum().float(),
        "bfloat16, mean": x.mean().float(),
        "bfloat16, product": attempt(lambda: (x[:64] @ x[:64]).float()),
        "bfloat16, cumsum": attempt(lambda: x.cumsum(0)[-1].float()),
        "uint8, sum": short(torch.ones(2).byte().sum().dtype),
        "int32, prod": short(torch.ones(2).int().prod().dtype),
        "int64, mean": attempt(lambda: float(torch.arange(3).mean())),
        "int64, std": attempt(lambda: float(torch.arange(3).std())),
    }
