"""Checks a file by onnx's own checker, and counts its operators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import onnx

from cases.export.consumer import Answer, Question, in_one_line, serve


def work(question: Question) -> Answer:
    """The opset, the operators, and what the checker finds."""
    reader = f"onnx {onnx.__version__}"
    try:
        model = onnx.load(question.file, load_external_data=False)
    except Exception as error:  # a file that is none
        return Answer(reader, in_one_line(error))
    opsets = [one.version for one in model.opset_import if one.domain in ("", "ai.onnx")]
    operators = Counter(names_in(model.graph.node))
    for function in model.functions:
        operators.update(names_in(function.node))
    found = Answer(reader, None, opsets[0] if opsets else None, dict(sorted(operators.items())))
    try:
        onnx.checker.check_model(question.file, full_check=True)
    except Exception as error:  # a file that is wrong
        return Answer(reader, in_one_line(error), found.opset, found.operators)
    return found


def names_in(nodes: Iterable[onnx.NodeProto]) -> Iterator[str]:
    """The operators of nodes and of the graphs inside of them. Of other domains than ONNX's own with the domain."""
    for node in nodes:
        yield node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from names_in(graph.node)


if __name__ == "__main__":
    serve(work)
