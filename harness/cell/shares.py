"""Batches in equal shares: one for each of the processes that train together, or all for one process, one by one."""

from __future__ import annotations

from dataclasses import replace

from harness.cell.data.batches import Batch


def shares_of(batch: Batch, count: int) -> list[Batch]:
    """The batch in so many equal parts; each is the whole one where a picture could not be read, so that all know."""
    if batch.problem:
        return [batch] * count
    each = len(batch.images) // count
    return [part_of(batch, number * each, each) for number in range(count)]


def part_of(batch: Batch, first: int, pictures: int) -> Batch:
    """So many pictures from `first` on, with their targets."""
    numbers = batch.targets[:, 0]
    targets = batch.targets[(numbers >= first) & (numbers < first + pictures)].copy()
    targets[:, 0] -= first
    return replace(batch, images=batch.images[first : first + pictures], targets=targets)
