"""The body of the case `broken-images`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, Optional

import msgspec
import numpy as np
import torch

from cases import broken_images
from cases.broken_images import Settings
from harness.cell.checkpoint import resume, state_of, write_checkpoint
from harness.cell.data.batches import Batch, training_batch
from harness.cell.measured import Measured
from harness.cell.results import measured_of
from harness.cell.run import Run
from harness.cell.train import Hook, Loop, Position, Training, train, training_batches
from harness.core.errors import UsageError

OUTSIDE = (1.4, 1.4, 0.3, 0.3)
"""A box beyond the picture: cx, cy, w, h as shares of its sides."""


def measure(run: Run) -> Measured:
    """Train without harm, then once for every kind of broken picture, and hold each against the first."""
    settings = run.settings_as(Settings)
    with run.scratch() as scratch:
        checkpoint = scratch / "clean.checkpoint"
        clean = train(run.spec, run.data, run.progress, Clean(checkpoint, settings.step))
        require_checkpoint(checkpoint, run, settings)
        measured = measured_of(run, clean)
        changes: dict[str, float] = {}
        for kind in KINDS:
            hook = Broken(kind, scratch, checkpoint)
            run.progress.tell(phase=kind.said)
            result = train(run.spec, run.data, run.progress, hook)
            measured.measuring += result.spent()
            changes[kind.said] = result.scores[-1].map50 - clean.scores[-1].map50
            judge(measured, kind, hook, result, clean, settings.allowed)
    worst = min(changes, key=changes.__getitem__)
    measured.keep_metric("map50_after_faults", [changes[worst]])
    measured.notes["map50_after_faults"] = f"of the worst kind: {worst[0].lower()}{worst[1:]}"
    return measured


def require_checkpoint(checkpoint: Path, run: Run, settings: Settings) -> None:
    """`UsageError` where the training was over before a broken picture could come."""
    if not checkpoint.exists():
        raise UsageError(
            f"The training of the case broken-images has no step after batch {settings.step}: give it more "
            f"pictures or epochs, or an earlier step in [profiles.{run.spec.profile}.broken-images]."
        )


Change = Callable[[Loop, Batch, Position, Path], Batch]


@dataclass(frozen=True)
class Kind:
    """A kind of broken picture: what it does to the batch that it comes in. `at_start`: to the very first batch."""

    name: str
    """That of its check."""
    change: Change
    at_start: bool = False

    @property
    def said(self) -> str:
        """The kind in words."""
        return broken_images.KINDS[self.name]


def black_picture(_: Loop, batch: Batch, __: Position, ___: Path) -> Batch:
    """The first picture is all black; its labels stay."""
    images = batch.images.copy()
    images[0] = 0
    return replace(batch, images=images)


def black_batch(_: Loop, batch: Batch, __: Position, ___: Path) -> Batch:
    """All pictures are."""
    return replace(batch, images=np.zeros_like(batch.images))


def non_finite_pixel(_: Loop, batch: Batch, __: Position, ___: Path) -> Batch:
    """One pixel is not a number, as a loader of float pictures may hand over; bytes cannot hold one."""
    images = batch.images.astype(np.float32)
    images[0, 0, images.shape[2] // 2, images.shape[3] // 2] = math.nan
    return replace(batch, images=images)


def torn_file(loop: Loop, batch: Batch, position: Position, scratch: Path) -> Batch:
    """The file of the first picture ends after half of its bytes."""
    return with_file(loop, batch, position, scratch, 0.5)


def empty_file(loop: Loop, batch: Batch, position: Position, scratch: Path) -> Batch:
    """The file of the first picture has no bytes."""
    return with_file(loop, batch, position, scratch, 0.0)


def with_file(loop: Loop, _: Batch, position: Position, scratch: Path, share: float) -> Batch:
    """The batch made again by the loader, with only that share of the first picture's file there."""
    with training_batches(loop.spec, loop.index) as batches:
        order = batches.order(*position)
    sample, *others = order.samples
    content = Path(sample[0].path).read_bytes()
    path = scratch / f"torn{Path(sample[0].path).suffix}"
    path.write_bytes(content[: int(share * len(content))])
    torn = [msgspec.structs.replace(sample[0], path=str(path)), *sample[1:]]
    return training_batch(order._replace(samples=[torn, *others]))


def unlabelled_picture(_: Loop, batch: Batch, __: Position, ___: Path) -> Batch:
    """The first picture has no labels."""
    return replace(batch, targets=batch.targets[batch.targets[:, 0] != 0])


def unlabelled_batch(_: Loop, batch: Batch, __: Position, ___: Path) -> Batch:
    """No picture has any."""
    return replace(batch, targets=batch.targets[:0])


def label_outside(_: Loop, batch: Batch, __: Position, ___: Path) -> Batch:
    """A label of the first picture lies outside of it; the check of the data would have refused it."""
    row = np.array([[0, 0, *OUTSIDE]], dtype=np.float32)
    return replace(batch, targets=np.concatenate([row, batch.targets]))


KINDS = (
    Kind("black_batch_at_start", black_batch, at_start=True),
    Kind("black_batch", black_batch),
    Kind("black_picture", black_picture),
    Kind("non_finite_pixel", non_finite_pixel),
    Kind("torn_file", torn_file),
    Kind("empty_file", empty_file),
    Kind("unlabelled_picture", unlabelled_picture),
    Kind("unlabelled_batch", unlabelled_batch),
    Kind("label_outside", label_outside),
)


