"""torchvision's detectors behind the model's protocol: the same work in every version, and their own losses."""

import math
from copy import deepcopy

import numpy as np
import pytest
import torch
from msgspec.structs import replace
from torch import nn
from torchvision.ops.misc import FrozenBatchNorm2d

from cases.fidelity.steps import Widened
from harness.cell import compat
from harness.cell.data.index import read_index
from harness.cell.data.shapes import make_shapes
from harness.cell.learner import make_learner
from harness.cell.model import load_model
from harness.cell.probes import GradientWatch
from harness.cell.progress import Progress
from harness.cell.train import train
from harness.cell.vision.network import Sampler
from harness.cell.weights import weights_digest
from harness.core.errors import UsageError
from harness.core.faults import Fault
from harness.core.settings import Shapes
from harness.core.spec import Model

ENTRIES = {"ssdlite": "ssdlite320_mobilenet_v3_large", "fasterrcnn": "fasterrcnn_mobilenet_v3_large_320_fpn"}
DRAWN = {"ssdlite": "6518e6411ff50e66", "fasterrcnn": "1e6f8945279c1345"}
"""Digests of the weights of seed 0 for three classes: one for all versions."""
TOTAL = {"ssdlite": 41.67251, "fasterrcnn": 9.766594}
"""The loss of the third of three passes over the batch below, as torch 1.10.0 has it."""
TARGETS = [
    [[0, 4, 4, 30, 40], [2, 20, 20, 60, 50]],
    [[1, 4, 4, 30, 40], [-1, 0, 0, 0, 0]],
    [[-1, 0, 0, 0, 0], [-1, 0, 0, 0, 0]],
    [[0, 4, 4, 30, 40], [2, 20, 20, 60, 50]],
]


def model_of(name):
    return load_model(Model(name=name, package="harness.cell.vision", entry=ENTRIES[name]))


@pytest.fixture(scope="module", params=list(ENTRIES))
def name(request):
    return request.param


@pytest.fixture(scope="module")
def model(name):
    return model_of(name)


@pytest.fixture
def network(model):
    """With the weights of seed 0."""
    made = model.build(3)
    model.draw(made, 0)
    return made


@pytest.fixture(scope="module")
def batch():
    """Four pictures and their true boxes."""
    pictures = np.random.RandomState(0).uniform(0, 1, (4, 3, 64, 64)).astype(np.float32)
    return torch.from_numpy(pictures), torch.tensor(TARGETS, dtype=torch.float32)


def loss_of(model, network, batch):
    images, targets = batch
    return model.criterion(3)(network(*model.fed(images, targets)), targets, (64, 64))


def test_drawn_weights_have_one_digest_in_every_version(name, network):
    assert weights_digest(network)[:16] == DRAWN[name]


