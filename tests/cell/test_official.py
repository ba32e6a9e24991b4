"""The adapter for an official checkout, by a stand-in of our own with the same interface. Where TORCH_MATRIX_OFFICIAL
names a real checkout, and the environment has what that imports, it is driven too, and held against our own model."""

import math
import os
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from msgspec.structs import replace

from harness.cell import compat
from harness.cell.data.index import read_index
from harness.cell.data.shapes import make_shapes
from harness.cell.model import load_model
from harness.cell.official import rows_of
from harness.cell.progress import Progress
from harness.cell.schedule import Rates, apply_rates
from harness.cell.source import adopt
from harness.cell.train import train
from harness.cell.weights import weights_digest
from harness.core.errors import UsageError
from harness.core.faults import Fault
from harness.core.settings import Shapes
from harness.core.source import digest_of_source
from harness.core.spec import Model

REAL = os.environ.get("TORCH_MATRIX_OFFICIAL", "")
OURS = Model(name="ours", package="harness.cell.yolov9")
FILES = {
    "models/__init__.py": "",
    "utils/__init__.py": "",
    "models/detect/small.yaml": "nc: 80\nwidth: 8\n",
    "models/detect/yolov9-s.yaml": "nc: 80\nwidth: 16\n",
    "data/hyps/hyp.scratch-high.yaml": "gain: 2.0\n",
    "models/yolo.py": """
        import logging
        import os

        import torch
        import yaml
        from torch import nn

        os.environ["SPOILT_BY_IMPORT"] = "1"


        class Head(nn.Module):
            def __init__(self, classes, width):
                super().__init__()
                self.nc = classes
                self.stride = torch.tensor([8.0])
                self.cv2, self.cv4 = (nn.Conv2d(width, 4, 1) for _ in range(2))
                self.cv3, self.cv5 = (nn.Conv2d(width, classes, 1) for _ in range(2))
                self.dfl = nn.Conv2d(4, 1, 1, bias=False).requires_grad_(False)
                self.dfl.weight.data[:] = torch.arange(4.0).view(1, 4, 1, 1)

            def bias_init(self):
                for boxes, kinds in ((self.cv2, self.cv3), (self.cv4, self.cv5)):
                    boxes.bias.data[:], kinds.bias.data[:] = 1.0, -3.0

            def forward(self, x):
                auxiliary, main = x
                maps = [
                    [torch.cat((self.cv2(auxiliary), self.cv3(auxiliary)), 1)],
                    [torch.cat((self.cv4(main), self.cv5(main)), 1)],
                ]
                return maps if self.training else ([self.decoded(one[0]) for one in maps], maps)

            def decoded(self, one):
                height, width = one.shape[2:]
                stride = float(self.stride[0])
                rows, columns = (torch.arange(size, dtype=one.dtype) * stride + stride / 2 for size in (height, width))
                centres = torch.stack((columns.repeat(height), rows.repeat_interleave(width)))
                cells = one.flatten(2)
                sides = cells[:, :4].exp().clamp(max=20) * stride
                centre = centres + (sides[:, 2:] - sides[:, :2]) / 2
                return torch.cat((centre, sides[:, :2] + sides[:, 2:], cells[:, 4:].sigmoid()), 1)


        class DetectionModel(nn.Module):
            def __init__(self, cfg, ch=3, nc=None):
                super().__init__()
                with open(cfg) as file:
                    width = yaml.safe_load(file)["width"]
                logging.getLogger("checkout").info("a model of %d classes", nc)
                body = [nn.Conv2d(ch, width, 8, 8), nn.BatchNorm2d(width), nn.SiLU()]
                groups = [nn.Conv2d(width, width, 1) for _ in range(2)]
                self.model = nn.Sequential(*body, *groups, Head(nc, width))
                for place, (layer, fed) in enumerate(zip(self.model, (-1, -1, -1, -1, 2, [3, -1]))):
                    layer.i, layer.f = place, fed

            def forward(self, x):
                seen = []
                for layer in self.model:
                    fed = layer.f
                    x = layer([seen[one] for one in fed] if isinstance(fed, list) else x if fed == -1 else seen[fed])
                    seen.append(x)
                return x
        """,
    "utils/torch_utils.py": """
        import torch
        from torch import nn


        def smart_optimizer(model, name="Adam", lr=0.001, momentum=0.9, decay=1e-5):
            norms = [m.weight for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
            biases = [m.bias for m in model.modules() if getattr(m, "bias", None) is not None]
            weights = [m.weight for m in model.modules() if isinstance(m, nn.Conv2d)]
            if name == "SGD":
                made = torch.optim.SGD(biases, lr=lr, momentum=momentum, nesterov=True)
            else:
                made = torch.optim.AdamW(biases, lr=lr, betas=(momentum, 0.999), weight_decay=0.0)
            made.add_param_group({"params": weights, "weight_decay": decay})
            made.add_param_group({"params": norms, "weight_decay": 0.0})
            return made
        """,
    "utils/loss_tal_dual.py": """
        import torch
        from torch import nn


        class Assigner(nn.Module):
            def forward(self, one, targets):
                pictures, _, height, width = one.shape
                found = torch.zeros(pictures, height, width, dtype=torch.bool)
                for picture, _, x, y, w, h in targets.tolist():
                    for row in range(height):
                        for column in range(width):
                            away = abs((column + 0.5) / width - x), abs((row + 0.5) / height - y)
                            found[int(picture), row, column] |= away[0] < w / 2 and away[1] < h / 2
                return None, found


        class ComputeLoss:
            def __init__(self, model):
                self.device = next(model.parameters()).device
                self.assigner, self.assigner2 = Assigner(), Assigner()
                self.gain = model.hyp["gain"]
                self.classes = model.model[-1].nc

            def __call__(self, maps, targets):
                terms = torch.zeros(3, device=self.device)
                wanted = torch.zeros(len(maps[0][0]), self.classes, device=self.device)
                for picture, kind, *_ in targets.tolist():
                    wanted[int(picture), int(kind)] = 1.0
                for group, weight, assigner in zip(maps, (0.25, 1.0), (self.assigner, self.assigner2)):
                    _, assigned = assigner(group[0], targets)
                    terms[0] += weight * (group[0][:, :4] ** 2 * assigned[:, None]).mean()
                    terms[1] += weight * self.gain * ((group[0][:, 4:].sigmoid().mean((2, 3)) - wanted) ** 2).sum()
                return terms.sum() * len(wanted), terms.detach()
        """,
}
TARGETS = torch.tensor(
    [[[0, 4.0, 4, 30, 40], [2, 20, 20, 60, 50]], [[1, 4, 4, 30, 40], [-1, 0, 0, 0, 0]], [[-1.0, 0, 0, 0, 0]] * 2]
)


