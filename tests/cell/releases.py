"""Files as they are released: networks of ours, saved under the names of another package's modules and classes."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

PACKAGES = {name: ModuleType(name) for name in ("models", "models.common", "models.yolo")}
"""Can be imported while a file is saved, as pickle demands, and afterwards no more."""


@cache
def class_called(name: str) -> type[nn.Module]:
    """An empty class of one of these modules."""
    module, _, own = name.rpartition(".")
    made = type(own, (nn.Module,), {"__module__": module})
    setattr(PACKAGES[module], own, made)
    return made


def standing_in(network: Any, classes: Mapping[str, str], names: Mapping[str, str]) -> Any:
    """The same parts, of classes called as `classes` says by the names of ours (those of torch stay), and under other
    names where `names` has them."""
    if network is None:
        return None
    kind = type(network)
    made = object.__new__(class_called(classes[kind.__name__]) if kind.__name__ in classes else kind)
    made.__dict__.update(network.__dict__)
    parts = {name: standing_in(part, classes, names) for name, part in network._modules.items()}
    made.__dict__["_modules"] = {names.get(name, name): part for name, part in parts.items()}
    return made


def save_release(value: Any, path: Path, **options: Any) -> None:
    """`torch.save` as on the machine of those who have the package."""
    sys.modules.update(PACKAGES)
    try:
        torch.save(value, path, **options)
    finally:
        for name in PACKAGES:
            del sys.modules[name]


def parts_of(path: Path) -> dict[str, bytes]:
    """The parts of a file of torch.save, by their names without the folder."""
    with zipfile.ZipFile(path) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def write_parts(path: Path, parts: Mapping[str, bytes], folder: str = "archive", compress: bool = False) -> Path:
    """A file of torch.save that has these parts."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED) as archive:
        for name, content in parts.items():
            archive.writestr(f"{folder}/{name}", content)
    return path
