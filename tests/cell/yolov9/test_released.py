"""Released weights, in the training form and the converted one, become networks that compute what they are of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from harness.cell.weights import weights_digest
from harness.cell.weights_file import About, read_weights, write_weights
from harness.cell.yolov9 import MODEL
from harness.cell.yolov9.decode import decode
from harness.cell.yolov9.fold import parameter_count, trimmed
from harness.cell.yolov9.model import YOLOv9S
from harness.core.errors import UsageError
from tests.cell.releases import save_release, standing_in

CLASSES = {
    "YOLOv9S": "models.yolo.DetectionModel",
    "DetectionHead": "models.yolo.DualDDetect",
    "MainHead": "models.yolo.DDetect",
    "Conv": "models.common.Conv",
    "AConv": "models.common.AConv",
    "ELAN1": "models.common.ELAN1",
    "RepConvN": "models.common.RepConvN",
    "RepNBottleneck": "models.common.RepNBottleneck",
    "RepNCSP": "models.common.RepNCSP",
    "RepNCSPELAN4": "models.common.RepNCSPELAN4",
    "SPPELAN": "models.common.SPPELAN",
    "Concat": "models.common.Concat",
    "Projection": "models.common.DFL",
}
"""What upstream calls the classes of ours."""


def in_training_form(network: YOLOv9S) -> Any:
    return standing_in(network, CLASSES, {})


def in_converted_form(network: YOLOv9S) -> Any:
    """Layers 0 to 21, and as layer 22 the head of the main group."""
    short = trimmed(network)
    head = standing_in(short.model["29"], CLASSES, {"cv4": "cv2", "cv5": "cv3", "dfl2": "dfl"})
    layers = [standing_in(short.model[str(number)], CLASSES, {}) for number in range(22)]
    made = standing_in(YOLOv9S(1), CLASSES, {})
    made.__dict__["_modules"] = {"model": nn.Sequential(*layers, head)}
    return made


def released(network: Any, path: Path) -> Any:
    """The network of a released file."""
    network.names = {number: f"class {number}" for number in range(3)}
    save_release({"epoch": -1, "model": network, "ema": None, "git": {}}, path)
    return read_weights(path)


@pytest.fixture(scope="module")
def source(reference: Any) -> YOLOv9S:
    """A network whose weights are those of a file in float16."""
    torch.set_num_threads(1)
    return reference.model(3).half().float().eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("released")


@pytest.fixture(scope="module")
def trained(source: YOLOv9S, folder: Path) -> Any:
    return released(in_training_form(source).half(), folder / "trained.pt")


@pytest.fixture(scope="module")
def converted(source: YOLOv9S, folder: Path) -> Any:
    return released(in_converted_form(source).half(), folder / "converted.pt")


@pytest.fixture(scope="module", autouse=True)
def whole_again(trained: Any, converted: Any, source: YOLOv9S) -> None:
    """The stand-ins have the network's own tensors, which saving made float16."""
    source.float()


