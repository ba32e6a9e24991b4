"""YOLOv9-S (arXiv:2402.13616), written from its published facts: the model, its loss, and what evaluation needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Optional, Union

from torch import Tensor, nn

from harness.cell.model import Model, by_branch
from harness.cell.suppress import Suppress, detections
from harness.cell.weights import draw_weights
from harness.cell.yolov9.decode import decode
from harness.cell.yolov9.export import Exportable
from harness.cell.yolov9.fold import Deployed, deployed
from harness.cell.yolov9.head import HeadMaps
from harness.cell.yolov9.loss import DetectionLoss
from harness.cell.yolov9.model import BRANCHES, YOLOv9S
from harness.cell.yolov9.released import network_of


class YOLOv9(Model):
    """YOLOv9-S as the cell trains it."""

    def build(self, classes: int) -> YOLOv9S:
        """With its auxiliary branch."""
        return YOLOv9S(classes)

    def draw(self, network: YOLOv9S, seed: int) -> None:
        """The head starts with biases and distances of its own."""
        draw_weights(network, seed)
        network.head.reset()

    def criterion(self, classes: int) -> DetectionLoss:
        """The terms are box, class and dfl, over both groups of maps."""
        return DetectionLoss(classes)

    def branches(self, network: YOLOv9S) -> dict[str, list[str]]:
        """Backbone, necks, and the four parts of the head."""
        return by_branch(network, BRANCHES)

    def network_of(self, entries: Mapping[str, Tensor]) -> Union[YOLOv9S, Deployed]:
        """The training form, or of converted weights what is deployed, not yet folded."""
        return network_of(entries)

    def classes_of(self, network: Union[YOLOv9S, Deployed]) -> int:
        """As it was built."""
        return network.classes

    def trainable(self, network: nn.Module) -> bool:
        """Not without the auxiliary branch."""
        return isinstance(network, YOLOv9S)

    def deployed(self, network: Union[YOLOv9S, Deployed]) -> Deployed:
        """Without the auxiliary branch, and folded."""
        return deployed(network)

    def detections(self, output: Sequence[Tensor], nms: Suppress) -> list[Tensor]:
        """From the raw maps of the main group."""
        return detections(decode([one.float() for one in output]), nms)

    def exportable(self, network: Deployed, size: Optional[tuple[int, int]] = None) -> Exportable:
        """With its decoding; of one size, with the places of the cells."""
        return Exportable(network, size)

    def sever(self, output: HeadMaps) -> HeadMaps:
        """The auxiliary group is cut off."""
        return output._replace(auxiliary=[one.detach() for one in output.auxiliary])


MODEL = YOLOv9()
