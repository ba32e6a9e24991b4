"""Batches: the same bytes for the same (seed, epoch, number), however many processes make them."""

from __future__ import annotations

import collections
import concurrent.futures
import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, NamedTuple, Optional, Union

import numpy
import numpy.typing

from harness.cell.data.augment import LostPictureError, augmented, letterbox
from harness.cell.data.index import Item
from harness.cell.data.workers import Workers
from harness.core.errors import UsageError
from harness.core.spec import Augment

STRIDE = 32  # the network's coarsest; sizes are multiples of it
TARGET_COLUMNS = 6  # image, class, cx, cy, w, h
# What a RandomState is for: the first of its four seeds.
ORDER, SIZE, PARTNERS, SAMPLES = range(4)


@dataclass(frozen=True)
class Batch:
    """What one step is fed.

    `images`: uint8 (batch, 3, size, size) RGB, contiguous; a case that makes its own may have float32 from 0 to 255.
    `targets`: float32 (n, 6) rows [image, class, cx, cy, w, h], normalised; `image` is the place in the batch.
    `digest` is the hex sha256 of both, taken where they were made. A batch of which a picture could not be read is
    empty, and `problem` says which and why.
    """

    images: Union[numpy.typing.NDArray[numpy.uint8], numpy.typing.NDArray[numpy.float32]]
    targets: numpy.typing.NDArray[numpy.float32]
    digest: str
    problem: str = ""


@dataclass(frozen=True)
class Placement:
    """Where a picture lies in its letterbox, in pixels: place there = place in the picture · ratio + (left, top)."""

    index: int  # of the item in its split
    width: int  # of the original, upright
    height: int
    ratio_x: float  # they differ by the rounding of the shorter side to whole pixels
    ratio_y: float
    left: int
    top: int

    def to_original(self, boxes: numpy.typing.NDArray[numpy.floating]) -> numpy.typing.NDArray[numpy.floating]:
        """Boxes (n, 4) [left, top, right, bottom] in letterbox pixels as pixels of the original, cut at its edges."""
        moved = (boxes - [self.left, self.top] * 2) / [self.ratio_x, self.ratio_y, self.ratio_x, self.ratio_y]
        clipped: numpy.typing.NDArray[numpy.floating] = moved.clip(0, [self.width, self.height] * 2)
        return clipped


@dataclass(frozen=True)
class EvaluationBatch(Batch):
    """A batch of plain letterboxes, and one placement per image."""

    placements: list[Placement] = field(default_factory=list)


class StreamDigest:
    """The digest of a stream of batches, in the order in which they are used."""

    def __init__(self) -> None:
        self.batches = 0
        self.most: Optional[int] = None
        """So many batches go into the digest at most, for a training whose length is a matter of time; None for all."""
        self._digest = ""

    def update(self, batch: Batch) -> None:
        """Count in the next batch."""
        if self.most is None or self.batches < self.most:
            self._digest = hashlib.sha256((self._digest + batch.digest).encode()).hexdigest()
        self.batches += 1

    def hexdigest(self) -> str:
        """The hex sha256 of the batches so far; empty before the first."""
        return self._digest

    def state(self) -> tuple[int, str]:
        """What `go_on` needs."""
        return self.batches, self._digest

    def go_on(self, state: Sequence[Any]) -> None:
        """Go on from what `state` returned."""
        self.batches, self._digest = state


class TrainingOrder(NamedTuple):
    """All that a worker needs to make one training batch: per sample the one picture, or the four of a mosaic."""

    samples: list[list[Item]]
    size: int
    augment: Augment
    seeds: tuple[int, ...]


class EvaluationOrder(NamedTuple):
    """All that a worker needs to make one evaluation batch; `first` is the index of its first item."""

    items: list[Item]
    first: int
    size: int


class Letterboxes(NamedTuple):
    """Plain letterboxes: uint8 (n, 3, size, size) RGB; and by picture its boxes, and where it lies."""

    images: numpy.typing.NDArray[numpy.uint8]
    boxes: list[numpy.typing.NDArray[numpy.float64]]
    placements: list[Placement]


def training_batch(order: TrainingOrder) -> Batch:
    """Make one training batch, or the empty one that says which picture can no longer be read.

    UsageError when a picture is another than was checked: that is no torn file but another data set.
    """
    random = numpy.random.RandomState(order.seeds)
    images = numpy.empty((len(order.samples), 3, order.size, order.size), dtype=numpy.uint8)
    rows = []
    problem = ""
    try:
        for number, items in enumerate(order.samples):
            images[number], boxes = augmented(items, order.size, order.augment, random)
            rows.append(boxes)
    except LostPictureError as error:  # not raised: what becomes of a training then is for its loop to say
        images, rows, problem = images[:0], [], str(error)
    targets = _targets(rows)
    return Batch(images, targets, _digest(images, targets), problem)


