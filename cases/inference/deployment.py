"""The deployed model at work: pictures in, detections out, in three steps that are timed apart."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from harness.cell import compat
from harness.cell.data.batches import EvaluationBatch, EvaluationOrder, Placement, letterboxes
from harness.cell.data.index import Item
from harness.cell.evaluate import in_original
from harness.cell.faults import Planted
from harness.cell.given import given_network
from harness.cell.model import Model, load_model
from harness.cell.run import Run
from harness.cell.scoring import Detections
from harness.cell.suppress import Suppress

TYPES = {"fp32": torch.float32, "fp16": torch.float16}


class Seconds(NamedTuple):
    """What one batch took, each step until the device has done it."""

    prepare: float
    """From the files to a float tensor on the device."""
    network: float
    suppression: float
    """From the network's output to detections on the host."""

    @property
    def latency(self) -> float:
        """From the files to the detections."""
        return sum(self)


@dataclass(frozen=True)
class Deployment:
    """A network as it is deployed, in every precision."""

    model: Model
    networks: Mapping[str, nn.Module]
    device: torch.device
    nms: Suppress
    planted: Planted
    weights: str
    """The digest of the weights that it was made from, before they were nudged."""

    def wait(self) -> None:
        """Until the device has done all that it was told to."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def prepare(self, order: EvaluationOrder, precision: str) -> tuple[Tensor, list[Placement]]:
        """The letterboxes of pictures in 0..1 (n, 3, size, size) on the device, and where the pictures lie in them."""
        made = letterboxes(order)
        return self.on_device(torch.from_numpy(made.images), precision), made.placements

    def on_device(self, images: Tensor, precision: str) -> Tensor:
        """uint8 pictures as the network of that precision is fed them."""
        if self.device.type == "cuda":
            images = images.pin_memory()
        return images.to(self.device, non_blocking=True).to(TYPES[precision]) / 255

    def forward(self, images: Tensor, precision: str) -> Any:
        """The network's output."""
        began = time.perf_counter()
        output = self.networks[precision](images)
        self.planted.linger(began, self.device)
        return output

    def found(self, output: Any, placements: Sequence[Placement]) -> list[Detections]:
        """The detections of each picture, in the pixels of the original."""
        tables = self.model.detections(output, self.nms)
        return [in_original(table.cpu().numpy(), place) for table, place in zip(tables, placements)]

    @torch.no_grad()
    def found_in(self, batch: EvaluationBatch, precision: str) -> list[Detections]:
        """The detections of each picture of a batch that is made already."""
        images = self.on_device(torch.from_numpy(batch.images), precision)
        return self.found(self.forward(images, precision), batch.placements)

    @torch.no_grad()
    def detect(self, order: EvaluationOrder, precision: str) -> tuple[list[Detections], Seconds]:
        """The detections in some pictures, and what they took."""
        self.wait()
        moments = [time.perf_counter()]
        images, placements = self.prepare(order, precision)
        self.wait()
        moments.append(time.perf_counter())
        output = self.forward(images, precision)
        self.wait()
        moments.append(time.perf_counter())
        found = self.found(output, placements)
        moments.append(time.perf_counter())
        return found, Seconds(*(end - start for start, end in zip(moments, moments[1:])))

    def beside(self, precision: str) -> int:
        """Bytes on the device of the networks in other precisions: who deploys one does not have them."""
        others = (network for name, network in self.networks.items() if name != precision)
        tensors = (one for network in others for one in (*network.parameters(), *network.buffers()))
        return sum(one.numel() * one.element_size() for one in tensors)


def deployment_of(run: Run, precisions: Sequence[str]) -> Deployment:
    """The model of a run, deployed in these precisions on the run's device."""
    spec, classes = run.spec, len(run.data.classes)
    model = load_model(spec.model)
    planted = Planted(spec.fault, classes, model)
    network = planted.build(given_network(run))
    device = torch.device(spec.device)
    deployed = model.deployed(network).to(device).eval()
    networks = {one: deployed if one == "fp32" else deepcopy(deployed).half() for one in precisions}
    return Deployment(model, networks, device, planted.suppression() or compat.suppression(), planted, run.given.digest)


def batch_of(items: Sequence[Item], number: int, size: int, batch: int) -> EvaluationOrder:
    """The batch of that number, as one picture follows another and the first the last."""
    places = [(number * batch + place) % len(items) for place in range(batch)]
    return EvaluationOrder([items[place] for place in places], 0, size)
