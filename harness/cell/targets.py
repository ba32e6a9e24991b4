"""The true boxes of a batch as the losses read them: padded to one number of rows for every picture."""

from __future__ import annotations

import numpy as np


def pad_targets(rows: np.ndarray, batch: int, width: int, height: int) -> np.ndarray:
    """Rows (n, 6) of image, class, centre x, y, width, height (in 0..1) to (batch, max_boxes, 5) float32.

    That is class, x1, y1, x2, y2 in pixels, class -1 in absent rows, max_boxes at least 1. Boxes keep their order.
    """
    rows = np.asarray(rows, dtype=np.float32).reshape(-1, 6)
    image = rows[:, 0].astype(np.int64)
    if len(rows) and not 0 <= image.min() <= image.max() < batch:
        raise ValueError(f"The targets name images {image.min()} to {image.max()}, but the batch has {batch} images.")
    order = np.argsort(image, kind="stable")
    counts = np.bincount(image, minlength=batch)
    slot = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    padded = np.zeros((batch, max(1, int(counts.max())), 5), dtype=np.float32)
    padded[..., 0] = -1
    size = np.array([width, height], dtype=np.float32)
    centre, half = rows[order, 2:4] * size, rows[order, 4:6] * size / 2
    padded[image[order], slot] = np.concatenate((rows[order, 1:2], centre - half, centre + half), 1)
    return padded
