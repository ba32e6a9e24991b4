"""Files of weights: checkpoints as they are released, state dicts, and safetensors. Nothing of a file is run.

A release is a pickle of a whole network, and whoever unpickles one runs what it says with the code that it names. Here
it is read as data (`inert`), so neither its code nor trust in it is needed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Optional

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from harness.cell.archive import MOST_BYTES, Archive
from harness.cell.inert import LONGEST_NAME, Made, Refused, Storage, Stored, damaged, read_inert
from harness.core.errors import UsageError
from harness.core.files import is_text, spelt_out, write_atomically

ZIP = b"PK\x03\x04"
BEFORE_1_6 = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
"""The number 0x1950a86a20f9469cfc6c, pickled: how files of torch.save began before torch 1.6."""
WRAPPERS = ("module.", "_orig_mod.")
"""What stands before every name in the state of a network that trains on several GPUs (`DataParallel`,
`DistributedDataParallel`), or that `torch.compile` made."""
MOST_PARTS = 100_000
"""Modules and entries of a network. A module that is part of itself has no end."""


@dataclass(frozen=True)
class About:
    """What a file of ours says of its weights."""

    model: str
    classes: tuple[str, ...]


@dataclass(frozen=True)
class WeightsFile:
    """What a file of weights holds."""

    entries: dict[str, Tensor]
    """By name, as `state_dict` has them: on the CPU, in the file's types. Some may share memory, as in the file."""
    form: str
    """`checkpoint`: a pickled network; `state dict`; `safetensors`."""
    classes: Optional[tuple[str, ...]]
    """The names of the classes in the order of their numbers, where the file has them."""


def read_weights(path: Path) -> WeightsFile:
    """The entries of a file, whichever form it has; of a training's checkpoint those of the average, where it has one.

    Raises `UsageError` where the file cannot be read, is not whole, has another form, or asks for anything to be run.
    """
    try:
        with path.open("rb") as file:
            found = read_file(file, path.stat().st_size)
        return replace(found, entries=unwrapped(found.entries))
    except OSError as error:
        reason = f"it cannot be read ({error.strerror})"
    except Refused as error:
        reason = str(error)
    raise UsageError(f"{spelt_out(str(path))} cannot be used as weights: {reason}.")


def unwrapped(entries: dict[str, Tensor]) -> dict[str, Tensor]:
    """The entries by the names that they have in the network itself."""
    for prefix in WRAPPERS:
        if entries and all(name.startswith(prefix) for name in entries):
            return unwrapped({name[len(prefix) :]: entry for name, entry in entries.items()})
    return entries


def write_weights(path: Path, entries: Mapping[str, Tensor], about: About) -> None:
    """Write a network's entries as safetensors, atomically. `UsageError` where the folder cannot be written."""
    # its entries may not share memory, and those of a network that is trained here may
    alone = {name: entry.detach().cpu().clone(memory_format=torch.contiguous_format) for name, entry in entries.items()}
    metadata = {"format": "pt", "model": about.model, "classes": json.dumps(about.classes)}
    write_atomically(path, safetensors.torch.save(alone, metadata))


def read_file(file: BinaryIO, size: int) -> WeightsFile:
    """By what it begins with."""
    start = file.read(len(BEFORE_1_6))
    file.seek(0)
    if start.startswith(ZIP):
        return read_archive(Archive(file, size))
    if start == BEFORE_1_6:
        raise Refused("it is in the format from before torch 1.6; load it with its own code and save its state dict")
    if start[8:9] == b"{":
        return read_safetensors(file.read())
    raise Refused("it is neither a file of torch.save nor safetensors; name a file of weights")


