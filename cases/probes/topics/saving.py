"""Saving and loading.

State dictionaries, pickled modules and the files that hold them.
"""

from __future__ import annotations

import collections
import inspect
import io
import pickle
import zipfile
from typing import Any

import torch
from torch import Tensor, nn

from cases.probes.probing import attempt, drawn, probe, warned


class Block(nn.Module):
    """A convolution with its normalisation, with a signature of its own, as detectors write it."""

    def __init__(self, c1: int, c2: int, k: int = 1, act: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c1, c2, k, padding=k // 2, bias=False)
        self.bn = nn.BatchNorm2d(c2)
        self.act = nn.SiLU() if act else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Convolve, normalise, activate."""
        return self.act(self.bn(self.conv(x)))


def block() -> Block:
    """One that is evaluated, with weights that are drawn."""
    made = Block(2, 2, 3)
    made.conv.weight.data = drawn(2, 2, 3, 3)
    return made.eval()


@probe(
    why="The names and the order of what is saved are what another version has to find.",
    means="Pass prefix= and keep_vars= by name; compare the names with those of a checkpoint that you have.",
)
def state_dictionary() -> Any:
    """state_dict: names, order, versions, prefix, and whether parameters are kept as such"""
    module = block()
    state = module.state_dict()
    kept = module.state_dict(prefix="a.", keep_vars=True)
    return {
        "names": ", ".join(state),
        "versions": str({name: one.get("version") for name, one in state._metadata.items()}),
        "with prefix": next(iter(kept)),
        "kept as": type(kept["a.conv.weight"]).__name__,
        "type": type(state).__name__,
        "by position": warned(lambda: module.state_dict(collections.OrderedDict(), "a.", False)),
        "shares memory": state["conv.weight"].data_ptr() == module.conv.weight.data_ptr(),
    }


@probe(
    why="It is said that newer code adds parameters to layers, so that old weights fail to load.",
    means="As long as it is the same, weights of an older version fit: look at your own code if they do not.",
)
def names_of_weights() -> Any:
    """Names and shapes of the weights of common layers"""
    layers = {
        "Conv2d": nn.Conv2d(2, 3, 1),
        "ConvTranspose2d": nn.ConvTranspose2d(2, 3, 2),
        "BatchNorm2d": nn.BatchNorm2d(2),
        "Linear": nn.Linear(2, 3),
        "GroupNorm": nn.GroupNorm(1, 2),
        "LayerNorm": nn.LayerNorm(2),
        "MultiheadAttention": nn.MultiheadAttention(2, 1),
        "PReLU": nn.PReLU(),
        "Embedding": nn.Embedding(2, 3),
    }
    return {
        name: ", ".join(f"{key} {tuple(value.shape)}" for key, value in layer.state_dict().items())
        for name, layer in layers.items()
    }


@probe(
    why="It is said that signatures of layers have to be changed for a newer torch.",
    means="As long as an own layer works, its signature needs no change, whatever torch's own layers take.",
)
def signatures_of_layers() -> Any:
    """Arguments of Conv2d, BatchNorm2d, Linear and Upsample; and a layer with a signature of its own"""
    kinds = (nn.Conv2d, nn.BatchNorm2d, nn.Linear, nn.Upsample, nn.MaxPool2d)
    found = {
        kind.__name__: ", ".join(one.name for one in [*inspect.signature(kind.__init__).parameters.values()][1:])
        for kind in kinds
    }
    return {**found, "own layer": attempt(lambda: [*block()(torch.ones(1, 2, 4, 4)).shape])}


@probe(
    why="A checkpoint that holds a whole module holds its attributes as they were when it was saved.",
    means="Save state dictionaries; load old modules with the version that saved them and save them anew.",
)
def attributes_of_a_module() -> Any:
    """What a module keeps in itself, and so what a pickled one holds"""
    return ", ".join(sorted(vars(nn.Conv2d(1, 1, 1))))


OLD_ATTRIBUTES = [
    "training",
    "_parameters",
    "_buffers",
    "_non_persistent_buffers_set",
    "_backward_hooks",
    "_is_full_backward_hook",
    "_forward_hooks",
    "_forward_pre_hooks",
    "_state_dict_hooks",
    "_load_state_dict_pre_hooks",
    "_modules",
]
"""Those of every module that 1.10 pickled."""


@probe(
    why="Released checkpoints of detectors are whole modules, pickled years ago.",
    means="Load them once with every version, call them, and save a state dictionary.",
)
def module_of_1_10() -> Any:
    """A pickled module without the attributes that came after 1.10: loaded, called, trained, saved"""
    old = block()
    for module in old.modules():
        state = vars(module)
        for name in [name for name in state if name.startswith("_") and name not in OLD_ATTRIBUTES]:
            if name not in ("_reversed_padding_repeated_twice",):
                del state[name]
    loaded = pickle.loads(pickle.dumps(old))
    x = drawn(1, 2, 4, 4)
    return {
        "called": attempt(lambda: float(loaded(x).double().sum())),
        "trained": attempt(lambda: float(trained(loaded, x))),
        "hooked": attempt(lambda: type(loaded.register_forward_hook(lambda *_: None)).__name__),
        "saved": attempt(lambda: len(loaded.state_dict())),
        "loaded again": attempt(lambda: str(loaded.load_state_dict(loaded.state_dict()))),
        "printed": attempt(lambda: len(repr(loaded)) > 0),
    }


def trained(module: nn.Module, x: Tensor) -> Tensor:
    """The gradient of its first weight."""
    module.train()(x).square().sum().backward()
    gradient = next(module.parameters()).grad
    assert gradient is not None
    return gradient.double().abs().sum()


@probe(
    why="What load_state_dict accepts, and how it says what is missing, is how old weights meet new code.",
    means="Look at what strict=False leaves out.",
)
def loading_of_other_states() -> Any:
    """load_state_dict with keys missing, left over, of other shapes and types, and assign="""

    def load(change: Any, **how: Any) -> Any:
        module = block()
        state = module.state_dict()
        change(state)
        return attempt(lambda: str(module.load_state_dict(state, **how)))

    return {
        "missing": load(lambda state: state.pop("bn.weight")),
        "missing, not strict": load(lambda state: state.pop("bn.weight"), strict=False),
        "left over, not strict": load(lambda state: state.update(more=torch.ones(1)), strict=False),
        "another shape, not strict": load(lambda state: state.update({"bn.weight": torch.ones(3)}), strict=False),
        "float64": load(lambda state: state.update({"bn.weight": torch.ones(2).double()})),
        "a scalar for one value": load(lambda state: state.update({"bn.num_batches_tracked": torch.ones(1).long()})),
        "no tensor": load(lambda state: state.update({"bn.weight": [1.0, 2.0]})),
        "assign": load(len, assign=True),
    }


@probe(
    why="A file of a newer version has to be read by an older one where a team moves step by step.",
    means="Write with the older version what the older one has to read.",
)
def saved_file() -> Any:
    """torch.save: the parts of a file, and whether the old format is still read"""
    file, old = io.BytesIO(), io.BytesIO()
    torch.save({"a": torch.ones(2)}, file)
    torch.save({"a": torch.ones(2)}, old, _use_new_zipfile_serialization=False)
    old.seek(0)
    return {
        "parts": ", ".join(sorted(name.partition("/")[2] for name in zipfile.ZipFile(file).namelist())),
        "old format": attempt(lambda: torch.load(old)["a"].tolist()),
    }


@probe(
    why="A file that is written while a view is saved holds the whole storage, or only the view.",
    means="Clone views before saving them.",
)
def saved_views() -> Any:
    """torch.save of views: bytes of a small part of a large tensor, and whether shared memory stays shared"""
    large = torch.zeros(10_000)
    file = io.BytesIO()
    torch.save({"a": large[:2], "b": large[:4]}, file)
    size = len(file.getvalue())
    file.seek(0)
    loaded = torch.load(file)
    loaded["a"][0] = 5.0
    return {"holds all": size > 40_000, "shared": float(loaded["b"][0]) == 5.0}
