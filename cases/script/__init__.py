"""Runs a script of the user's, unchanged, as a black box.

Shows what an upgrade would change for a program of which nothing is known but its command: how long it takes as a
whole, the most memory that it and all that it starts hold, and the numbers that it leaves in a file. Each run has a
copy of the script's folder to itself. The control A/A is the same from the baseline's second environment.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Optional

from msgspec import Meta

from harness.core.declaration import Case, DeclaredFingerprint, DeclaredMetric, Parameter
from harness.core.settings import CaseSettings, TrainSettings

SEED = "{seed}"
"""In an argument of the command: the number of the round, from 0."""

Name = Annotated[str, Meta(pattern=r"^[^\[\],=:]{1,80}$")]
"""What an output is called; the marks are those of a metric's key."""
NumberUnit = Literal["number", "fraction", "s", "bytes"]


class Settings(CaseSettings, frozen=True, kw_only=True):
    """What is run in the model's folder by the pin's Python, and which numbers it leaves. Of `train`, which all
    profiles have, only `silence_seconds` and `limit_hours` count."""

    command: Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(min_length=1)]
    """What follows `python`: a file of the folder, or -m with a module, and arguments."""
    outputs: str = ""
    """The file with the numbers, which the script writes: a JSON object. Its path in the folder."""
    lower: dict[Name, NumberUnit] = {}
    """Those of which less is better, with their units. A `number` is above 0 and compared as a ratio; a `fraction` lies
    between 0 and 1 and is compared in points."""
    higher: dict[Name, NumberUnit] = {}
    """Those of which more is better."""

    def problem(self, train: TrainSettings) -> Optional[str]:  # noqa: ARG002
        """A number has one direction, and a file that it is in."""
        twice = [name for name in self.lower if name in self.higher]
        if twice:
            return f"{twice[0]!r} is in lower and in higher: leave it in one of them"
        if bool(self.lower or self.higher) is not bool(self.outputs):
            return "outputs, the file with the numbers, and lower or higher, which name them, go together"
        return None if is_within(self.outputs) else f"outputs is {self.outputs!r}: give a path in the folder"

    def problem_in(self, folder: Optional[Path]) -> Optional[str]:
        """The script has to be in the folder."""
        if folder is None:
            return "the model has no folder with a script: give it a path in [models.*]"
        script = self.command[0]
        if not script.startswith("-") and not (is_within(script) and (folder / script).is_file()):
            return f"the command begins with {script!r}, which is no file in {folder}"
        return None


def is_within(path: str) -> bool:
    """Whether a path stays in the folder that it begins in."""
    parts = PurePosixPath(path)
    return not parts.is_absolute() and ".." not in parts.parts


OUTPUTS = DeclaredFingerprint(
    "script_outputs", "Numbers that the script leaves", counted="output", by_name=True
)  # of a script whose chance follows from its seed they are equal where versions compute the same
LOWER = DeclaredMetric("output_lower", "Output", "number", "ratio", by=("lower",), drawn=True)
HIGHER = DeclaredMetric("output_higher", "Output", "number", "ratio", better="higher", by=("higher",), drawn=True)
"""Of both the settings have the names, and the unit of each, by which it is compared."""

CASE = Case(
    settings=Settings,
    command="command",
    parameters=(Parameter("lower", "", "lower"), Parameter("higher", "", "higher")),
    metrics=(
        DeclaredMetric("script_time", "Script, wall time", "s", "ratio"),
        DeclaredMetric("script_cpu_time", "Script, CPU time", "s", "ratio", headline=False),
        DeclaredMetric("script_memory", "Script, peak memory", "bytes", "ratio"),
        HIGHER,
        LOWER,
    ),
    fingerprints=(OUTPUTS,),
)