def test_no_normalisation_is_frozen(network):
    assert not any(isinstance(module, FrozenBatchNorm2d) for module in network.modules())
    assert any(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def test_the_loss_is_the_same_in_every_version_to_rounding(name, model, network, batch):
    network.train()
    for _ in range(3):
        losses = loss_of(model, network, batch)
    assert float(losses.total) == pytest.approx(TOTAL[name], rel=1e-4)
    assert float(losses.total) == pytest.approx(4 * sum(map(float, losses.terms.values())), rel=1e-5)


def test_pictures_without_any_true_box_have_a_finite_loss(model, network, batch):
    images, targets = batch
    losses = loss_of(model, network.train(), (images, torch.full_like(targets, -1)))
    assert math.isfinite(float(losses.total))


def test_a_step_in_float64_is_the_same_to_rounding(model, network, batch):
    images, targets = batch
    single = loss_of(model, deepcopy(network).train(), batch)
    wide = Widened(network.double().train())
    double = model.criterion(3)(wide(*model.fed(images, targets)), targets.double(), (64, 64))
    assert double.total.dtype == torch.float64
    assert float(single.total) == pytest.approx(float(double.total), rel=1e-5)


def test_detections_are_tables_within_the_picture_with_classes_from_0(model, network, batch):
    with torch.no_grad():
        found = model.detections(model.deployed(network)(batch[0]), compat.suppression())
    assert len(found) == 4
    for table in found:
        assert table.dtype == torch.float32
        assert table.shape[1] == 6
        assert len(table) <= 300
        assert float(table[:, :4].min()) >= 0
        assert float(table[:, :4].max()) <= 64
        assert set(table[:, 5].tolist()) <= {0.0, 1.0, 2.0}
        assert float(table[:, 4].min()) >= 0.001


def test_a_network_is_made_of_its_entries_and_knows_its_classes(model, network):
    again = model.network_of(network.state_dict())
    assert weights_digest(again) == weights_digest(network)
    assert model.classes_of(again) == 3
    other = model.build(3)
    other.load_state_dict(network.state_dict())
    assert weights_digest(other) == weights_digest(network)


def test_parameters_have_the_names_of_their_entries(network):
    entries = network.state_dict()
    named = dict(network.named_parameters())
    assert set(named) <= set(entries)
    assert all(entries[name].data_ptr() == parameter.data_ptr() for name, parameter in named.items())


def test_it_is_trained_by_the_loop_with_a_curve_for_each_of_its_losses(spec, name, tmp_path):
    make_shapes(tmp_path, Shapes(images=4, validation=2))
    model = Model(name=name, package="harness.cell.vision", entry=ENTRIES[name])
    asked = replace(spec, model=model, train=replace(spec.train, epochs=1, batch=4))
    result = train(asked, read_index(tmp_path / "index.json"), Progress(None))
    assert len(result.losses) == 1
    assert all(math.isfinite(value) for values in (result.losses, result.norms) for value in values)
    assert set(result.terms) == set(make_terms(name))
    assert result.watch.anomalous_steps == 0
    assert result.initial_weights == make_learner(asked, 3).initial_weights


def test_every_trained_parameter_belongs_to_exactly_one_branch(name, model, network):
    branches = model.branches(network)
    named = [one for names in branches.values() for one in names]
    assert sorted(named) == sorted(name for name, one in network.named_parameters() if one.requires_grad)
    two_stages = {"feature pyramid", "proposal network", "objectness head", "proposal box head", "region network"}
    assert set(branches) == {"backbone", "class head", "box head"} | (two_stages if name == "fasterrcnn" else set())


def test_each_branch_that_has_no_gradient_is_dead_and_one_small_box_reaches_all(model, network, batch):
    targets = torch.full((4, 1, 5), -1.0)
    targets[3, 0] = torch.tensor([1.0, 40, 41, 43, 44])
    loss_of(model, network.train(), (batch[0], targets)).total.backward()
    branches = model.branches(network)
    watch = GradientWatch([name for name, _ in network.named_parameters()], branches)
    norms = {name: float(one.grad.norm()) if one.grad is not None else 0.0 for name, one in network.named_parameters()}
    assert watch.dead_branches([*norms.values()], 1, {}) == []
    for branch, members in branches.items():
        without = {**norms, **dict.fromkeys(members, 0.0)}
        assert watch.dead_branches([*without.values()], 1, {}) == [branch]


def test_a_box_head_that_is_cut_off_is_found_by_the_training_loop(spec, name, tmp_path):
    make_shapes(tmp_path, Shapes(images=4, validation=2))
    model = Model(name=name, package="harness.cell.vision", entry=ENTRIES[name])
    fault = Fault(kind="dead-branch", size=0)
    asked = replace(spec, model=model, fault=fault, train=replace(spec.train, epochs=1, batch=4))
    found = train(asked, read_index(tmp_path / "index.json"), Progress(None)).watch.anomalies
    assert [(one.kind, one.parameter) for one in found] == [("dead branch", "box head")]


def make_terms(name):
    if name == "ssdlite":
        return ["bbox_regression", "classification"]
    return ["loss_box_reg", "loss_classifier", "loss_objectness", "loss_rpn_box_reg"]


def test_the_choice_of_boxes_is_drawn_from_what_was_matched_alone():
    matched = torch.tensor([1, 0, -1, 2, 0, 0, 0, 1, 0, 1])
    (objects,), (background,) = Sampler(4, 0.5)([matched])
    assert (int(objects.sum()), int(background.sum())) == (2, 2)
    assert set(matched[objects.bool()].tolist()) <= {1, 2}
    assert set(matched[background.bool()].tolist()) == {0}
    torch.manual_seed(1)
    again = Sampler(4, 0.5)([matched])
    assert torch.equal(again[0][0], objects)
    assert torch.equal(again[1][0], background)


def test_another_match_draws_another_choice():
    one, other = torch.zeros(200, dtype=torch.int64), torch.zeros(200, dtype=torch.int64)
    one[0], other[1] = 1, 1
    first, second = (Sampler(20, 0.5)([matched])[1][0][2:] for matched in (one, other))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("entry", ["", "maskrcnn_resnet50_fpn", "absent"])
def test_a_detector_that_is_not_known_is_refused_with_those_that_are(entry):
    with pytest.raises(UsageError, match="take ssdlite320_mobilenet_v3_large or fasterrcnn"):
        load_model(Model(name="mine", package="harness.cell.vision", entry=entry))


def test_an_entry_of_a_package_with_one_model_is_refused():
    with pytest.raises(UsageError, match="has no entry 'large'"):
        load_model(Model(name="mine", package="harness.cell.yolov9", entry="large"))