def evaluation_batch(order: EvaluationOrder) -> EvaluationBatch:
    """Make one evaluation batch. UsageError when a picture can no longer be read, or is another than was checked."""
    images, rows, placements = letterboxes(order)
    targets = _targets(rows)
    return EvaluationBatch(images, targets, _digest(images, targets), placements=placements)


def letterboxes(order: EvaluationOrder) -> Letterboxes:
    """What an evaluation batch is made of. UsageError as there."""
    images = numpy.empty((len(order.items), 3, order.size, order.size), dtype=numpy.uint8)
    rows, placements = [], []
    for number, item in enumerate(order.items):
        images[number], boxes, lies = letterbox(item, order.size)
        ratios = ((lies.right - lies.left) / item.width, (lies.bottom - lies.top) / item.height)
        placements.append(Placement(order.first + number, item.width, item.height, *ratios, lies.left, lies.top))
        rows.append(boxes)
    return Letterboxes(images, rows, placements)


class _Source:
    """What training and evaluation share: checked numbers; workers that start at the first batch and end in `close`."""

    def __init__(self, items: Sequence[Item], size: int, batch: int, workers: int) -> None:
        if size < STRIDE or size % STRIDE:
            raise UsageError(f"The picture size is {size}, but must be a positive multiple of {STRIDE}.")
        if batch < 1:
            raise UsageError(f"The batch size is {batch}, but must be at least 1.")
        if workers < 0:
            raise UsageError(f"The number of data workers is {workers}, but must be 0 (none) or more.")
        self.items, self.size, self.batch = items, size, batch
        self._count = workers
        self._pool: Optional[Workers] = None

    def _workers(self) -> Workers:
        if self._pool is None:
            self._pool = Workers(self._count)
        return self._pool

    def hold(self) -> None:
        """Let the workers stand, if there are any, until `release`."""
        if self._pool is not None:
            self._pool.hold()

    def release(self) -> None:
        """Let them go on."""
        if self._pool is not None:
            self._pool.release()

    def close(self) -> None:
        """End the workers; the next batch would start new ones."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()


class Batches(_Source):
    """Training batches of `batch` samples; `len()` is their number in an epoch (a last incomplete one is dropped).

    `workers` processes make them, 0 makes them here. `multi_scale` draws each batch's size from the multiples of 32
    within that share of `size`. Epochs count from 0; from epoch `mosaic_off_after` on there is no mosaic. With
    `epochs`, the total, the workers begin the next epoch while the caller evaluates.

    UsageError on numbers out of range and on a set smaller than one batch. Close it, or use `with`.
    """

    def __init__(
        self,
        items: Sequence[Item],
        size: int,
        batch: int,
        seed: int,
        augment: Augment,
        workers: int = 0,
        *,
        multi_scale: float = 0.0,
        mosaic_off_after: Optional[int] = None,
        epochs: Optional[int] = None,
    ) -> None:
        super().__init__(items, size, batch, workers)
        if len(items) < batch:
            raise UsageError(
                f"The training set has {len(items)} pictures, fewer than one batch of {batch}: "
                "choose a smaller batch or more pictures."
            )
        if not 0 <= seed < 2**32:
            raise UsageError(f"The seed is {seed}, but must lie between 0 and {2**32 - 1}.")
        if not 0 <= multi_scale < 1:
            raise UsageError(f"The setting multi_scale is {multi_scale}, but must be at least 0 and below 1.")
        self.seed, self.augment, self.multi_scale = seed, augment, multi_scale
        self.mosaic_off_after, self.epochs = mosaic_off_after, epochs
        self._shuffled: Optional[tuple[int, numpy.typing.NDArray[numpy.int64]]] = None
        self._upcoming: Iterator[tuple[int, int, TrainingOrder]] = iter(())
        self._ahead: collections.deque[tuple[int, int, concurrent.futures.Future[Batch]]] = collections.deque()

    def __len__(self) -> int:
        return len(self.items) // self.batch

    def __enter__(self) -> Batches:
        return self

    def epoch(self, number: int, first: int = 0) -> Iterator[Batch]:
        """The batches of an epoch in order, from batch `first` on.

        WorkerError when a worker dies, UsageError when a picture is another than was checked.
        """
        if not self._count:
            for place in range(first, len(self)):
                yield training_batch(self.order(number, place))
            return
        if not self._ahead or self._ahead[0][:2] != (number, first):
            self._restart(number, first)
        for _ in range(first, len(self)):
            self._fill()
            yield self._ahead.popleft()[2].result()

    def order(self, epoch: int, number: int) -> TrainingOrder:
        """What batch `number` of `epoch` is made from; drawn here, so that workers need not know the whole data set."""
        chosen = self._permutation(epoch)[number * self.batch : (number + 1) * self.batch]
        random = self._random(PARTNERS, epoch, number)
        chances = random.random_sample(self.batch)
        partners = random.randint(0, len(self.items), size=(self.batch, 3))
        off = self.mosaic_off_after is not None and epoch >= self.mosaic_off_after
        samples = []
        for index, chance, others in zip(chosen, chances, partners):
            indices = [index] if off or chance >= self.augment.mosaic else [index, *others]
            samples.append([self.items[one] for one in indices])
        return TrainingOrder(samples, self._size(epoch, number), self.augment, (SAMPLES, self.seed, epoch, number))

    def close(self) -> None:
        """End the workers and drop what they made ahead."""
        super().close()
        self._ahead.clear()

    def _restart(self, epoch: int, first: int) -> None:
        for _, _, waiting in self._ahead:
            waiting.cancel()
        self._ahead.clear()
        self._upcoming = self._orders(epoch, first)

    def _fill(self) -> None:
        workers = self._workers()
        while len(self._ahead) < workers.capacity:
            upcoming = next(self._upcoming, None)
            if upcoming is None:
                return
            epoch, number, order = upcoming
            self._ahead.append((epoch, number, workers.submit(training_batch, order)))

    def _orders(self, epoch: int, first: int) -> Iterator[tuple[int, int, TrainingOrder]]:
        last = epoch if self.epochs is None else self.epochs - 1
        for each in range(epoch, max(epoch, last) + 1):
            for number in range(first if each == epoch else 0, len(self)):
                yield each, number, self.order(each, number)

    def _random(self, purpose: int, epoch: int, number: int) -> numpy.random.RandomState:
        return numpy.random.RandomState((purpose, self.seed, epoch, number))

    def _permutation(self, epoch: int) -> numpy.typing.NDArray[numpy.int64]:
        if self._shuffled is None or self._shuffled[0] != epoch:
            self._shuffled = epoch, self._random(ORDER, epoch, 0).permutation(len(self.items))
        return self._shuffled[1]

    def _size(self, epoch: int, number: int) -> int:
        reach = int(self.size * self.multi_scale) // STRIDE
        return self.size + STRIDE * int(self._random(SIZE, epoch, number).randint(-reach, reach + 1))


class EvaluationBatches(_Source):
    """Plain letterboxes of all items in order, `batch` at a time; the last batch may be smaller.

    `len()` is the number of batches; `workers` processes make them, 0 makes them here. UsageError on numbers out of
    range. Close it, or use `with`.
    """

    def __init__(self, items: Sequence[Item], size: int, batch: int, workers: int = 0) -> None:
        super().__init__(items, size, batch, workers)

    def __len__(self) -> int:
        return math.ceil(len(self.items) / self.batch)

    def __enter__(self) -> EvaluationBatches:
        return self

    def __iter__(self) -> Iterator[EvaluationBatch]:
        starts = range(0, len(self.items), self.batch)
        orders = (EvaluationOrder(list(self.items[start : start + self.batch]), start, self.size) for start in starts)
        return self._workers().in_order(evaluation_batch, orders) if self._count else map(evaluation_batch, orders)


def _targets(boxes_of: list[numpy.typing.NDArray[numpy.float64]]) -> numpy.typing.NDArray[numpy.float32]:
    numbered = [numpy.insert(boxes, 0, number, axis=1) for number, boxes in enumerate(boxes_of)]
    rows = [numpy.empty((0, TARGET_COLUMNS)), *numbered]
    return numpy.concatenate(rows).astype(numpy.float32)


def _digest(images: numpy.typing.NDArray[numpy.uint8], targets: numpy.typing.NDArray[numpy.float32]) -> str:
    total = hashlib.sha256(repr((images.shape, targets.shape)).encode())
    total.update(images.data)
    total.update(targets.data)
    return total.hexdigest()
