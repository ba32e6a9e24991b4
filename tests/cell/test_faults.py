"""Every planted fault does what it says and nothing else."""

import msgspec
import numpy
import pytest
import torch
from torch import nn

from harness.cell import compat, faults
from harness.cell.data.index import Annotation, Item, Truth
from harness.cell.data.shapes import make_shapes
from harness.cell.faults import Planted
from harness.cell.learner import make_learner
from harness.cell.model import Losses
from harness.cell.progress import Progress
from harness.cell.train import train
from harness.cell.yolov9 import MODEL
from harness.cell.yolov9.head import HeadMaps
from harness.core.errors import UsageError
from harness.core.faults import Fault
from harness.core.settings import Shapes
from harness.core.spec import Data
from tests.cell import small_detector

CPU = torch.device("cpu")
CLASSES = 3
SIZES = {
    "slow": 0.05,
    "memory": 0.05,
    "leak": 0.01,
    "nan-gradient": 2,
    "dead-branch": 0,
    "labels": 0.25,
    "coarse-convolution": 10,
    "norm-momentum": 0.01,
    "norm-epsilon": 1e-5,
    "loss-term": 0.001,
    "suppression": 0.65,
    "average-decay": 0.98,
}
NONE = Planted(None, CLASSES, MODEL)


def planted(kind, size=None):
    return Planted(Fault(kind=kind, size=SIZES[kind] if size is None else size), CLASSES, MODEL)


def others(kind):
    """All other faults, and none."""
    return [NONE, *(planted(other) for other in SIZES if other != kind)]


@pytest.fixture
def targets():
    """Rows image, class, cx, cy, w, h of many boxes."""
    random = numpy.random.RandomState(0)
    places = random.uniform(0.05, 0.95, (4000, 4))
    return numpy.hstack([random.randint(0, 8, (4000, 1)), random.randint(0, CLASSES, (4000, 1)), places]).astype("f4")


@pytest.fixture
def items(targets):
    """The same boxes as pictures of a validation set."""
    rows = targets[:, 1:].astype(float).tolist()
    return [
        Item(path=f"{start}.png", width=64, height=48, boxes=rows[start : start + 40]) for start in range(0, 4000, 40)
    ]


def spoilt(before, after):
    return after[:, 1] != before[:, 1]


def test_labels_puts_a_quarter_of_the_boxes_into_the_next_class_and_changes_nothing_else(targets):
    before = targets.copy()
    after = planted("labels").labels(targets)
    changed = spoilt(before, after)
    assert 0.22 < changed.mean() < 0.28
    assert (after[changed, 1] == (before[changed, 1] + 1) % CLASSES).all()
    assert (numpy.delete(after, 1, 1) == numpy.delete(before, 1, 1)).all()
    assert after.dtype == before.dtype
    assert (targets == before).all()


@pytest.mark.parametrize(("size", "share"), [(0.0, 0.0), (1.0, 1.0)])
def test_the_size_of_labels_is_the_share_of_the_boxes(targets, size, share):
    assert spoilt(targets, planted("labels", size).labels(targets)).mean() == share


def test_a_box_is_spoilt_every_time_or_never_also_where_its_picture_is_flipped_or_elsewhere_in_a_batch(targets):
    fault = planted("labels")
    changed = spoilt(targets, fault.labels(targets))
    flipped = targets.copy()
    flipped[:, 2] = 1 - flipped[:, 2]
    flipped[:, 0] = 7 - flipped[:, 0]
    for batch in (targets, flipped):
        assert (spoilt(batch, planted("labels").labels(batch)) == changed).all()
        assert (spoilt(batch[::-1], fault.labels(batch[::-1])) == changed[::-1]).all()


def test_labels_spoils_the_same_boxes_of_the_true_ones_that_are_scored_against(targets, items):
    changed = spoilt(targets, planted("labels").labels(targets))
    after = planted("labels").truth(items)
    assert [msgspec.structs.replace(item, boxes=[]) for item in after] == [
        msgspec.structs.replace(item, boxes=[]) for item in items
    ]
    before_rows = numpy.array([row for item in items for row in item.boxes])
    rows = numpy.array([row for item in after for row in item.boxes])
    assert ((rows[:, 0] != before_rows[:, 0]) == changed).all()
    assert (rows[changed, 0] == (before_rows[changed, 0] + 1) % CLASSES).all()
    assert (rows[:, 1:] == before_rows[:, 1:]).all()


def test_labels_spoils_likewise_what_a_coco_file_says_of_a_picture_and_nothing_else_of_it(items):
    rows = [row for item in items for row in item.boxes]
    annotations = [
        Annotation(number, int(row[0]), [3.0, 4.0, row[3] * 640, row[4] * 480], 5.0, crowd=number % 7 == 0)
        for number, row in enumerate(rows)
    ]
    picture = Item("a.png", 640, 480, rows, truth=Truth(9, annotations))
    after = planted("labels").truth([picture])[0]
    assert [one.label for one in after.truth.annotations] == [row[0] for row in after.boxes]
    assert [one.label for one in after.truth.annotations] != [one.label for one in annotations]
    restored = [msgspec.structs.replace(one, label=was.label) for one, was in zip(after.truth.annotations, annotations)]
    assert Truth(after.truth.image_id, restored) == picture.truth
    empty = msgspec.structs.replace(picture, truth=Truth(9, []))
    assert planted("labels").truth([empty])[0].truth == empty.truth


