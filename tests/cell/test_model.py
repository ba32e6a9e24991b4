"""The seam for the model: a small detector of another make goes through all that the harness does with one."""

import sys
import types

import msgspec
import pytest
import torch

from cases.soak.body import measure as measure_soak
from harness.cell import compat, model
from harness.cell.checkpoint import Checkpoints
from harness.cell.data.batches import EvaluationBatches
from harness.cell.data.index import read_index
from harness.cell.data.shapes import make_shapes
from harness.cell.evaluate import detect
from harness.cell.learner import make_learner
from harness.cell.model import Losses, load_model, make_network, table_of
from harness.cell.progress import Progress
from harness.cell.train import train
from harness.cell.weights import weights_digest
from harness.core.errors import UsageError
from harness.core.faults import Fault
from harness.core.settings import Shapes
from harness.core.spec import Data, Model
from tests.cell import small_detector

SILENT = Progress(None)
SMALL = Model(name="small", package="tests.cell.small_detector")
EPOCHS, BATCHES = 10, 6


@pytest.fixture(scope="module")
def index_file(tmp_path_factory):
    """The index of a small data set."""
    folder = tmp_path_factory.mktemp("small")
    make_shapes(folder, Shapes(images=24, validation=8, size=64))
    return folder / "index.json"


@pytest.fixture(scope="module")
def index(index_file):
    return read_index(index_file)


@pytest.fixture(scope="module")
def small(spec, index):
    """A training of the small detector that is long enough to learn something."""
    torch.set_num_threads(1)
    return msgspec.structs.replace(
        spec,
        model=SMALL,
        data=Data(name=index.name, digest=index.digest),
        train=msgspec.structs.replace(spec.train, epochs=EPOCHS, batch=4),
    )


@pytest.fixture(scope="module")
def measured(small, index_file, train_at_once, tmp_path_factory):
    """What the case `train` says of it."""
    return train_at_once(small, index_file, tmp_path_factory.mktemp("runs") / "0.part")


def test_it_learns_and_its_losses_gradients_times_and_memory_are_watched(measured):
    samples = {metric.name: metric.samples for metric in measured.metrics}
    assert samples["map50"][0] > 0.2
    assert samples["gradient_anomalies"] == samples["skipped_steps"] == [0.0]
    assert len(samples["epoch_time"]) == EPOCHS - 1
    assert samples["peak_rss"][0] > 100 * 2**20
    steps = {name: values for name, values in measured.series.items() if len(values) == EPOCHS * BATCHES}
    assert set(steps) == {"loss", "loss:place", "loss:kind", "gradient_norm"}
    assert steps["loss"][-1] < steps["loss"][0] / 2
    assert min(steps["gradient_norm"]) > 0
    assert {one.name for one in measured.fingerprints} == {
        "first_losses", "first_gradient_norms", "final_weights", "detections",
    }  # fmt: skip


def test_its_total_is_its_terms_times_the_pictures_of_the_batch(measured):
    for total, place, kind in zip(*(measured.series[name] for name in ("loss", "loss:place", "loss:kind"))):
        assert total == pytest.approx(4 * (place + kind), rel=1e-5)


def test_it_goes_on_from_a_checkpoint_bit_for_bit(small, index, tmp_path):
    class Killed(Checkpoints):
        def after_update(self, loop, following):
            return super().after_update(loop, following) and following != (1, 2)

    short = msgspec.structs.replace(small, train=msgspec.structs.replace(small.train, epochs=2))
    whole = train(short, index, SILENT)
    path = tmp_path / "0.checkpoint"
    begun = train(short, index, SILENT, Killed(path, steps=1))
    resumed = train(short, index, SILENT, Checkpoints(path))
    assert len(begun.losses) == BATCHES + 2
    assert (resumed.losses, resumed.terms, resumed.final_weights) == (whole.losses, whole.terms, whole.final_weights)
    assert resumed.begun == [0, 1]


def test_its_steps_are_taken_in_turns(measured):
    (metric,) = [metric for metric in measured.metrics if metric.name == "step_time"]
    assert len(metric.samples) + len(metric.warmup) == EPOCHS * BATCHES
    assert [sitting.laps for sitting in measured.sittings] == [len(metric.samples)]


def test_it_soaks_and_keeps_the_mean_of_every_term_by_epoch(small, index_file, run_of, tmp_path):
    settings = {"hours": 1.0, "warmup_epochs": 1, "checkpoint_epochs": 2}
    soak = msgspec.structs.replace(small, case="soak", settings=settings)
    measured = measure_soak(run_of(soak, index_file, tmp_path / "0.part"))
    assert {len(measured.series[name]) for name in ("loss", "loss:place", "loss:kind", "gradient_norm")} == {EPOCHS}


