"""Exporting in a pin: the file is what onnx takes, it holds what the network computes, and what fails is a result."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from msgspec.structs import replace
from torch import nn

import cases.export.body as case
from cases.export import Settings
from cases.export.consumer import Answer, Result
from harness.cell import __main__ as cell
from harness.cell import compat, helpers
from harness.cell.data.index import read_index
from harness.cell.data.shapes import make_shapes
from harness.cell.given import network_as_given
from harness.cell.helpers import ask
from harness.cell.model import Model as Protocol
from harness.cell.model import make_network
from harness.cell.weights import weights_digest
from harness.cell.weights_file import About, write_weights
from harness.cell.yolov9 import MODEL
from harness.cell.yolov9.decode import decode
from harness.core.errors import UsageError
from harness.core.settings import Shapes
from harness.core.spec import AMBIENT, Data, Helper, Pin, Weights
from tests.cell import small_detector

SETTINGS = {"size": 64, "second_size": 96, "common": 13, "runs": 4, "allowed": 1e-4}
HELPER = Helper("onnx", "3.11", "0" * 64)
PARTS = [f"{shape} size, {asked}" for shape in ("fixed", "dynamic") for asked in ("default opset", "common opset")]


@pytest.fixture(scope="module")
def index_file(tmp_path_factory):
    """The index of a small data set."""
    folder = tmp_path_factory.mktemp("shapes") / "set"
    make_shapes(folder, Shapes(images=4, validation=4, size=96))
    return folder / "index.json"


@pytest.fixture
def exporting(spec, index_file, run_of, tmp_path):
    """A run of the case."""
    index = read_index(index_file)
    pin = Pin(AMBIENT, None, None, None, None)
    data = Data(name=index.name, digest=index.digest)
    network, file = make_network(spec, len(index.classes)), tmp_path / "w.safetensors"
    write_weights(file, network.state_dict(), About("yolov9-s", tuple(index.classes)))
    asked = replace(spec, case="export", pin=pin, data=data, settings=SETTINGS, helpers=[HELPER])
    asked = replace(asked, weights=Weights("w", weights_digest(network)))
    return run_of(asked, index_file, tmp_path / "0.part", interpreters={"onnx": "python of onnx"}, weights=str(file))


@pytest.fixture
def quick(monkeypatch):
    """A network of one convolution in place of the model, which takes a torch of 2021 half a minute to export."""

    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 7, 3, padding=1)

        def forward(self, images):
            cells = self.conv(images).flatten(2).transpose(1, 2)
            return cells[..., :4], cells[..., 4:].sigmoid()

    network = Small().eval()
    monkeypatch.setattr(small_detector.SmallDetector, "exportable", lambda *_: network, raising=False)
    monkeypatch.setattr(case, "load_model", lambda _: small_detector.MODEL)
    monkeypatch.setattr(case, "given_network", lambda _: network)
    return network


class Readers:
    """Readers that give what torch does, times the factor that a test wants, or fail as it says."""

    def __init__(self, network):
        self.network, self.factor, self.fails = network, 1.0, {}
        self.asked = []
        self.files = []

    def __call__(self, interpreter, program, question, kind, answer, limit):
        name = program.rpartition(".")[2]
        self.asked.append((interpreter, name))
        if name in self.fails:
            return self.fails[name]
        if name == "checker":
            self.files.append(onnx.load(question.file))
            return Answer("onnx", opset=self.files[-1].opset_import[0].version, operators={"Conv": 1, "Sigmoid": 1})
        with np.load(question.pictures) as pictures, torch.no_grad():
            found = [self.network(torch.from_numpy(pictures[one])) for one in pictures.files]
        kept = {f"{number}.{name}": values.numpy() * self.factor for number, outputs in enumerate(found)
                for name, values in zip(case.OUTPUTS, outputs)}  # fmt: skip
        np.savez(question.outputs, **kept)
        return Answer(name, results=[Result(seconds=[9.0] * 3 + [1.0] * (question.runs - 3)) for _ in found])


@pytest.fixture
def readers(quick, monkeypatch):
    readers = Readers(quick)
    monkeypatch.setattr(case, "ask", readers)
    return readers


def outcomes(measured, name):
    """The outcomes of a check by its parts."""
    return {one.name.partition(":")[2]: one.outcome for one in measured.checks if one.name.startswith(f"{name}:")}


def samples(measured, name):
    return [metric.samples for metric in measured.metrics if metric.name == name]


# --- the model ----------------------------------------------------------------------------------------------------


def test_what_is_exported_are_the_boxes_and_scores_of_the_deployed_network():
    network = MODEL.build(3)
    MODEL.draw(network, 0)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = 1.0  # at the drawn weights alone all pictures would give the same
    with torch.no_grad():
        network.train()(torch.rand(4, 3, 64, 64))
    deployed = MODEL.deployed(network)
    images = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        rows = decode(deployed(images))
        for size in (None, (64, 96)):
            boxes, scores = MODEL.exportable(deployed, size)(images)
            assert torch.allclose((boxes[..., :2] + boxes[..., 2:]) / 2, rows[:, :2].transpose(1, 2), atol=1e-4)
            assert torch.allclose(boxes[..., 2:] - boxes[..., :2], rows[:, 2:4].transpose(1, 2), atol=1e-4)
            assert torch.equal(scores, rows[:, 4:].transpose(1, 2))


def test_what_is_exported_has_the_given_weights(exporting):
    exporter = case.Exporting(exporting)
    expected = MODEL.deployed(network_as_given(exporting))
    assert weights_digest(exporter.deployed) == weights_digest(expected)


def test_the_model_itself_exports_to_a_file_that_the_checker_passes(exporting, monkeypatch, tmp_path):
    exporter = case.Exporting(exporting)
    network = exporter.model.exportable(exporter.deployed, (64, 64))
    at = {"shape": "fixed", "asked": "common opset"}
    file = exporter.write(network, at, tmp_path / "file" / "model.onnx")
    assert isinstance(file, case.File), file
    onnx.checker.check_model(str(file.path), full_check=True)
    graph = onnx.load(str(file.path)).graph
    assert [one.name for one in graph.output] == ["boxes", "scores"]
    assert [one.dim_value for one in graph.input[0].type.tensor_type.shape.dim] == [1, 3, 64, 64]
    assert graph.input[0].name == "images"
    assert file.size > 4 * sum(one.numel() for one in network.parameters()) * 0.9
    assert file.seconds > 0


def test_a_model_without_a_form_to_export_says_so():
    with pytest.raises(UsageError, match="no form that can be exported"):
        Protocol.exportable(small_detector.MODEL, None)


# --- the case -----------------------------------------------------------------------------------------------------


def test_files_that_are_read_as_they_should_be_hold_every_check_and_have_every_metric(exporting, readers):
    measured = case.measure(exporting)
    for name in ("exports", "valid", "agrees", "opencv"):
        assert outcomes(measured, name) == dict.fromkeys(PARTS, "held"), name
    assert set(outcomes(measured, "resizes")) == set(PARTS[2:])
    for name in ("export_time", "file_size", "run_time", "nodes"):
        assert len(samples(measured, name)) == 4, name
    assert samples(measured, "run_time")[0] == [1.0] * 4
    assert samples(measured, "nodes") == [[2.0]] * 4
    assert measured.not_measured == {
        f"output_error[shape={part.split()[0]},asked={part.split(', ')[1]}]": "there is no difference" for part in PARTS
    }
    assert measured.hashes.initial_weights == exporting.spec.weights.digest


def test_every_file_is_read_by_every_reader_in_the_environment_of_the_helper(exporting, readers):
    case.measure(exporting)
    assert readers.asked == [("python of onnx", name) for _ in PARTS for name in ("checker", "runtime", "opencv")]


def test_files_have_the_opset_that_was_asked_for_and_the_size_that_is_free(exporting, readers):
    measured = case.measure(exporting)
    (opsets,) = [one for one in measured.fingerprints if one.name == "opset"]
    assert opsets.places == PARTS
    assert opsets.value[1] == opsets.value[3] == 13
    assert opsets.value[0] == opsets.value[2]
    fixed, dynamic = (
        [one.dim_value for one in file.graph.input[0].type.tensor_type.shape.dim] for file in readers.files[1::2]
    )
    assert (fixed, dynamic) == ([1, 3, 64, 64], [1, 3, 0, 0])


def test_operators_are_a_fingerprint_of_every_file(exporting, readers):
    prints = {one.name: one for one in case.measure(exporting).fingerprints}
    assert set(prints) == {"opset", *(f"operators:{part}" for part in PARTS)}
    assert (prints["operators:" + PARTS[0]].places, prints["operators:" + PARTS[0]].value) == (
        ["Conv", "Sigmoid"],
        [1, 1],
    )


def test_outputs_that_are_further_from_torchs_than_is_allowed_fail_the_check_and_are_measured(exporting, readers):
    readers.factor = 1.01
    measured = case.measure(exporting)
    assert outcomes(measured, "agrees") == outcomes(measured, "opencv") == dict.fromkeys(PARTS, "failed")
    assert outcomes(measured, "resizes") == dict.fromkeys(PARTS[2:], "failed")
    assert samples(measured, "output_error")[0] == [pytest.approx(0.01, rel=1e-3)]


def test_a_reader_that_crashes_is_a_result(exporting, readers):
    readers.fails = {"opencv": "it was ended by SIGSEGV", "runtime": "it did not end within 600 s"}
    measured = case.measure(exporting)
    assert outcomes(measured, "valid") == dict.fromkeys(PARTS, "held")
    assert outcomes(measured, "agrees") == outcomes(measured, "opencv") == dict.fromkeys(PARTS, "failed")
    assert {one.said for one in measured.checks if one.name.startswith("opencv")} == {"it was ended by SIGSEGV"}
    assert measured.not_measured["run_time[shape=fixed,asked=default opset]"] == "it did not end within 600 s"


def test_an_export_that_fails_is_a_result_and_the_others_go_on(exporting, readers, monkeypatch):
    export = compat.export_onnx

    def refuse(*arguments, **named):
        if named["opset"] is None:
            raise RuntimeError("outer") from ValueError("Unsupported\n opset")
        export(*arguments, **named)

    monkeypatch.setattr(compat, "export_onnx", refuse)
    measured = case.measure(exporting)
    by_part = dict(zip(PARTS, ("failed", "held", "failed", "held")))
    assert outcomes(measured, "exports") == by_part
    assert next(one.said for one in measured.checks) == "ValueError: Unsupported opset"
    assert outcomes(measured, "agrees") == {part: "open" if one == "failed" else one for part, one in by_part.items()}
    assert measured.not_measured["export_time[shape=fixed,asked=default opset]"] == "nothing was exported"
    assert len(samples(measured, "export_time")) == 2


def test_a_model_without_a_form_to_export_leaves_everything_open_and_nothing_measured(exporting, quick, monkeypatch):
    monkeypatch.setattr(small_detector.SmallDetector, "exportable", Protocol.exportable)
    measured = case.measure(exporting)
    assert {one.outcome for one in measured.checks} == {"open"}
    assert outcomes(measured, "exports") == dict.fromkeys(PARTS, "open")
    assert samples(measured, "export_time") == []
    reasons = set(measured.not_measured.values())
    assert len(reasons) == 1
    assert reasons.pop().startswith("The model has no form that can be exported")


def test_what_the_exporter_warns_of_is_said_once(exporting, readers, monkeypatch):
    export = compat.export_onnx

    def warn(*arguments, **named):
        for _ in range(3):
            case.warnings.warn("some  shapes\nare not known", stacklevel=1)
        export(*arguments, **named)

    monkeypatch.setattr(compat, "export_onnx", warn)
    said = case.measure(exporting).checks[0].said
    assert said.count("some shapes are not known") == 1


def test_by_torchscript_is_the_same_export_where_that_is_the_default(exporting, readers, monkeypatch):
    asked = ("common opset", "common opset by TorchScript")
    run = replace(exporting.spec, settings={**SETTINGS, "asked": asked, "shapes": ["fixed"]})
    run = dataclasses.replace(exporting, spec=run)
    monkeypatch.setattr(compat, "exports_by_torchscript", lambda: True)
    case.measure(run)
    assert len(readers.files) == 1
    monkeypatch.setattr(compat, "exports_by_torchscript", lambda: False)
    monkeypatch.setattr(compat.torch.onnx, "export", lambda network, pictures, path, **told: exported(path, told))
    told = []

    def exported(path, how):
        told.append(how)
        Path(path).write_bytes(onnx.ModelProto(opset_import=[onnx.helper.make_opsetid("", 13)]).SerializeToString())

    case.measure(run)
    assert [how.get("dynamo") for how in told] == [None, False]


def test_outputs_of_another_shape_or_that_are_no_numbers_are_told():
    one = [np.ones((1, 2, 4)), np.ones((1, 2, 3))]
    assert case.error_of(one, [one[0], np.ones((1, 3, 3))]) == "its scores are (1, 3, 3), and torch's (1, 2, 3)"
    assert case.error_of(one, [one[0], one[1] * 0.5]) == 0.5
    assert case.error_of(one, one) == 0.0
    odd = [one[0], np.full((1, 2, 3), np.nan)]
    assert case.error_of(one, odd) == "its scores are not all finite"
    assert case.error_of(odd, one) == "torch's scores are not all finite"


def test_a_second_size_that_is_the_size_is_refused(spec):
    assert "name another one" in Settings(size=64, second_size=64, common=13, runs=1, allowed=0.1).problem(spec.train)


# --- programs in environments that are no pin's ---------------------------------------------------------------------


PROGRAMS = {
    "good": 'import sys, pathlib; pathlib.Path(sys.argv[1]).write_bytes(b\'{"reader": "me"}\')',
    "silent": "",
    "failing": "import sys; sys.exit(3)",
    "killed": "import os; os.kill(os.getpid(), 11)",
    "slow": "import time; time.sleep(60)",
}


@pytest.fixture
def answer_of(tmp_path, monkeypatch):
    """What a program answers that lies in a folder of the test's own."""

    def answer(name, limit=60.0):
        (tmp_path / f"{name}.py").write_text(PROGRAMS[name], encoding="utf-8")
        monkeypatch.setattr(helpers, "ROOT", tmp_path)
        return ask(sys.executable, name, Result(), Answer, tmp_path / "answer.json", limit)

    return answer


def test_an_answer_comes_back(answer_of):
    assert answer_of("good") == Answer("me")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("silent", "it ended with exit code 0, the run's log has why"),
        ("failing", "it ended with exit code 3, the run's log has why"),
        ("killed", "it was ended by SIGSEGV"),
    ],
)
def test_a_program_that_fails_is_told_as_the_end_of_a_sentence(answer_of, name, said):
    assert answer_of(name) == said


def test_a_program_that_hangs_is_ended(answer_of):
    assert answer_of("slow", limit=0.5) == "it did not end within 0.5 s"


def test_a_run_whose_helper_is_not_what_its_lock_says_is_a_failed_record(exporting, index_file, run_of, tmp_path):
    wrong = run_of(exporting.spec, index_file, tmp_path / "1.part", interpreters={"onnx": sys.executable})
    record = cell.record_of(wrong)
    assert record.status == "failed"
    assert record.reason.startswith(
        "The environment onnx cannot be used: This environment is not what cases/locks/onnx.txt"
    )