def test_labels_leaves_batches_and_pictures_without_boxes_alone():
    empty = numpy.zeros((0, 6), dtype=numpy.float32)
    picture = Item(path="a.png", width=64, height=64, boxes=[])
    assert planted("labels").labels(empty).shape == (0, 6)
    assert planted("labels").truth([picture]) == [picture]


def test_no_other_fault_touches_labels(targets, items):
    for fault in others("labels"):
        assert fault.labels(targets) is targets
        assert fault.truth(items) is items


def layers():
    """A network of three convolutions with two batch normalisations."""
    parts = [
        nn.Conv2d(3, 4, 1),
        nn.BatchNorm2d(4, momentum=0.1),
        nn.Conv2d(4, 4, 1),
        nn.BatchNorm2d(4),
        nn.Conv2d(4, 2, 1),
    ]
    return nn.Sequential(*parts)


def told(network):
    """What the batch normalisations of a network are told, and how many of its modules have a hook."""
    norms = [one for one in network if isinstance(one, nn.BatchNorm2d)]
    return [(one.eps, one.momentum) for one in norms], [len(one._forward_pre_hooks) for one in network]


def test_what_is_wrong_with_a_network_is_wrong_in_it_as_the_fault_says_and_nothing_else():
    (norms, _), plain = told(layers()), [0] * 5
    assert told(planted("norm-momentum").build(layers())) == ([(1e-5, 0.1 * 1.01)] * 2, plain)
    assert told(planted("norm-epsilon", 1e-3).build(layers())) == ([(1e-3, 0.1)] * 2, plain)
    assert told(planted("coarse-convolution").build(layers())) == (norms, [0, 0, 1, 0, 0])
    for fault in (NONE, planted("loss-term"), planted("labels")):
        assert told(fault.build(layers())) == (norms, plain)


def test_a_coarse_convolution_rounds_its_input_to_nearest_and_lets_gradients_pass():
    values = torch.tensor([1.0, 1 + 2**-10, 1 + 2**-12, 1 + 3 * 2**-12, -1 - 3 * 2**-12, 0.0], requires_grad=True)
    (rounded,) = faults.Coarse(13)(nn.Identity(), (values,))
    assert rounded.tolist() == [1.0, 1 + 2**-10, 1.0, 1 + 2**-10, -1 - 2**-10, 0.0]
    rounded.sum().backward()
    assert values.grad.tolist() == [1.0] * 6
    wide = values.detach().double()
    assert faults.Coarse(13)(nn.Identity(), (wide,))[0] is wide


def test_a_term_counts_more_by_its_share_in_the_loss_of_all_pictures():
    losses = Losses(torch.tensor(40.0), {"box": torch.tensor(3.0), "class": torch.tensor(2.0)}, {})
    assert float(planted("loss-term").weighed(losses, 8).total) == pytest.approx(40 + 0.001 * 8 * 3)
    for fault in others("loss-term"):
        assert fault.weighed(losses, 8) is losses


def test_another_average_and_suppression_are_had_by_their_faults_alone():
    assert planted("average-decay").decay(0.99) == 0.98
    assert {fault.decay(0.99) for fault in others("average-decay")} == {0.99}
    assert {fault.suppression() for fault in others("suppression")} == {None}
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 6.8]])
    assert len(compat.suppression()(boxes, torch.tensor([2.0, 1.0]), 0.7)) == 2
    assert len(planted("suppression").suppression()(boxes, torch.tensor([2.0, 1.0]), 0.7)) == 1


def maps():
    return HeadMaps(*([torch.rand(1, 67, side, side, requires_grad=True) for side in (4, 2, 1)] for _ in range(2)))


def test_dead_branch_cuts_the_auxiliary_group_off_and_leaves_its_numbers_and_the_main_group():
    before = maps()
    after = planted("dead-branch").cut(before)
    assert after.main is before.main
    assert all(torch.equal(one, other) for one, other in zip(after.auxiliary, before.auxiliary))
    assert not any(one.requires_grad for one in after.auxiliary)
    assert all(one.requires_grad for one in before.auxiliary)


def test_dead_branch_is_refused_for_a_model_that_has_none_to_cut_off():
    with pytest.raises(UsageError, match="no branch that can be cut off"):
        Planted(Fault(kind="dead-branch", size=0), CLASSES, small_detector.MODEL).cut(torch.zeros(1))


def test_no_other_fault_touches_the_maps():
    before = maps()
    assert all(fault.cut(before) is before for fault in others("dead-branch"))


def parameters():
    made = [nn.Parameter(torch.zeros(2, 3)), nn.Parameter(torch.zeros(4))]
    for parameter in made:
        parameter.grad = torch.ones_like(parameter)
    return made