class Clean(Hook):
    """Writes a checkpoint when so many batches are behind: there the broken pictures come."""

    def __init__(self, path: Path, batches: int) -> None:
        self.path = path
        self.left = batches

    def feed(self, loop: Loop, batch: Batch, position: Position) -> Sequence[Batch]:  # noqa: ARG002
        """The batch as it is."""
        self.left -= 1
        return [batch]

    def after_update(self, loop: Loop, following: Position) -> bool:
        """Write it once."""
        if self.left <= 0 and loop.share_before(following) < 1 and not self.path.exists():
            write_checkpoint(self.path, loop, following)
        return True


class Broken(Hook):
    """Feeds one broken batch, the first after the checkpoint or of all, and looks at what its step did."""

    def __init__(self, kind: Kind, scratch: Path, checkpoint: Path) -> None:
        self.kind = kind
        self.scratch = scratch
        self.checkpoint = checkpoint
        self.before: Optional[dict[str, Any]] = None
        self.done = False
        self.steps_left_out = 0
        self.loss = math.nan
        self.nonfinite = 0
        self.scaler_skips = 0
        self.skipped = False
        self.unharmed = True
        """Left out: everything is exactly as before. Otherwise: everything is finite."""

    def begin(self, loop: Loop) -> Position:
        """From the clean training's checkpoint, or from the start."""
        return Position(0, 0) if self.kind.at_start else resume(loop, self.checkpoint)

    def feed(self, loop: Loop, batch: Batch, position: Position) -> Sequence[Batch]:
        """The first batch broken, all others as they are."""
        if self.before is not None or self.done:
            return [batch]
        self.before = deepcopy(changing(loop))
        watch, self.steps_left_out = loop.result.watch, loop.result.skipped_steps
        self.nonfinite, self.scaler_skips = watch.nonfinite_gradients, watch.scaler_skips
        return [self.kind.change(loop, batch, position, self.scratch)]

    def after_update(self, loop: Loop, following: Position) -> bool:  # noqa: ARG002
        """Look, once, at what the step with the broken batch did."""
        if self.before is not None and not self.done:
            self.look(loop, self.before)
            self.done, self.before = True, None
        return True

    def look(self, loop: Loop, before: dict[str, Any]) -> None:
        """See what the step did, with this state before it."""
        result = loop.result
        self.loss = result.losses[-1]
        self.nonfinite = result.watch.nonfinite_gradients - self.nonfinite
        self.scaler_skips = result.watch.scaler_skips - self.scaler_skips
        self.skipped = result.skipped_steps > self.steps_left_out
        now = changing(loop)
        self.unharmed = equal(before, now) if self.skipped else finite(now)


def changing(loop: Loop) -> dict[str, Any]:
    """What a step changes: weights and BatchNorm's statistics, their average, the optimiser's state. The optimiser's
    rates are the schedule's, which goes on whatever becomes of a step, and a loss scaler is to lower its factor."""
    state = state_of(loop)
    return {"network": state["network"], "average": state["average"], "optimizer": state["optimizer"]["state"]}


def equal(one: Any, other: Any) -> bool:
    """Whether two nested states are the same, tensors bit for bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[name], other[name]) for name in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(equal, one, other))
    return bool(one == other)


def finite(state: Any) -> bool:
    """Whether every number of a nested state is finite."""
    if isinstance(state, torch.Tensor):
        return bool(torch.isfinite(state).all())
    if isinstance(state, dict):
        return all(map(finite, state.values()))
    if isinstance(state, (list, tuple)):
        return all(map(finite, state))
    return not isinstance(state, float) or math.isfinite(state)


def judge(measured: Measured, kind: Kind, hook: Broken, result: Training, clean: Training, allowed: float) -> None:
    """Keep the check of one kind: no harm was left, and the training went on to the clean one's mAP."""
    reached, wanted = result.scores[-1].map50, clean.scores[-1].map50
    went_on = math.isfinite(result.losses[-1])
    recovered = reached >= wanted - allowed if wanted > allowed else None
    held = recovered if hook.unharmed and went_on else False
    said = [*told(hook, result), f"final mAP50 {reached:.3f}, clean {wanted:.3f}, {allowed:g} less is allowed"]
    measured.check(kind.name, held, "; ".join(said))


def told(hook: Broken, result: Training) -> list[str]:
    """What was seen of one kind, in figures."""
    if math.isnan(hook.loss) and not hook.nonfinite:
        said = ["the file cannot be read"]
    elif hook.scaler_skips:
        said = [f"loss {hook.loss:.4g}", "gradients overflow in float16, which the loss scaler is there for"]
    else:
        gradients = f"{hook.nonfinite} gradients not finite" if hook.nonfinite else "all gradients finite"
        said = [f"loss {hook.loss:.4g}", gradients]
    if hook.skipped:
        said.append("step left out, " + ("nothing of it stays" if hook.unharmed else "but not whole"))
    else:
        said.append("step done, " + ("all weights finite" if hook.unharmed else "weights no longer finite"))
    if not math.isfinite(result.losses[-1]):
        said.append("the training did not go on")
    return said
