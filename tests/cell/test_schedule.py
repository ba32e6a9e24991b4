import msgspec
import pytest
from torch import nn

from harness.cell.schedule import Schedule, apply_rates, make_optimizer
from harness.cell.yolov9.model import YOLOv9S


@pytest.fixture
def reference(matrix):
    return matrix.recipes["reference"]


def test_warm_up_takes_three_epochs_and_at_least_a_hundred_steps(reference):
    assert Schedule(reference, epochs=20, batches=50, batch=16).warmup == 150
    assert Schedule(reference, epochs=20, batches=10, batch=16).warmup == 100


def test_biases_warm_up_from_above_and_the_others_from_nothing(reference):
    schedule = Schedule(reference, epochs=20, batches=50, batch=16)
    start = schedule.at(0)
    assert (start.weights, start.biases, start.momentum, start.accumulate) == (0.0, 0.1, 0.8, 1)
    settled = schedule.at(150)
    assert settled.weights == settled.biases
    assert settled.momentum == 0.937
    middle = schedule.at(75)
    assert middle.weights == pytest.approx(0.01 * schedule.decay(75) / 2)
    assert middle.momentum == pytest.approx((0.8 + 0.937) / 2)


def test_gradients_are_accumulated_to_the_nominal_batch(reference):
    assert Schedule(reference, 20, 50, batch=16).at(150).accumulate == 4
    assert Schedule(reference, 20, 50, batch=64).at(150).accumulate == 1
    assert Schedule(reference, 20, 50, batch=128).at(150).accumulate == 1


def test_the_rate_falls_on_a_line_to_one_percent(reference):
    schedule = Schedule(reference, epochs=20, batches=50, batch=16)
    assert schedule.decay(0) == 1.0
    assert schedule.decay(500) == pytest.approx(0.505)
    assert schedule.decay(1000) == pytest.approx(0.01)


def test_the_short_recipe_falls_on_half_a_cosine_to_nothing(matrix):
    schedule = Schedule(matrix.recipes["short"], epochs=4, batches=25, batch=8)
    assert schedule.decay(0) == 1.0
    assert schedule.decay(50) == pytest.approx(0.5)
    assert schedule.decay(100) == pytest.approx(0.0)


def test_weight_decay_falls_on_convolution_weights_only_and_is_scaled_with_the_batch(reference):
    optimizer = make_optimizer(YOLOv9S(3), reference, batch=16)
    weights, norms, biases = optimizer.param_groups
    assert weights["weight_decay"] == pytest.approx(5e-4)
    assert (norms["weight_decay"], biases["weight_decay"]) == (0.0, 0.0)
    assert all(parameter.dim() == 4 for parameter in weights["params"])
    assert all(parameter.dim() == 1 for parameter in [*norms["params"], *biases["params"]])
    assert make_optimizer(YOLOv9S(3), reference, batch=48).param_groups[0]["weight_decay"] == pytest.approx(
        5e-4 * 48 / 64
    )


def test_norms_are_told_by_what_they_are_and_not_by_their_names(reference):
    layers = [nn.Conv2d(3, 4, 1), nn.GroupNorm(2, 4), nn.Flatten(), nn.Linear(4, 5), nn.LayerNorm(5), nn.BatchNorm1d(5)]
    weights, norms, biases = make_optimizer(nn.Sequential(*layers), reference, batch=16).param_groups
    conv, group, _, linear, layer, batch = layers
    assert list(map(id, weights["params"])) == [id(conv.weight), id(linear.weight)]
    assert list(map(id, norms["params"])) == [id(group.weight), id(layer.weight), id(batch.weight)]
    assert list(map(id, biases["params"])) == [id(one.bias) for one in (conv, group, linear, layer, batch)]


def test_the_groups_of_yolov9_are_those_that_its_names_tell_in_the_order_of_the_names(reference):
    model = YOLOv9S(3)
    groups = [[], [], []]
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups[2 if name.endswith(".bias") else 1 if ".bn." in name else 0].append(id(parameter))
    assert [list(map(id, group["params"])) for group in make_optimizer(model, reference, 16).param_groups] == groups


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_rates_reach_the_groups_that_they_are_meant_for(matrix, kind):
    recipe = msgspec.structs.replace(matrix.recipes["reference"], optimizer=kind)
    optimizer = make_optimizer(YOLOv9S(3), recipe, batch=16)
    apply_rates(optimizer, Schedule(recipe, 20, 50, 16).at(75))
    rates = [group["lr"] for group in optimizer.param_groups]
    assert rates[0] == rates[1] != rates[2]
    momenta = [group["momentum"] if kind == "sgd" else group["betas"][0] for group in optimizer.param_groups]
    assert momenta == pytest.approx([(0.8 + 0.937) / 2] * 3)


def test_every_trained_parameter_is_in_one_group(reference):
    model = YOLOv9S(3)
    optimizer = make_optimizer(model, reference, batch=16)
    grouped = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
    assert sorted(grouped) == sorted(id(parameter) for parameter in model.parameters() if parameter.requires_grad)