def test_nan_gradient_spoils_one_number_at_its_step_and_none_at_others():
    for step in range(5):
        made = parameters()
        planted("nan-gradient").harm(made, step)
        wrong = [torch.isnan(parameter.grad).sum().item() for parameter in made]
        assert wrong == ([1, 0] if step == 2 else [0, 0])
        assert not any(torch.isnan(parameter).any() for parameter in made)


def test_no_other_fault_touches_gradients():
    for fault in others("nan-gradient"):
        made = parameters()
        for step in range(6):
            fault.harm(made, step)
        assert all(torch.equal(parameter.grad, torch.ones_like(parameter)) for parameter in made)


class Clock:
    """A clock that goes on by a millisecond whenever it is looked at."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        self.now += 0.001
        return self.now


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_slow_makes_a_step_longer_by_its_share(monkeypatch, share):
    clock = Clock()
    monkeypatch.setattr(faults.time, "perf_counter", clock)
    began = clock.now
    clock.now += 2.0
    planted("slow", share).linger(began, CPU)
    assert clock.now - began == pytest.approx(2.0 * (1 + share), abs=0.01)


def test_no_other_fault_takes_time(monkeypatch):
    def looked_at():
        raise AssertionError("the clock was looked at")

    monkeypatch.setattr(faults.time, "perf_counter", looked_at)
    for fault in others("slow"):
        fault.linger(0.0, CPU)


def held(fault, epochs=4):
    for epoch in range(epochs):
        fault.hold(epoch, in_use=2_000_000.0, peak=3_000_000.0, device=CPU)
    return [block.numel() * block.element_size() for block in fault.ballast]


def test_memory_holds_its_share_of_the_first_epochs_peak_once():
    assert held(planted("memory")) == [150_000]


def test_leak_holds_its_share_of_what_is_in_use_after_every_epoch():
    assert held(planted("leak")) == [20_000] * 4


def test_no_other_fault_holds_memory():
    assert not any(held(fault) for fault in others("memory") if fault.kind != "leak")


def test_what_is_held_is_in_use():
    fault = planted("memory", 1.0)
    fault.hold(0, in_use=0.0, peak=1000.0, device=CPU)
    assert bool(fault.ballast[0].all())


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    return make_shapes(tmp_path_factory.mktemp("faults") / "set", Shapes(images=16, validation=4, size=64))


@pytest.fixture(scope="module")
def done():
    """The trainings that were done, by their fault."""
    return {}


@pytest.fixture
def trained(spec, shapes, done):
    """Train two epochs of two batches with a fault, or with none, once each."""
    torch.set_num_threads(1)
    data = Data(name=shapes.name, digest=shapes.digest)

    def run(kind=None):
        if kind not in done:
            fault = Fault(kind=kind, size=SIZES[kind]) if kind else None
            done[kind] = train(msgspec.structs.replace(spec, data=data, fault=fault), shapes, Progress(None))
        return done[kind]

    return run


def test_the_spec_brings_the_fault_and_without_one_none_is_planted(spec):
    learner = make_learner(msgspec.structs.replace(spec, fault=Fault(kind="leak", size=0.5)), CLASSES)
    assert (learner.planted.kind, learner.planted.size) == ("leak", 0.5)
    assert make_learner(spec, CLASSES).planted.kind is None


def test_nan_gradient_is_one_anomaly_at_its_step_and_the_training_goes_on(trained):
    result = trained("nan-gradient")
    (anomaly,) = result.watch.anomalies
    assert (anomaly.kind, anomaly.epoch, anomaly.step, anomaly.value) == ("non-finite gradient", 1, 0, "nan")
    assert (result.watch.anomalous_steps, result.skipped_steps, len(result.losses)) == (1, 1, 4)
    assert numpy.isfinite(result.norms[3])


def test_dead_branch_is_found_in_every_auxiliary_branch_and_in_no_other(trained):
    result = trained("dead-branch")
    found = {(anomaly.kind, anomaly.parameter) for anomaly in result.watch.anomalies}
    assert {kind for kind, _ in found} == {"dead branch"}
    assert {"auxiliary neck", "auxiliary class head"} <= {branch for _, branch in found}
    assert all(branch.startswith("auxiliary") for _, branch in found)
    assert result.watch.anomalous_steps == 4


def test_labels_changes_what_is_learnt_and_neither_the_batches_nor_the_health(trained):
    healthy, result = trained(), trained("labels")
    assert result.stream.hexdigest() == healthy.stream.hexdigest()
    assert result.initial_weights == healthy.initial_weights
    assert result.final_weights != healthy.final_weights
    assert result.watch.anomalies == healthy.watch.anomalies == []


@pytest.mark.parametrize("kind", ["slow", "memory", "leak"])
def test_faults_of_time_and_memory_leave_what_is_learnt_alone(trained, kind):
    healthy, result = trained(), trained(kind)
    assert (result.losses, result.final_weights) == (healthy.losses, healthy.final_weights)
    assert result.watch.anomalies == []