@pytest.fixture
def checkout(tmp_path):
    """The stand-in's folder."""
    folder = tmp_path / "checkout"
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip(), encoding="utf-8")
    return folder


@pytest.fixture
def named(monkeypatch):
    """A model whose folder this is; all that was imported from there is forgotten afterwards."""
    before = set(sys.modules)
    path = list(sys.path)

    def make(folder, entry="models/detect/small.yaml"):
        model = Model("official", "harness.cell.official", entry, digest_of_source(Path(folder)))
        adopt(model, str(folder))
        return model

    monkeypatch.setenv("TORCH_MATRIX_SOURCE", "")  # so that it is put back
    yield make
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("models", "utils"):
            del sys.modules[name]


@pytest.fixture
def model(named, checkout):
    return load_model(named(checkout))


def drawn(model, classes=3):
    network = model.build(classes)
    model.draw(network, 0)
    return network


def batch():
    pictures = np.random.RandomState(0).uniform(0, 1, (3, 3, 64, 64)).astype(np.float32)
    return torch.from_numpy(pictures)


def test_it_is_trained_by_the_loop_with_the_checkouts_own_terms(named, checkout, spec, tmp_path):
    make_shapes(tmp_path / "data", Shapes(images=16, validation=4))
    asked = replace(spec, model=named(checkout), train=replace(spec.train, epochs=8, batch=8))
    result = train(asked, read_index(tmp_path / "data" / "index.json"), Progress(None))
    assert len(result.losses) == 16
    assert sum(result.losses[-2:]) < sum(result.losses[:2])
    assert set(result.terms) == {"box", "class", "dfl"}
    assert result.watch.anomalous_steps == 0


def test_every_trained_parameter_belongs_to_exactly_one_branch(model):
    network = drawn(model)
    branches = model.branches(network)
    trained = [name for name, one in network.named_parameters() if one.requires_grad]
    assert sorted(name for names in branches.values() for name in names) == sorted(trained)
    layers = {branch: {name.split(".")[1] for name in names} for branch, names in branches.items()}
    assert layers == {
        "shared layers": {"0", "1"}, "auxiliary layers": {"3"}, "main layers": {"4"},
        "auxiliary box head": {"5"}, "auxiliary class head": {"5"}, "main box head": {"5"}, "main class head": {"5"},
    }  # fmt: skip
    assert all(".cv5." in name for name in branches["main class head"])


