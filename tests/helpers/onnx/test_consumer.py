"""The programs that read exported files, each with files of a few nodes that onnx itself makes."""

import subprocess
import sys

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cases.export.consumer import Answer, Question, in_one_line
from harness.core.files import ROOT


def graph_of(side, *, operator="Relu", initializers=()):
    """Pictures through one operator into `boxes`, their mean colours as `scores`."""
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, side, side])
    boxes = helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, 3, side, side])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3, 1, 1])
    nodes = [
        helper.make_node(operator, ["images"], ["boxes"]),
        helper.make_node("GlobalAveragePool", ["images"], ["scores"]),
    ]
    return helper.make_graph(nodes, "small", [images], [boxes, scores], list(initializers))


@pytest.fixture
def ask(tmp_path):
    """Have one of the programs answer about a model, or about whatever lies in the file; its outputs too."""

    def asked(program, model, pictures=(), runs=0):
        path = tmp_path / "model.onnx"
        if isinstance(model, bytes):
            path.write_bytes(model)
        else:
            onnx.save(model, path)
        np.savez(tmp_path / "pictures.npz", **{str(number): one for number, one in enumerate(pictures)})
        question = Question(str(path), str(tmp_path / "pictures.npz"), str(tmp_path / "outputs.npz"), runs)
        command = [sys.executable, "-m", f"cases.export.consumer.{program}", str(tmp_path / "answer.json")]
        subprocess.run(command, cwd=ROOT, input=msgspec.json.encode(question), check=True)
        answer = msgspec.json.decode((tmp_path / "answer.json").read_bytes(), type=Answer)
        outputs = tmp_path / "outputs.npz"
        return answer, dict(np.load(outputs)) if outputs.exists() else {}

    return asked


def model_of(graph, opset=13):
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)


def picture(side):
    return np.random.RandomState(side).uniform(-1, 1, (1, 3, side, side)).astype(np.float32)


def test_the_checker_tells_opset_and_operators(ask):
    answer, _ = ask("checker", model_of(graph_of(4), opset=11))
    assert (answer.reader, answer.problem, answer.opset) == (f"onnx {onnx.__version__}", None, 11)
    assert answer.operators == {"GlobalAveragePool": 1, "Relu": 1}


def test_operators_inside_of_other_nodes_and_of_other_domains_are_counted(ask):
    inner = helper.make_graph(
        [helper.make_node("Neg", ["images"], ["inside"])], "inner", [],
        [helper.make_tensor_value_info("inside", TensorProto.FLOAT, [1, 3, 4, 4])],
    )  # fmt: skip
    graph = graph_of(4)
    truth = numpy_helper.from_array(np.array(True), "truth")
    graph.initializer.append(truth)
    graph.node[0].CopyFrom(helper.make_node("If", ["truth"], ["boxes"], then_branch=inner, else_branch=inner))
    graph.node.append(helper.make_node("Own", ["images"], ["more"], domain="mine"))
    answer, _ = ask("checker", model_of(graph))
    assert answer.operators == {"GlobalAveragePool": 1, "If": 1, "Neg": 2, "mine.Own": 1}


@pytest.mark.parametrize("content", [b"", b"no model", b"\xff" * 100])
def test_what_is_no_model_is_told_by_every_reader_and_none_of_them_crashes(ask, content):
    for program in ("checker", "runtime", "opencv"):
        answer, _ = ask(program, content, [picture(4)])
        assert answer.problem, program


def test_the_checker_names_what_is_wrong_with_a_file(ask):
    answer, _ = ask("checker", model_of(graph_of(4, operator="NoSuchOperator")))
    assert "NoSuchOperator" in answer.problem
    assert answer.operators["NoSuchOperator"] == 1


@pytest.mark.parametrize("program", ["runtime", "opencv"])
def test_a_reader_gives_what_the_graph_computes(ask, program):
    images = picture(4)
    answer, outputs = ask(program, model_of(graph_of(4)), [images])
    assert answer.problem is None
    assert [result.problem for result in answer.results] == [None]
    assert np.array_equal(outputs["0.boxes"], np.maximum(images, 0))
    assert np.allclose(outputs["0.scores"].ravel(), images.mean((2, 3)).ravel(), atol=1e-6)


def test_onnxruntime_times_as_many_runs_as_it_is_asked(ask):
    answer, _ = ask("runtime", model_of(graph_of(4)), [picture(4)], runs=5)
    (result,) = answer.results
    assert len(result.seconds) == 5
    assert min(result.seconds) > 0


def test_a_picture_that_a_file_does_not_take_fails_alone(ask):
    answer, outputs = ask("runtime", model_of(graph_of(4)), [picture(8), picture(4)])
    assert answer.problem is None
    assert [bool(result.problem) for result in answer.results] == [True, False]
    assert set(outputs) == {"1.boxes", "1.scores"}


def test_a_file_of_any_size_takes_pictures_of_two(ask):
    answer, outputs = ask("runtime", model_of(graph_of("side")), [picture(4), picture(8)])
    assert [result.problem for result in answer.results] == [None, None]
    assert outputs["1.boxes"].shape == (1, 3, 8, 8)


def test_what_an_error_says_is_one_short_line():
    assert in_one_line(ValueError("one\n  two")) == "one two"
    assert len(in_one_line(ValueError("x" * 1000))) == 241
