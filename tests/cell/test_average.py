"""The moving average of weights, against values made by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from harness.cell.average import WeightAverage


@pytest.fixture
def model() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.BatchNorm2d(2))


def set_all(model: nn.Module, value: float) -> None:
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.fill_(value)


def test_two_updates_give_the_average_made_by_hand(model: nn.Sequential) -> None:
    set_all(model, 1)
    average = WeightAverage(model, decay=0.9, tau=2)
    expected = 1.0
    for update, value in ((1, 5), (2, -3)):
        set_all(model, value)
        average.update()
        decay = 0.9 * (1 - math.exp(-update / 2))
        expected = decay * expected + (1 - decay) * value
    state = average.network.state_dict()
    for name in ("0.weight", "1.weight", "1.bias", "1.running_mean", "1.running_var"):
        assert state[name].flatten().tolist() == pytest.approx([expected] * 2)


def test_integers_are_copied(model: nn.Sequential) -> None:
    average = WeightAverage(model)
    set_all(model, 5)
    average.update()
    assert average.network.state_dict()["1.num_batches_tracked"].item() == 5


def test_a_buffer_that_another_tensor_has_replaced_is_taken_in(model: nn.Sequential) -> None:
    average = WeightAverage(model, decay=0.0)
    model[1].running_mean = torch.full((2,), 4.0)
    model[1].num_batches_tracked = torch.tensor(9)
    average.update()
    state = average.network.state_dict()
    assert state["1.running_mean"].tolist() == [4.0, 4.0]
    assert state["1.num_batches_tracked"].item() == 9


def test_the_average_is_float32_and_in_eval_mode_and_not_trained(model: nn.Sequential) -> None:
    average = WeightAverage(model.train().half(), decay=0.5, tau=1e-9)
    set_all(model, 3)
    average.update()
    assert {tensor.dtype for tensor in average.network.parameters()} == {torch.float32}
    assert not any(tensor.requires_grad for tensor in average.network.parameters())
    assert not average.network.training
    assert model.training
    assert model[0].weight.dtype == torch.float16


def test_the_average_does_not_share_memory_with_the_model(model: nn.Sequential) -> None:
    set_all(model, 1)
    average = WeightAverage(model)
    set_all(model, 2)
    assert average.network.state_dict()["0.weight"].flatten().tolist() == [1, 1]


def test_an_average_goes_on_where_it_was_saved(model: nn.Sequential) -> None:
    first = WeightAverage(model, decay=0.9, tau=3)
    for value in (1, 4, 2):
        set_all(model, value)
        first.update()
    second = WeightAverage(model, decay=0.9, tau=3)
    second.load_state_dict(first.state_dict())
    for average in (first, second):
        set_all(model, 7)
        average.update()
    assert second.updates == 4
    for name, tensor in first.network.state_dict().items():
        assert torch.equal(tensor, second.network.state_dict()[name])