def test_a_branch_that_learns_nothing_is_dead_unless_nothing_reached_it(small, index, monkeypatch):
    def without(reached):
        def losses_of(output, targets, size):
            loss = small_detector.losses_of(torch.cat((output[:, :4].detach(), output[:, 4:]), 1), targets, size)
            return loss if reached else loss._replace(reached={"boxes": torch.tensor(0)})

        return lambda self, classes: losses_of

    short = msgspec.structs.replace(small, train=msgspec.structs.replace(small.train, epochs=1))
    for reached, found in ((True, {"boxes"}), (False, set())):
        monkeypatch.setattr(small_detector.SmallDetector, "criterion", without(reached))
        anomalies = train(short, index, SILENT).watch.anomalies
        assert {(anomaly.kind, anomaly.parameter) for anomaly in anomalies} == {("dead branch", name) for name in found}


def test_a_forward_pass_needs_a_network_and_no_optimiser(small, index, monkeypatch):
    monkeypatch.setattr("harness.cell.schedule.make_optimizer", None)
    network, mine = make_network(small, len(index.classes)), load_model(small.model)
    with EvaluationBatches(index.val, 64, 4) as batches:
        found = detect(mine, network, batches, torch.device("cpu"), amp=False, progress=SILENT)
    assert found.shape[1] == 7
    assert set(found[:, 0]) <= {float(number + 1) for number in range(len(index.val))}
    with torch.no_grad():
        tables = mine.detections(mine.deployed(network)(torch.rand(3, 3, 96, 64)), compat.suppression())
    assert [table.shape[1] for table in tables] == [6, 6, 6]


def test_the_network_of_a_spec_is_drawn_from_its_seed_alone(small):
    one, same = (weights_digest(make_network(small, 3)) for _ in range(2))
    other = weights_digest(make_network(msgspec.structs.replace(small, seed=1), 3))
    assert one == same != other
    assert weights_digest(make_learner(small, 3).network) == one


def test_the_deployed_network_is_a_copy_in_eval_mode_unless_the_model_has_another(small):
    network = make_network(small, 3).train()
    deployed = load_model(small.model).deployed(network)
    assert network.training
    assert not deployed.training
    assert weights_digest(deployed) == weights_digest(network)
    assert not {id(one) for one in network.parameters()} & {id(one) for one in deployed.parameters()}


@pytest.mark.parametrize("classes", [1, 3, 80])
def test_a_network_of_entries_has_as_many_classes_as_they_are_for(classes):
    mine = small_detector.SmallDetector()
    source = mine.build(classes)
    made = mine.network_of({name: entry.clone() for name, entry in source.state_dict().items()})
    assert weights_digest(made) == weights_digest(source)
    assert mine.classes_of(made) == classes
    assert mine.trainable(made)


def test_entries_of_another_model_are_refused_by_name():
    entries = small_detector.SmallDetector().build(3).state_dict()
    entries["box.bias"] = entries.pop("boxes.bias")
    with pytest.raises(UsageError) as error:
        small_detector.SmallDetector().network_of(entries)
    assert "the model (classes: 3): boxes.bias is missing; box.bias is left over; take" in str(error.value)
    with pytest.raises(UsageError, match=r"the model \(classes: 1\): body\.0\.weight, .* are missing"):
        small_detector.SmallDetector().network_of({})


def test_a_network_is_one_branch_unless_the_model_names_them(small):
    class Plain(small_detector.SmallDetector):
        branches = model.Model.branches

    network = make_network(small, 3)
    network.boxes.bias.requires_grad_(False)
    (branch,) = Plain().branches(network).items()
    assert branch == ("network", [name for name, _ in network.named_parameters() if name != "boxes.bias"])


def test_a_fault_that_the_model_cannot_have_ends_the_run_with_a_sentence(small, index):
    cut = msgspec.structs.replace(small, fault=Fault(kind="dead-branch", size=0))
    with pytest.raises(UsageError, match="no branch that can be cut off"):
        train(cut, index, SILENT)


@pytest.mark.parametrize(
    ("package", "reason"),
    [
        ("tests.cell.absent", "ModuleNotFoundError"),
        ("harness.core", "AttributeError"),
        ("odd", "MODEL of odd is no Model"),
    ],
)
def test_a_package_that_has_no_model_is_refused_by_name(package, reason, monkeypatch):
    odd = types.ModuleType("odd")
    odd.MODEL = "a model"
    monkeypatch.setitem(sys.modules, "odd", odd)
    with pytest.raises(UsageError, match=rf"^The model 'mine' cannot be used: .*{reason}"):
        load_model(Model(name="mine", package=package))


def test_losses_are_tabled_in_order_and_put_back_by_name():
    losses = Losses(torch.tensor(6.0), {"a": torch.tensor(1.0), "b": torch.tensor(2.0)}, {"boxes": torch.tensor(3)})
    assert table_of([losses, losses]).tolist() == [[6.0, 1.0, 2.0, 3.0]] * 2
    assert losses.replaced([9, 8, 7, 6]) == (9, {"a": 8, "b": 7}, {"boxes": 6})
