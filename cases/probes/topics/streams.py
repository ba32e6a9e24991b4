"""Random numbers.

What one seed gives: distributions, masks, permutations, initial weights, and what loading makes of it.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset, random_split

from cases.probes.probing import Trial, attempt, probe


@probe(
    why="A seed that gives other numbers is another experiment.",
    means="Draw what has to be the same (initial weights, splits) by numpy, or keep it in a file.",
)
def distributions() -> Any:
    """One seed, many distributions: the first numbers of each"""
    found: dict[str, Any] = {}
    draws: dict[str, Trial] = {
        "rand": lambda: torch.rand(5),
        "rand, float64": lambda: torch.rand(5, dtype=torch.float64),
        "randn, few": lambda: torch.randn(5),
        "randn, many": lambda: torch.randn(40)[:5],
        "randint": lambda: torch.randint(0, 1000, (5,)),
        "normal_": lambda: torch.empty(5).normal_(1, 2),
        "uniform_": lambda: torch.empty(5).uniform_(-1, 1),
        "bernoulli": lambda: torch.bernoulli(torch.full((24,), 0.3)),
        "exponential_": lambda: torch.empty(5).exponential_(),
        "log_normal_": lambda: torch.empty(5).log_normal_(),
        "geometric_": lambda: torch.empty(5).geometric_(0.3),
        "cauchy_": lambda: torch.empty(5).cauchy_(),
        "poisson": lambda: torch.poisson(torch.full((5,), 4.0)),
        "multinomial": lambda: torch.multinomial(torch.arange(1.0, 9.0), 5),
        "multinomial with replacement": lambda: torch.multinomial(torch.arange(1.0, 9.0), 5, replacement=True),
        "gamma": lambda: torch._standard_gamma(torch.full((5,), 2.0)),
    }
    for name, draw in draws.items():
        torch.manual_seed(0)
        found[name] = draw()
    return found


@probe(
    why="Dropout masks are drawn in every step.",
    means="Compare trainings with dropout by several seeds, not by one.",
)
def dropout_masks() -> Any:
    """Dropout of several kinds: masks of one seed"""
    found = {}
    for name, drop in (("dropout", F.dropout), ("dropout2d", F.dropout2d), ("alpha_dropout", F.alpha_dropout)):
        torch.manual_seed(0)
        found[name] = drop(torch.ones(1, 6, 2, 2), 0.5)
    return found


@probe(
    why="The order of a data set is a permutation of one seed.",
    means="Keep the order in a file, or draw it by numpy, where it has to be the same.",
)
def permutations() -> Any:
    """randperm: small, large, and of another type"""
    found = {}
    for name, count, kind in (("10", 10, torch.int64), ("100,000", 100_000, torch.int64), ("int32", 10, torch.int32)):
        torch.manual_seed(0)
        found[name] = torch.randperm(count, dtype=kind)[:10]
    return found


class Drawing(Dataset):
    """Of every item its number, and what torch and numpy draw for it."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Any:
        return index, int(torch.randint(0, 1000, ())), int(np.random.randint(0, 1000))


def loaded(workers: int, **how: Any) -> Any:
    """What a loader gives in two epochs: the order of the items, and what is drawn for them."""
    torch.manual_seed(0)
    np.random.seed(0)
    loader = DataLoader(Drawing(), batch_size=2, shuffle=True, num_workers=workers, **how)
    batches = [batch for _ in range(2) for batch in loader]
    columns = [torch.cat(column) for column in zip(*batches)]
    return dict(zip(("order", "by torch", "by numpy"), columns))


@probe(
    why="The order in which pictures come, and what augments them, follow from a seed through the loader.",
    means="Draw augmentations from (seed, epoch, index) yourself.",
)
def loader_without_workers() -> Any:
    """DataLoader without workers: order of items and what is drawn, in two epochs"""
    return loaded(0)


@probe(
    why="Workers draw from seeds of their own; numpy's was once the same in all of them, in every epoch.",
    means="Seed numpy in worker_init_fn, or draw augmentations from (seed, epoch, index) yourself.",
    see={"": "https://github.com/pytorch/pytorch/pull/56488"},
)
def loader_with_workers() -> Any:
    """DataLoader with two workers: order of items and what torch and numpy draw in them, in two epochs"""
    return loaded(2)


@probe(
    why="A loader that takes more or fewer numbers from the stream changes all that is drawn after it.",
    means="Give a loader a generator of its own.",
)
def stream_after_a_loader() -> Any:
    """What torch draws after an epoch of a loader: shuffled or not, with workers or not"""
    found = {}
    for shuffle in (False, True):
        for workers in (0, 1):
            torch.manual_seed(0)
            for _ in DataLoader(TensorDataset(torch.arange(4)), shuffle=shuffle, num_workers=workers):
                pass
            found[f"{'shuffled' if shuffle else 'in order'}, {workers} workers"] = torch.rand(2)
    return found


@probe(
    why="Where no weights are given, a network begins at those of its seed.",
    means="Keep initial weights in a file where trainings have to begin alike.",
    see={"2.12": "https://github.com/pytorch/pytorch/pull/174997"},
)
def initial_weights() -> Any:
    """Initial weights of layers and functions, of one seed"""
    makes: dict[str, Trial] = {
        "Conv2d": lambda: nn.Conv2d(2, 2, 2).weight,
        "Linear": lambda: nn.Linear(3, 2).weight,
        "Embedding": lambda: nn.Embedding(3, 2).weight,
        "LSTM": lambda: nn.LSTM(2, 1).weight_ih_l0,
        "MultiheadAttention": lambda: nn.MultiheadAttention(2, 1).in_proj_weight,
        "kaiming_normal_": lambda: nn.init.kaiming_normal_(torch.empty(2, 3)),
        "xavier_uniform_": lambda: nn.init.xavier_uniform_(torch.empty(2, 3)),
        "trunc_normal_": lambda: nn.init.trunc_normal_(torch.empty(2, 3)),
        "orthogonal_": lambda: nn.init.orthogonal_(torch.empty(3, 3)),
        "sparse_": lambda: nn.init.sparse_(torch.empty(4, 2), 0.5),
    }
    found = {}
    for name, make in makes.items():
        torch.manual_seed(0)
        found[name] = make()
    return found


@probe(
    why="A split into training and validation that changes lets pictures cross over.",
    means="Keep the split in a file.",
)
def splits_at_random() -> Any:
    """random_split by numbers and by fractions: which items the parts get"""
    data = [*range(10)]

    def parts(lengths: list[Any]) -> Any:
        generator = torch.Generator().manual_seed(0)
        return [list(part.indices) for part in random_split(data, lengths, generator=generator)]

    return {"numbers": parts([7, 3]), "fractions": attempt(lambda: parts([0.7, 0.3]))}


@probe(
    why="A checkpoint that goes on with the random numbers has to hold a state that the other version reads.",
    means="Do not carry random states from one version to another unless this is the same.",
)
def generator_state() -> Any:
    """The state of the generator: size, content after seeding, and what follows from an old one"""
    torch.manual_seed(7)
    state = torch.get_rng_state()
    torch.rand(3)
    later = torch.rand(2)
    torch.set_rng_state(state)
    torch.rand(3)
    return {
        "bytes": len(state),
        "digest": hashlib.sha256(bytes(state.tolist())).hexdigest()[:12],
        "again the same": bool((torch.rand(2) == later).all()),
        "seed by default": torch.Generator().initial_seed(),
    }
