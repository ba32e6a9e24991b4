"""The network as a whole: its branches, its initial weights, and the model that is deployed."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from harness.cell.weights import weights_digest
from harness.cell.yolov9 import MODEL
from harness.cell.yolov9.blocks import RepConvN
from harness.cell.yolov9.decode import decode
from harness.cell.yolov9.fold import deployed, parameter_count, trimmed
from harness.cell.yolov9.model import BRANCHES, YOLOv9S

SEED_7_DIGEST = "d520a1ee0a0a49e013ffce001d2c1b4802f0950304213d28f563bb25a15a6979"


@pytest.fixture(scope="module")
def model(reference: Any) -> YOLOv9S:
    return reference.model(80).eval()


@pytest.fixture(scope="module")
def drawn() -> YOLOv9S:
    model = YOLOv9S(3)
    MODEL.draw(model, 7)
    return model


def test_every_trained_parameter_belongs_to_exactly_one_branch(model: YOLOv9S) -> None:
    named = [name for names in MODEL.branches(model).values() for name in names]
    assert sorted(named) == sorted(name for name, p in model.named_parameters() if p.requires_grad)
    assert set(MODEL.branches(model)) == set(BRANCHES)


def test_layer_2_is_not_taken_for_layer_20_or_28(model: YOLOv9S) -> None:
    assert all(int(name.split(".")[1]) <= 8 for name in MODEL.branches(model)["backbone"])


def test_the_folded_model_finds_what_the_trained_model_finds(
    model: YOLOv9S, reference: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    folded = deployed(model)
    with torch.no_grad():
        expected, found = model(reference.images()).main, folded(reference.images())
    in_maps = max((a - b).abs().max().item() for a, b in zip(expected, found))
    in_detections = (decode(expected) - decode(found)).abs().max().item()
    with capsys.disabled():
        print(f"\nlargest difference by folding: {in_maps:.1e} in maps, {in_detections:.1e} px in detections", end=" ")
    assert in_maps <= 1e-4
    assert in_detections <= 1e-3


def test_the_trimmed_model_is_exactly_the_main_half(model: YOLOv9S, reference: Any) -> None:
    with torch.no_grad():
        expected, found = model(reference.images()).main, trimmed(model)(reference.images())
    assert all(torch.equal(a, b) for a, b in zip(expected, found))


def test_the_trimmed_model_keeps_the_names_of_the_trained_model(model: YOLOv9S) -> None:
    state = model.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in trimmed(model).state_dict().items())


def test_the_folded_model_has_about_7_million_parameters(model: YOLOv9S) -> None:
    assert parameter_count(trimmed(model)) == 7_226_208
    assert parameter_count(deployed(model)) == 7_105_888


def test_folding_leaves_no_batch_norm_and_does_not_touch_the_source(model: YOLOv9S) -> None:
    before = weights_digest(model)
    folded = deployed(model)
    assert not any(isinstance(module, (RepConvN, nn.BatchNorm2d)) for module in folded.modules())
    assert sum(isinstance(module, RepConvN) for module in model.modules()) == 9 * 2 * 3
    assert weights_digest(model) == before


def test_batch_statistics_are_followed_by_3_percent_a_step(reference: Any) -> None:
    model = reference.model(3)
    before = model.model[0].bn.running_mean.clone()
    images = reference.images()
    seen = model.model[0].conv(images).mean((0, 2, 3))
    model(images)
    assert torch.allclose(model.model[0].bn.running_mean, 0.97 * before + 0.03 * seen, atol=1e-6)


def test_the_same_seed_draws_the_same_weights_whatever_was_there_before(drawn: YOLOv9S, reference: Any) -> None:
    again = reference.model(3)
    MODEL.draw(again, 7)
    assert weights_digest(again) == weights_digest(drawn)


def test_the_digest_of_a_seed_is_the_same_on_every_pin(drawn: YOLOv9S) -> None:
    assert weights_digest(drawn) == SEED_7_DIGEST


def test_another_seed_draws_other_weights(drawn: YOLOv9S) -> None:
    other = YOLOv9S(3)
    MODEL.draw(other, 8)
    assert weights_digest(other) != weights_digest(drawn)


def test_convolutions_are_uniform_within_their_bound(drawn: YOLOv9S) -> None:
    weight = drawn.model[8].cv3[1].conv.weight
    bound = 1 / math.sqrt(weight[0].numel())
    assert 0.999 * bound < weight.abs().max().item() <= bound
    assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.01)


def test_the_head_starts_with_its_biases_and_projections(drawn: YOLOv9S) -> None:
    for level, stride in enumerate((8, 16, 32)):
        odds = math.log(5 / 3 / (640 / stride) ** 2)
        for boxes, classes in ((drawn.head.cv2, drawn.head.cv3), (drawn.head.cv4, drawn.head.cv5)):
            assert boxes[level][-1].bias.tolist() == [1.0] * 64
            assert classes[level][-1].bias.tolist() == pytest.approx([odds] * 3)
    assert drawn.head.dfl.conv.weight.flatten().tolist() == list(range(16))


def test_batch_norms_start_neutral(drawn: YOLOv9S) -> None:
    norm = drawn.model[0].bn
    start = [norm.weight, norm.bias, norm.running_mean, norm.running_var]
    assert [tensor.unique().tolist() for tensor in start] == [[1.0], [0.0], [0.0], [1.0]]
    assert norm.num_batches_tracked == 0


def test_a_branch_is_reached_by_the_name_that_it_is_watched_by(model: YOLOv9S, reference: Any) -> None:
    reached = MODEL.criterion(80)(model(reference.images()), torch.full((2, 1, 5), -1.0), (64, 96)).reached
    assert set(reached) == {"auxiliary box head", "main box head"} <= set(MODEL.branches(model))
