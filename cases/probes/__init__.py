"""Small experiments on what torch and torchvision do, each in a process of its own.

Shows what changed between versions in behaviour that code rests on: defaults, types, hooks, random numbers, what is
saved, warnings. A probe is a function in `topics/`, and nothing more: its name, its title (the first line of its
docstring) and what is said of it (the arguments of `@probe`) are read from the source, as torch is not there to import
it. Many are of changes that people expect and that did not happen: these are shown too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from harness.core.declaration import Case, DeclaredMetric, DeclaredProbe

TOPICS = Path(__file__).with_name("topics")
MARK = "probe"
"""The name of the decorator (`probing.py`)."""


def probes_in(path: Path) -> Iterator[DeclaredProbe]:
    """The probes of a module of `topics`, whose docstring's first line is the topic; `ValueError` for one that lacks a
    text, or has one that is no literal."""
    module = ast.parse(path.read_text(encoding="utf-8"))
    topic = first_line(module)
    for node in module.body:
        if isinstance(node, ast.FunctionDef):
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Name) and mark.func.id == MARK:
                    yield declared(node, mark, topic, path.name)


def declared(node: ast.FunctionDef, mark: ast.Call, topic: str, file: str) -> DeclaredProbe:
    """The declaration of one probe."""
    try:
        texts = {str(given.arg): ast.literal_eval(given.value) for given in mark.keywords}
        return DeclaredProbe(name=node.name, title=first_line(node), topic=topic, counted="value", **texts)
    except (TypeError, ValueError) as error:
        raise ValueError(f"topics/{file}, line {node.lineno}, {node.name}: {error}") from None


def first_line(node: ast.Module | ast.FunctionDef) -> str:
    """The first line of a docstring, without its full stop; empty where there is none."""
    return (ast.get_docstring(node) or "").partition("\n")[0].rstrip(".")


CASE = Case(
    metrics=(DeclaredMetric("probing_time", "Time of all probes", "s", "ratio"),),
    fingerprints=tuple(probe for path in sorted(TOPICS.glob("[a-z]*.py")) for probe in probes_in(path)),
)