def outputs(network: nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    with torch.no_grad():
        found = network(images)
    return [*found] if isinstance(found, list) else [*found.auxiliary, *found.main]


def test_the_training_form_computes_what_its_source_does_in_all_bits(
    trained: Any, source: YOLOv9S, reference: Any
) -> None:
    network = MODEL.network_of(trained.entries).eval()
    assert weights_digest(network) == weights_digest(source)
    assert all(map(torch.equal, outputs(network, reference.images()), outputs(source, reference.images())))
    assert (MODEL.classes_of(network), MODEL.trainable(network)) == (3, True)
    assert parameter_count(network) == 9_744_914
    assert trained.classes == ("class 0", "class 1", "class 2")


def test_the_converted_form_computes_what_the_main_group_of_its_source_does_in_all_bits(
    converted: Any, source: YOLOv9S, reference: Any
) -> None:
    assert {name for name in converted.entries if name.startswith("model.22.dfl")} == {"model.22.dfl.conv.weight"}
    network = MODEL.network_of(converted.entries)
    assert not network.training
    assert all(map(torch.equal, outputs(network, reference.images()), outputs(source, reference.images())[3:]))
    assert (MODEL.classes_of(network), MODEL.trainable(network)) == (3, False)
    assert parameter_count(network) == 7_196_409


@pytest.mark.parametrize("form", ["trained", "converted"])
def test_either_form_is_deployed_folded_and_finds_the_same(
    form: str, trained: Any, converted: Any, reference: Any
) -> None:
    network = MODEL.network_of({"trained": trained, "converted": converted}[form].entries)
    before = weights_digest(network)
    folded = MODEL.deployed(network)
    assert weights_digest(network) == before
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    found, expected = (decode(outputs(each, reference.images())) for each in (folded, trimmed(network)))
    assert (found - expected).abs().max() <= 1e-3
    again = MODEL.deployed(folded)
    assert weights_digest(again) == weights_digest(folded)
    assert all(map(torch.equal, outputs(again, reference.images()), outputs(folded, reference.images())))


def test_a_written_and_read_network_computes_the_same_in_all_bits(
    source: YOLOv9S, reference: Any, tmp_path: Path
) -> None:
    path = tmp_path / "weights.safetensors"
    write_weights(path, source.state_dict(), About(model="yolov9-s", classes=("a", "b", "c")))
    network = MODEL.network_of(read_weights(path).entries).eval()
    assert all(map(torch.equal, outputs(network, reference.images()), outputs(source, reference.images())))


def test_a_network_of_weights_is_trained_as_one_that_was_built(trained: Any, reference: Any) -> None:
    network = MODEL.network_of(trained.entries)
    targets = torch.tensor([[[0.0, 10, 8, 60, 50]], [[1.0, 40, 10, 90, 55]]])
    MODEL.criterion(3)(network(reference.images()), targets, (64, 96)).total.backward()
    assert all(parameter.grad is not None for parameter in network.parameters() if parameter.requires_grad)


def without(entries: Any, *ends: str) -> dict[str, torch.Tensor]:
    return {name: entry for name, entry in entries.items() if not name.endswith(ends)}


def test_counts_of_batches_may_be_missing(trained: Any, source: YOLOv9S, reference: Any) -> None:
    entries = without(trained.entries, "num_batches_tracked")
    assert len(entries) < len(trained.entries)
    network = MODEL.network_of(entries).eval()
    assert all(map(torch.equal, outputs(network, reference.images()), outputs(source, reference.images())))


def test_what_does_not_fit_is_named_with_the_form_that_it_was_held_against(trained: Any, converted: Any) -> None:
    cases = {
        "YOLOv9-S in its training form (classes: 3): model.0.conv.weight is missing; take weights": without(
            trained.entries, "model.0.conv.weight"
        ),
        "YOLOv9-S in its converted form (classes: 3): model.0.conv.weight is missing; take weights": without(
            converted.entries, "model.0.conv.weight"
        ),
        "training form (classes: 3): model.99.weight is left over;": {
            **trained.entries,
            "model.99.weight": torch.ones(1),
        },
        "training form (classes: 4): model.29.cv3.0.2.weight ((3, 128, 1, 1) instead of (4, 128, 1, 1)), ": {
            **trained.entries,
            "model.29.cv5.0.2.bias": torch.ones(4),
        },
        "training form (classes: 1): model.0.conv.weight, model.0.bn.weight, model.0.bn.bias and ": {},
        "no distances 0 to 15 in model.29.dfl2.conv.weight; take those of YOLOv9-S": {
            **trained.entries,
            "model.29.dfl2.conv.weight": torch.ones(1, 16, 1, 1),
        },
    }
    for said, entries in cases.items():
        with pytest.raises(UsageError) as error:
            MODEL.network_of(entries)
        assert said in str(error.value)


def test_distances_that_an_average_has_rounded_are_still_the_distances(trained: Any) -> None:
    name = "model.29.dfl2.conv.weight"
    rounded = {**trained.entries, name: trained.entries[name].float() * (1 + 1e-6)}
    assert isinstance(MODEL.network_of(rounded), YOLOv9S)