def test_a_group_that_is_cut_off_is_dead_in_its_layers_and_heads_and_the_other_is_not(named, checkout, spec, tmp_path):
    make_shapes(tmp_path / "data", Shapes(images=8, validation=2))
    fault = Fault(kind="dead-branch", size=0)
    asked = replace(spec, model=named(checkout), fault=fault, train=replace(spec.train, epochs=1, batch=8))
    found = train(asked, read_index(tmp_path / "data" / "index.json"), Progress(None)).watch.anomalies
    assert {(one.kind, one.parameter) for one in found} == {
        ("dead branch", f"auxiliary {part}") for part in ("layers", "box head", "class head")
    }


def test_box_heads_are_reached_by_the_cells_that_the_checkouts_loss_assigns(model):
    network, criterion = drawn(model), model.criterion(3)
    none = torch.tensor([[[0, 10.0, 10, 11, 11]]] * 3)  # between the centres of cells
    found = [criterion(network(batch()), targets, (64, 64)).reached for targets in (TARGETS, none, TARGETS)]
    # the centres are 4, 12, 20, ...: 3 x 4 in the first box, 4 x 3 in the second, 1 x 2 of them in both; then 3 x 4
    assert [{name: int(number) for name, number in one.items()} for one in found] == [
        {"auxiliary box head": number, "main box head": number} for number in (34, 0, 34)
    ]
    assert set(found[0]) <= set(model.branches(network))


def test_a_box_head_of_which_the_loss_does_not_tell_what_it_assigns_is_not_said_to_be_reached(named, checkout):
    file = checkout / "utils" / "loss_tal_dual.py"
    file.write_text(file.read_text(encoding="utf-8").replace("self.assigner2", "self.other"), encoding="utf-8")
    model = load_model(named(checkout))
    reached = model.criterion(3)(drawn(model)(batch()), TARGETS, (64, 64)).reached
    assert {name: int(number) for name, number in reached.items()} == {"auxiliary box head": 34, "main box head": 0}


def test_importing_it_leaves_the_environments_variables_as_they_were(model):
    assert model.checkout.yolo.DetectionModel
    assert "SPOILT_BY_IMPORT" not in os.environ


def test_initial_weights_are_drawn_but_for_what_is_fixed_and_the_heads_biases(model):
    one, other = drawn(model), drawn(model)
    assert weights_digest(one) == weights_digest(other)
    head = one.model[-1]
    assert head.dfl.weight.flatten().tolist() == [0.0, 1.0, 2.0, 3.0]
    assert head.cv4.bias.tolist() == [1.0] * 4


def test_the_optimizer_is_the_checkouts_with_the_rates_in_their_places(model, spec):
    network = drawn(model)
    made = model.optimizer(network, spec.recipe, 8)
    head = network.model[-1]
    apply_rates(made, Rates(weights=0.1, biases=0.2, momentum=0.5, accumulate=1))
    rates = {id(one): group["lr"] for group in made.param_groups for one in group["params"]}
    assert rates[id(head.cv2.weight)] == rates[id(network.model[1].weight)] == 0.1
    assert rates[id(head.cv2.bias)] == 0.2
    assert [group["weight_decay"] for group in made.param_groups] == [spec.recipe.weight_decay, 0.0, 0.0]


def test_the_loss_in_float64_is_the_same_to_rounding_and_the_default_type_stays(model):
    network, criterion = drawn(model), model.criterion(3)
    single = criterion(network(batch()), TARGETS, (64, 64))
    double = criterion(network.double()(batch().double()), TARGETS.double(), (64, 64))
    assert (single.total.dtype, double.total.dtype) == (torch.float32, torch.float64)
    assert float(single.total) == pytest.approx(float(double.total), rel=1e-6)
    assert float(single.total) == pytest.approx(3 * sum(map(float, single.terms.values())), rel=1e-6)
    assert torch.get_default_dtype() == torch.float32


