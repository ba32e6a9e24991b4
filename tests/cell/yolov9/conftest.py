"""What the tests of YOLOv9-S share: the golden file, and the weights and inputs that its numbers were computed with."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
import torch

from harness.cell.yolov9.model import YOLOv9S


def fill(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Reproducible numbers in -0.5..0.5, by the integer hash that the golden file was filled with."""
    hashed = np.arange(int(np.prod(shape, dtype=np.int64)), dtype=np.uint32) + np.uint32(crc32(name.encode()))
    for _ in range(2):
        hashed ^= hashed >> np.uint32(16)
        hashed *= np.uint32(0x45D9F3B)
    hashed ^= hashed >> np.uint32(16)
    return (hashed / 2.0**32 - 0.5).reshape(shape)


def filled_entry(name: str, tensor: torch.Tensor) -> torch.Tensor:
    if ".dfl" in name or name.endswith("num_batches_tracked"):
        return tensor.clone()
    u = fill(name, tuple(tensor.shape))
    if tensor.dim() == 4:
        values = u * 2 * np.sqrt(3 / tensor[0].numel())
    else:
        values = 0.2 * u + name.endswith(("running_var", "bn.weight"))
    return torch.from_numpy(values.astype(np.float32))


@cache
def filled_state(classes: int) -> dict[str, torch.Tensor]:
    return {name: filled_entry(name, tensor) for name, tensor in YOLOv9S(classes).state_dict().items()}


def filled_model(classes: int) -> YOLOv9S:
    """A model in training mode with the golden weights."""
    model = YOLOv9S(classes)
    model.load_state_dict(filled_state(classes))
    return model.train()


def filled_images() -> torch.Tensor:
    return torch.from_numpy((fill("input", (2, 3, 64, 96)) + 0.5).astype(np.float32))


@pytest.fixture(scope="session")
def golden() -> dict[str, Any]:
    """The reference numbers, read anew from the repository's copy."""
    path = Path(__file__).parents[2] / "golden" / "yolov9-s.json"
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def reference() -> Any:
    """The functions above: test modules cannot import a conftest."""

    class Reference:
        fill = staticmethod(fill)
        model = staticmethod(filled_model)
        images = staticmethod(filled_images)

    return Reference
