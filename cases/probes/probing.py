"""What a probe is: a function that tries something out and returns what came of it, and what such functions share."""

from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional, TypeVar, Union

import numpy as np
import torch
from torch import Tensor

Value = Union[float, str, None]
Trial = Callable[[], Any]
Function = TypeVar("Function", bound=Trial)

TOPICS = Path(__file__).with_name("topics")
PROBES: dict[str, Trial] = {}
"""The functions that are marked, by their names, once `load` has been called."""
VOLATILE = re.compile(r"\s*\(Triggered internally at.*?\)|0x[0-9a-f]+|(?:/[\w.+-]+)+/(?=[\w.+-]+)")
"""What differs in a message between two runs or installations: addresses, and the folders that a file is in."""
LONGEST = 240
"""Characters that are kept of a message."""


def probe(
    *, why: str, means: str, see: Optional[Mapping[str, str]] = None, tolerance: Optional[float] = None
) -> Callable[[Function], Function]:
    """Marks a function as a probe. What is said of it is not used here: the declaration reads it from the source.

    The function takes nothing, and returns a number, a text, a tensor, or lists or a dictionary of these. It runs in a
    process of its own that has done nothing but import torch, on one thread. An exception is a result: the probe cannot
    run, and its text says why. What it returns has to be the same whenever and wherever one version runs it: no
    addresses, no times, nothing of the machine. What may fail in one version and not in another goes through `attempt`,
    and what is not there is called so (`LACKING`), so that the reports can tell what stops from what works now. Inputs
    are drawn by numpy (`drawn`), unless torch's streams are meant.
    """
    _ = why, means, see, tolerance

    def mark(function: Function) -> Function:
        if function.__name__ in PROBES:
            raise ValueError(f"there are two probes {function.__name__!r}")
        PROBES[function.__name__] = function
        return function

    return mark


def load() -> dict[str, Trial]:
    """All probes, by their names: imports every module of `topics`."""
    for path in sorted(TOPICS.glob("[a-z]*.py")):
        importlib.import_module(f"cases.probes.topics.{path.stem}")
    return PROBES


def values_of(result: Any, place: str = "") -> Iterator[tuple[str, Value]]:
    """What a probe returned, value by value in order, each with what it is of: the keys of dictionaries on the way."""
    if isinstance(result, Mapping):
        for name, part in result.items():
            yield from values_of(part, f"{place}, {name}" if place else str(name))
    elif isinstance(result, Tensor):
        yield from values_of(result.detach().double().reshape(-1).tolist(), place)
    elif isinstance(result, (list, tuple)):
        for part in result:
            yield from values_of(part, place)
    elif isinstance(result, (int, float)) and not isinstance(result, bool):
        yield place, float(result)
    else:
        yield place, str(result)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    """Numbers of a normal distribution, float32, by numpy: the same with every torch."""
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape).astype(np.float32))


def drawn_between(low: float, high: float, *shape: int, seed: int = 0) -> Tensor:
    """Numbers evenly between two, float32, likewise."""
    return torch.from_numpy(np.random.RandomState(seed).uniform(low, high, shape).astype(np.float32))


def message_of(error: BaseException) -> str:
    """What an exception or a warning says, on one line, without what differs between runs."""
    said = " ".join(VOLATILE.sub("", str(error)).split())[:LONGEST]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def attempt(trial: Callable[..., Any], *given: Any) -> Any:
    """What a trial returns of what it is given, or the exception that it ends with, by its name: for where that is the
    question. Kinds of RuntimeError are called so, as code that expects the one catches the other."""
    try:
        return trial(*given)
    except RuntimeError:
        return "raises RuntimeError"
    except Exception as error:
        return f"raises {type(error).__name__}"


def warned(trial: Trial) -> str:
    """The warnings of a trial, by category and in order, with the exception that it ends with: `none` where there is
    nothing."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ended = attempt(trial)
    kinds = [*dict.fromkeys(one.category.__name__ for one in caught)]
    raised = [ended] if isinstance(ended, str) and ended.startswith("raises ") else []
    return ", ".join([*kinds, *raised]) or "none"


def copies(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The tensors as they are now."""
    return [tensor.detach().clone() for tensor in tensors]