def test_true_boxes_come_as_rows_in_shares_of_the_picture():
    rows = rows_of(TARGETS, (64, 128))
    assert rows.shape == (3, 6)
    assert rows[1].tolist() == [0, 2, 40 / 128, 35 / 64, 40 / 128, 30 / 64]
    assert rows[2, :2].tolist() == [1, 1]
    assert rows_of(torch.full_like(TARGETS, -1), (64, 64)).shape == (0, 6)


def test_detections_are_those_of_the_main_branch(model):
    network = drawn(model)
    with torch.no_grad():
        deployed = model.deployed(network)
        found = model.detections(deployed(batch()), compat.suppression())
        network.model[-1].cv3.bias[:] = 9.0  # of the other group
        again = model.detections(model.deployed(network)(batch()), compat.suppression())
    assert len(found) == 3
    assert all(torch.equal(one, other) for one, other in zip(found, again))


def test_the_entry_chooses_the_file_of_the_model(named, checkout):
    widths = [
        drawn(load_model(named(checkout, entry))).model[0].out_channels for entry in ("models/detect/small.yaml", "")
    ]
    assert widths == [8, 16]


def test_a_folder_that_is_no_checkout_is_told(named, checkout):
    (checkout / "utils" / "loss_tal_dual.py").unlink()
    with pytest.raises(UsageError, match=r"is no official checkout with utils/loss_tal_dual\.py"):
        load_model(named(checkout))


def test_a_model_without_a_folder_is_told():
    with pytest.raises(UsageError, match="give its folder as `path` in"):
        load_model(Model("official", "harness.cell.official"))


def test_a_package_that_is_missing_is_told_with_what_to_do(named, checkout):
    (checkout / "utils" / "torch_utils.py").write_text("import no_such_package", encoding="utf-8")
    with pytest.raises(UsageError, match=r"No module named 'no_such_package'.*requirements of \[models\.official\]"):
        load_model(named(checkout))


def test_a_fault_of_the_checkout_is_told_with_its_own_words(named, checkout):
    (checkout / "utils" / "torch_utils.py").write_text("raise RuntimeError('out of order')", encoding="utf-8")
    with pytest.raises(UsageError, match=r"harness\.cell\.official fails \(RuntimeError: out of order\)"):
        load_model(named(checkout))


@pytest.mark.skipif(not REAL, reason="TORCH_MATRIX_OFFICIAL names no checkout")
def test_a_real_checkout_has_our_initial_weights_branches_and_loss(named):
    model, ours = load_model(named(REAL, "models/detect/yolov9-s.yaml")), load_model(OURS)
    theirs, own = drawn(model), drawn(ours)
    assert weights_digest(theirs) == weights_digest(own)
    called = {"backbone": "shared layers", "neck": "main layers", "auxiliary neck": "auxiliary layers"}
    branches = {called.get(branch, branch): names for branch, names in ours.branches(own).items()}
    assert {branch: set(names) for branch, names in model.branches(theirs).items()} == {
        branch: set(names) for branch, names in branches.items()
    }
    for network in (theirs, own):
        network.train()
    one = model.criterion(3)(theirs(batch()), TARGETS, (64, 64))
    other = ours.criterion(3)(own(batch()), TARGETS, (64, 64))
    assert math.isfinite(float(one.total))
    reached = [{name: int(number) for name, number in each.reached.items()} for each in (one, other)]
    assert reached[0] == reached[1]
    assert min(reached[0].values()) > 0
    assert float(one.total) == pytest.approx(float(other.total), rel=1e-4)
    assert {name: float(value) for name, value in one.terms.items()} == pytest.approx(
        {name: float(value) for name, value in other.terms.items()}, rel=1e-4
    )


@pytest.mark.skipif(not REAL, reason="TORCH_MATRIX_OFFICIAL names no checkout")
@pytest.mark.parametrize("cut", [False, True])
def test_a_real_checkout_is_trained_without_a_dead_branch_unless_its_auxiliary_group_is_cut_off(
    named, spec, tmp_path, cut
):
    make_shapes(tmp_path, Shapes(images=8, validation=2))
    model, settings = named(REAL, "models/detect/yolov9-s.yaml"), replace(spec.train, epochs=1, batch=4)
    asked = replace(spec, model=model, train=settings, fault=Fault(kind="dead-branch", size=0) if cut else None)
    found = train(asked, read_index(tmp_path / "index.json"), Progress(None)).watch.anomalies
    assert {(one.kind, one.parameter) for one in found} == {
        ("dead branch", f"auxiliary {part}") for part in ("layers", "box head", "class head") if cut
    }
