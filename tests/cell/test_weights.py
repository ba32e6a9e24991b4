"""Initial weights of any network, and their digest."""

import math

import pytest
import torch
from torch import nn

from harness.cell.weights import draw_weights, nudge_weights, set_entries, take_entries, weights_digest
from harness.core.errors import UsageError


class Scaled(nn.Module):
    """A layer of its own: two matrices, one with a bias, and a number."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(6, 4))
        self.bias = nn.Parameter(torch.empty(6))
        self.table = nn.Parameter(torch.empty(3, 100))
        self.gain = nn.Parameter(torch.ones(1))


def networks():
    """Two that differ in nothing but what was there before."""
    return [
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.GroupNorm(2, 8), nn.Linear(8, 5), Scaled())
        for _ in range(2)
    ]


def test_the_same_seed_draws_the_same_weights_whatever_was_there_before():
    one, other = networks()
    one[1].running_mean += 3
    with torch.no_grad():
        one[2].weight += 3
    for network in (one, other):
        draw_weights(network, 7)
    assert weights_digest(one) == weights_digest(other)
    draw_weights(other, 8)
    assert weights_digest(one) != weights_digest(other)


def test_an_entry_depends_on_its_name_and_not_on_what_is_drawn_beside_it():
    network, alone = networks()[0], nn.Module()
    alone.add_module("3", nn.Linear(8, 5))
    for each in (network, alone):
        draw_weights(each, 7)
    assert torch.equal(network[3].weight, getattr(alone, "3").weight)
    assert torch.equal(network[3].bias, getattr(alone, "3").bias)


def test_weights_and_their_biases_lie_within_the_bound_of_their_inputs():
    network = networks()[0]
    draw_weights(network, 7)
    for parameter, inputs in (
        (network[0].weight, 27), (network[0].bias, 27), (network[3].weight, 8), (network[3].bias, 8),
        (network[4].weight, 4), (network[4].bias, 4), (network[4].table, 100),
    ):  # fmt: skip
        assert 0.5 / math.sqrt(inputs) < parameter.abs().max() <= 1 / math.sqrt(inputs)


def test_norms_start_neutral_and_what_is_neither_stays_as_it_was_built():
    network = networks()[0]
    draw_weights(network, 7)
    for norm in network[1:3]:
        assert (norm.weight.unique().tolist(), norm.bias.unique().tolist()) == ([1.0], [0.0])
    assert network[4].gain.tolist() == [1.0]


def test_norms_without_weights_of_their_own_have_none_to_set():
    plain = nn.Sequential(
        nn.BatchNorm2d(2, affine=False), nn.InstanceNorm2d(2), nn.LayerNorm(2, elementwise_affine=False)
    )
    draw_weights(plain, 0)
    assert plain[0].running_var.tolist() == [1.0, 1.0]


def test_the_digest_sees_one_changed_number():
    layer = nn.Linear(2, 2)
    before = weights_digest(layer)
    with torch.no_grad():
        layer.bias[1] += 1
    assert weights_digest(layer) != before


def entries(network):
    return torch.cat([parameter.detach().reshape(-1) for parameter in network.parameters() if parameter.requires_grad])


def test_entries_are_set_in_place_so_that_views_of_a_tensor_stay_views():
    network = nn.BatchNorm1d(2)
    block = torch.zeros(4)
    network.running_mean, network.running_var = block[:2], block[2:]
    set_entries(network, {**network.state_dict(), "running_var": torch.tensor([3.0, 4.0])})
    assert block.tolist() == [0, 0, 3, 4]


@pytest.mark.parametrize(
    "wrong", [{}, {"weight": torch.ones(1, 3), "bias": torch.ones(2)}, {"weight": torch.ones(2, 1)}]
)
def test_entries_of_another_network_are_refused(wrong):
    with pytest.raises(ValueError, match="not those of the network"):
        set_entries(nn.Linear(1, 2), wrong)


def test_entries_are_taken_in_the_type_of_the_network_and_a_count_of_batches_may_be_missing():
    network = nn.BatchNorm1d(2)
    network.num_batches_tracked += 5
    taken = {name: torch.tensor([1.5, 0.5]).half() for name in ("running_var", "bias", "weight", "running_mean")}
    take_entries(network.state_dict(), taken, "a norm")
    assert network.weight.tolist() == network.bias.tolist() == network.running_var.tolist() == [1.5, 0.5]
    assert (network.weight.dtype, network.num_batches_tracked.item()) == (torch.float32, 5)


def test_entries_that_do_not_fit_are_named_and_none_is_taken():
    network = nn.Sequential(nn.Linear(1, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    before = weights_digest(network)
    wrong = {
        "0.weight": torch.ones(1, 2), "0.bias": torch.ones(2), "1.weight": torch.ones(2, 2, dtype=torch.int8),
        "1.bias": torch.ones(2), "odd\n": torch.ones(1),
    }  # fmt: skip
    wrong = {**wrong, **{f"more.{number}": torch.ones(1) for number in range(4)}}
    with pytest.raises(UsageError) as error:
        take_entries(network.state_dict(), wrong, "three layers")
    assert str(error.value) == (
        "The weights are not those of three layers: 2.weight, 2.bias are missing; odd\\n, more.0, more.1 and 2 more "
        "are left over; 0.weight ((1, 2) instead of (2, 1)) is of another shape; 1.weight is of whole numbers; take "
        "weights of this model."
    )
    assert weights_digest(network) == before


def test_a_nudge_moves_every_entry_to_the_float_beside_it_up_or_down_and_leaves_zeros():
    network = networks()[0]
    draw_weights(network, 7)
    network[0].bias.requires_grad_(False)
    fixed, before = network[0].bias.clone(), entries(network)
    nudge_weights(network, 7)
    after = entries(network)
    up = torch.nextafter(before, torch.full_like(before, math.inf))
    down = torch.nextafter(before, torch.full_like(before, -math.inf))
    rest = before != 0
    assert torch.equal(after[~rest], before[~rest])
    assert ((after == up) | (after == down))[rest].all()
    assert 0.3 < (after == up)[rest].float().mean() < 0.7
    assert torch.equal(network[0].bias, fixed)


def test_a_nudge_is_the_same_for_the_same_seed_and_another_for_another():
    one, same, other = (networks()[0] for _ in range(3))
    for network, seed in ((one, 7), (same, 7), (other, 8)):
        draw_weights(network, 7)
        nudge_weights(network, seed)
    assert weights_digest(one) == weights_digest(same) != weights_digest(other)
