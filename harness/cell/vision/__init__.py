"""torchvision's own detectors, as their releases have them: built without pretrained weights, with their own losses.

`entry` in `[models.*]` names one of `torchvision.models.detection`: one that predicts at once
(`ssdlite320_mobilenet_v3_large`), or one of two stages (`fasterrcnn_mobilenet_v3_large_320_fpn`).

What is not left as it is, so that all versions do the same work: pictures are not resized, since ours come in the size
that is wanted; batch normalisations that are frozen without weights to freeze learn, as from torchvision 0.13 on; the
random choice of boxes that a loss looks at is made by numpy; and detections are kept from a score of 0.001 on, 300 at
most, as of every model here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

import torch
from torch import Tensor, nn

from harness.cell import compat
from harness.cell.model import Criterion, Losses, Model, by_branch
from harness.cell.suppress import Suppress
from harness.cell.vision.network import Detector
from harness.cell.weights import draw_weights
from harness.core.errors import UsageError

ENTRIES = ("ssdlite320_mobilenet_v3_large", "fasterrcnn_mobilenet_v3_large_320_fpn")
"""Those whose entries have one name in all versions (`Detector`); others may be of other names in each."""

BRANCHES = {
    "backbone": ("detector.backbone.features.", "detector.backbone.extra.", "detector.backbone.body."),
    "feature pyramid": ("detector.backbone.fpn.",),
    "proposal network": ("detector.rpn.head.conv.",),
    "objectness head": ("detector.rpn.head.cls_logits.",),
    "proposal box head": ("detector.rpn.head.bbox_pred.",),
    "region network": ("detector.roi_heads.box_head.",),
    "class head": ("detector.head.classification_head.", "detector.roi_heads.box_predictor.cls_score."),
    "box head": ("detector.head.regression_head.", "detector.roi_heads.box_predictor.bbox_pred."),
}
"""What the names of parameters begin with, by branch of either detector. Every true box gives each a gradient, as it is
matched with some anchor, and is itself among the regions. The extra layers of a detector that predicts at once are no
branch of their own: all boxes that its loss looks at may be of other layers."""

SEVERED = ("bbox_regression", "loss_box_reg")
"""The loss of the last boxes, in either detector."""


class Vision(Model):
    """One of torchvision's detectors."""

    def __init__(self, entry: str = ENTRIES[0]) -> None:
        self.entry = entry

    def chosen(self, entry: str, folder: Optional[Path]) -> Vision:  # noqa: ARG002
        """The detector of that name."""
        if entry not in ENTRIES:
            raise UsageError(
                f"torchvision's detector {entry!r} is none that is known here: take {' or '.join(ENTRIES)}."
            )
        return Vision(entry)

    def build(self, classes: int) -> Detector:
        """Class 0 of theirs is the background."""
        return Detector(compat.torchvision_detector(self.entry, classes + 1))

    def draw(self, network: nn.Module, seed: int) -> None:
        """Every layer by its name, which is the same in all versions."""
        draw_weights(network, seed)

    def fed(self, images: Tensor, targets: Tensor) -> tuple[Tensor, ...]:
        """A detector in training mode is fed the true boxes too, and puts out its losses."""
        return images, targets

    def criterion(self, classes: int) -> Criterion:  # noqa: ARG002
        """Their sum, which is of the mean picture, times the pictures."""
        return losses_of

    def branches(self, network: nn.Module) -> dict[str, list[str]]:
        """Backbone, heads, and of a detector of two stages what is between."""
        return by_branch(network, BRANCHES)

    def sever(self, output: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The box head is cut off."""
        return {name: loss.detach() if name in SEVERED else loss for name, loss in output.items()}

    def detections(self, output: list[Mapping[str, Tensor]], nms: Suppress) -> list[Tensor]:  # noqa: ARG002
        """As the detector has suppressed them itself."""
        return [
            torch.cat(
                (one["boxes"], one["scores"][:, None], one["labels"][:, None].to(one["boxes"].dtype) - 1), 1
            ).float()
            for one in output
        ]


def losses_of(output: Mapping[str, Any], targets: Tensor, _: tuple[int, int]) -> Losses:
    """The losses that a detector has put out, in the order of their names."""
    terms = {name: output[name] for name in sorted(output)}
    total = torch.stack([*terms.values()]).sum()
    return Losses(total * len(targets), {name: term.detach() for name, term in terms.items()}, {})


MODEL = Vision()
