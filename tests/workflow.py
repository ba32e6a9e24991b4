"""The CI workflows, and what executes the `run:` lines of their jobs as GitHub's runner does."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from harness.core.files import ROOT
from tests.project import Project

WORKFLOWS = {path.stem: path for path in sorted((ROOT / ".github" / "workflows").glob("*.yml"))}


def read_workflow(name: str) -> dict[Any, Any]:
    """A workflow as YAML 1.1 reads it: its key `on` is then True."""
    return yaml.safe_load(WORKFLOWS[name].read_text(encoding="utf-8"))


def value_of(expression: str, values: Mapping[str, str]) -> str:
    """The value of an expression: one that the test gives, or the first of `a || b` that is not empty."""
    if expression in values:
        return values[expression]
    some = expression.split(" || ")
    if len(some) == 1:
        raise KeyError(f"the test gives no value for {expression}")
    return next(filter(None, (value_of(one, values) for one in some)), "")


class Job:
    """One job of a workflow, whose lines are executed in a copy of the project.

    What lines write to GITHUB_ENV is not taken over: it moves uv's cache, and a test uses the one there is.
    """

    def __init__(self, project: Project, workflow: str, job: str, values: Mapping[str, str], files: Path) -> None:
        self.project, self.values, self.files = project, values, files
        self.job = read_workflow(workflow)["jobs"][job]
        self.path = [str(Path(sys.executable).parent)]  # nox, where the step that installs it is left out
        files.mkdir()
        for name in ("env", "output", "path", "summary"):
            (files / name).touch()

    def resolve(self, variables: Mapping[str, str]) -> dict[str, str]:
        """Variables with the values of their expressions."""
        return {
            name: re.sub(r"\$\{\{ (.+?) \}\}", lambda found: value_of(found[1], self.values), str(value))
            for name, value in variables.items()
        }

    def execute(self, step: Mapping[str, Any]) -> subprocess.CompletedProcess[str]:
        """Run the lines of one step."""
        variables = {
            **self.project.environment(),
            **self.resolve({**self.job.get("env", {}), **step.get("env", {})}),
            **{f"GITHUB_{name.upper()}": str(self.files / name) for name in ("env", "output", "path")},
            "GITHUB_STEP_SUMMARY": str(self.files / "summary"),
            "RUNNER_TEMP": str(self.files),
        }
        variables["PATH"] = ":".join([*self.path, variables["PATH"]])
        script = self.files / "step.sh"
        script.write_text(step["run"], encoding="utf-8")
        ended = subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(script)],
            cwd=self.project.folder,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        self.path = [*self.read("path").split(), *self.path]
        return ended

    def run(self, only: str = "", without: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        """Run the lines of all steps that have some, of one, or of all but some; the first that fails is the last."""
        names = [step["name"] for step in self.job["steps"] if "run" in step]
        assert set(filter(None, [only, *without])) <= set(names)
        chosen = [only] if only else [name for name in names if name not in without]
        ended = [step for step in self.job["steps"] if step["name"] in chosen]
        for step in ended[:-1]:
            outcome = self.execute(step)
            if outcome.returncode:
                return outcome
        return self.execute(ended[-1])

    def read(self, name: str) -> str:
        """What was written to one of GitHub's files: output, path or summary."""
        return (self.files / name).read_text(encoding="utf-8")

    def outputs(self) -> dict[str, str]:
        """The job's outputs, each a line."""
        return dict(line.split("=", 1) for line in self.read("output").splitlines())

    def stand_in(self, program: str, lines: str = "") -> Path:
        """Put a program in the place of a real one; the file that is returned has the words that it was called with."""
        folder = self.files / "bin"
        folder.mkdir(exist_ok=True)
        called = self.files / f"{program}.called"
        (folder / program).write_text(f"#!/bin/sh\nprintf '%s\\0' \"$@\" > '{called}'\n{lines}\n", encoding="utf-8")
        (folder / program).chmod(0o755)
        self.path.insert(0, str(folder))
        return called


def words_in(called: Path) -> list[str]:
    """The words that a stand-in was called with."""
    return called.read_text(encoding="utf-8").split("\0")[:-1]