def read_safetensors(content: bytes) -> WeightsFile:
    """What the library says of it."""
    try:
        entries = safetensors.torch.load(content)
    # types that this version of torch does not have, shapes that it cannot make
    except (SafetensorError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise damaged(spelt_out(str(error))[:200]) from None
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    said = header.get("__metadata__") or {}
    return WeightsFile(entries, "safetensors", classes_of_json(said.get("classes", "")))


def classes_of_json(text: str) -> Optional[tuple[str, ...]]:
    """The names that `write_weights` has written; None of anything else."""
    try:
        return classes_of(json.loads(text))
    except (ValueError, RecursionError):
        return None


def read_archive(archive: Archive) -> WeightsFile:
    """A file of torch.save."""
    value = read_inert(archive.read("data.pkl", MOST_BYTES))
    network = network_in(value)
    stored = state_in(value) if network is None else state_of(network)
    if not stored:
        raise Refused("it holds neither a network nor the state dict of one; save the state dict alone")
    tensors = Tensors(archive)
    return WeightsFile(
        {name: tensors.read(each) for name, each in stored.items()},
        "state dict" if network is None else "checkpoint",
        None if network is None else classes_of(network.state.get("names")),
    )


def network_in(value: Any) -> Optional[Made]:
    """The network of a checkpoint, the average before the trained one."""
    places = [value.get("ema"), value.get("model")] if isinstance(value, dict) else [value]
    return next((each for each in places if isinstance(each, Made) and each.is_module), None)


def state_in(value: Any) -> dict[str, Stored]:
    """The state dict in a file; an empty one where there is none."""
    if not isinstance(value, dict):
        return {}
    places = [value.get("state_dict"), value.get("model"), value]
    return next((each for each in places if isinstance(each, dict) and is_state(each)), {})


def is_state(value: dict[Any, Any]) -> bool:
    """Whether it has tensors by name and nothing else."""
    return all(isinstance(name, str) and isinstance(entry, Stored) for name, entry in value.items()) and bool(value)


def state_of(network: Made) -> dict[str, Stored]:
    """What `state_dict` would return, in its order: parameters, persistent buffers, and those of the parts."""
    found: dict[str, Stored] = {}
    waiting, seen = [("", network)], 0
    while waiting:
        seen += 1
        prefix, module = waiting.pop()
        if seen + len(found) + len(waiting) > MOST_PARTS or len(prefix) > LONGEST_NAME:
            raise Refused("its network has no end, or too many parts; save the state dict alone")
        found.update((prefix + name, entry) for name, entry in own_entries(module))
        waiting += reversed([(f"{prefix}{name}.", part) for name, part in parts_of(module)])
    return found


def own_entries(module: Made) -> list[tuple[str, Stored]]:
    """Parameters and persistent buffers of a module itself. They may be None."""
    state = module.state
    passing = state.get("_non_persistent_buffers_set")
    passing = passing if isinstance(passing, set) else set()
    kept = {**state["_parameters"], **{name: one for name, one in state["_buffers"].items() if name not in passing}}
    return named(kept, Stored)


def parts_of(module: Made) -> list[tuple[str, Made]]:
    """The modules in a module. They may be None."""
    return named(module.state["_modules"], Made)


def named(values: dict[Any, Any], type_: type[Any]) -> list[tuple[str, Any]]:
    """Those that are there, all of which must be of a type and have a name as torch allows it."""
    there = [(name, value) for name, value in values.items() if value is not None]
    if not all(is_name(name) and isinstance(value, type_) for name, value in there):
        raise damaged("a part of the network is none, or has a name that none has")
    return there


def is_name(name: Any) -> bool:
    """Whether a part of a module can be called so."""
    return isinstance(name, str) and 0 < len(name) <= LONGEST_NAME and "." not in name


def classes_of(names: Any) -> Optional[tuple[str, ...]]:
    """The names of a network's classes, which are a list, or a dictionary by number; None of anything else."""
    if isinstance(names, dict):
        names = [names.get(number) for number in range(len(names))]
    if not isinstance(names, (list, tuple)) or not names:
        return None
    return tuple(names) if all(isinstance(name, str) and is_text(name) for name in names) else None


class Tensors:
    """Tensors over the storages of a file, each of which is read once."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self.content: dict[str, bytearray] = {}

    def read(self, stored: Stored) -> Tensor:
        """A tensor as the pickle describes it, which was checked against the storage's length there."""
        flat = self.elements(stored.storage)
        if 0 in stored.shape:
            return flat.new_empty(stored.shape)
        return flat.as_strided(stored.shape, stored.strides, stored.offset)

    def elements(self, storage: Storage) -> Tensor:
        """All elements of a storage."""
        dtype = getattr(torch, storage.dtype)
        size = storage.count * torch.empty((), dtype=dtype).element_size()
        if storage.key not in self.content:
            self.content[storage.key] = bytearray(self.archive.read(f"data/{storage.key}", size))
        content = self.content[storage.key]
        if len(content) != size:
            raise damaged(f"storage {spelt_out(storage.key)[:100]} has {len(content)} bytes instead of {size}")
        return torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)
