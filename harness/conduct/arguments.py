"""What may follow `--` of `nox -s matrix`: one meaning everywhere."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from harness.conduct.launchers import LAUNCHERS
from harness.conduct.request import Request
from harness.core.errors import UsageError
from harness.core.files import is_text, spelt_out
from harness.core.plan import HERE


class Parser(argparse.ArgumentParser):
    """Wrong usage is one sentence, as all bad input is."""

    def __init__(self, prog: str, description: str, epilog: str = "") -> None:
        super().__init__(prog=prog, description=description, epilog=epilog, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; `{self.prog} --help` says what may be given.")

    def read(self, arguments: Sequence[str]) -> argparse.Namespace:
        """The arguments; `UsageError` for any that is not known, or that is empty."""
        if "" in arguments:  # of a variable that is not set: it would be taken for an argument that was left out
            self.error("an argument is empty")
        return self.parse_args(arguments)


def whole(most: int) -> Callable[[str], int]:
    """A reader of whole numbers from 1 to `most`."""

    def read(text: str) -> int:
        if not re.fullmatch("[0-9]{1,9}", text) or not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {most}")
        return int(text)

    return read


def folder_name(text: str) -> str:
    """A name for a folder in results/: no path, nothing hidden."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a plain folder name (letters, digits, '.', '_', '+', '-')")
    return text


def text_path(text: str) -> Path:
    """A path that a plan can hold."""
    if not is_text(text):
        raise argparse.ArgumentTypeError(f"the path {spelt_out(text)} is not text in UTF-8: rename it")
    return Path(text)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request, and what is done with the plan that it becomes."""

    request: Request
    gate: bool = False
    machines: tuple[str, ...] = ()
    """Kinds of machines to plan for, in place of this machine."""
    jobs: Path | None = None
    """The file for the jobs of CI, one for each of these machines."""
    handoff: Path | None = None
    """The file for what a session has to know to go on. It is not written where a plan is only shown."""
    plans: Path | None = None
    """The file for the plans themselves: a session that only shows them says what they will be able to tell."""
    proofs: tuple[str, ...] = ()
    """Names of `[proofs.*]`, which are planned in place of a matrix."""


def parse(arguments: Sequence[str]) -> Asked:
    """What is asked; `UsageError` for wrong usage."""
    given = parser().read(arguments)
    request = Request(
        profile=given.profile,
        pins=tuple(given.pins),
        cases=tuple(given.case),
        model=given.model,
        rounds=given.rounds,
        data=given.data,
        weights=given.weights,
        device=given.device,
        threads=given.threads,
        name=given.name,
        fresh=given.fresh,
        launcher=given.launcher,
    )
    return Asked(
        request=request,
        gate=given.gate,
        machines=tuple(given.machines),
        jobs=given.jobs,
        handoff=given.handoff,
        plans=given.plans,
        proofs=tuple(given.proofs),
    )


def parser() -> Parser:
    """The options, with what `--help` says of them."""
    parser = Parser(
        "nox -s matrix --",
        "Run the same harness under several PyTorch versions and print the cross-version table.",
        "Exit codes: 0 complete; 1 with --gate, when the policy says hold; 2 bad usage or input; "
        "3 some run failed or is missing; 130 interrupted.",
    )
    add = parser.add_argument
    add(
        "--profile",
        metavar="NAME",
        help="how much is run (default: by device and data, as [defaults] of matrix.toml has it; if that lacks a case "
        "that is named, the first there that has the case)",
    )
    add("--pins", metavar="V", nargs="+", default=[], help="torch versions that have a lock, the baseline first; "
        "`ambient` is the torch that the interpreter of nox has (default: the machine kind's)")  # fmt: skip
    add("--case", metavar="NAME", nargs="+", default=[], help="cases to run (default: the profile's)")
    add("--model", metavar="NAME", help="the model, of [models.*] in matrix.toml (default: the profile's)")
    add("--rounds", metavar="N", type=whole(1000), help="runs of each cell (default: the profile's)")
    add("--data", metavar="PATH", type=text_path, help="a data.yaml in the YOLO layout or a COCO instances_*.json "
        "(default: the embedded shapes)")  # fmt: skip
    add("--weights", metavar="FILE", type=text_path, help="weights to begin with: a checkpoint as it is released, a "
        "state dict, or safetensors (default: drawn, or of a short training, as the case needs)")  # fmt: skip
    add("--device", metavar="DEVICE", default="auto", help="auto, cpu or cuda:N (default: auto)")
    add("--threads", metavar="N", type=whole(os.cpu_count() or 1), default=1, help="threads of torch in a run "
        "(default: 1: two are noisier and round differently)")  # fmt: skip
    add("--name", metavar="NAME", type=folder_name, help="folder in results/ (default: the profile, with the model "
        "that is named)")  # fmt: skip
    add("--fresh", action="store_true", help="measure again what has a valid record")
    add("--gate", action="store_true", help="end with exit code 1 when the policy says hold for a candidate")
    add("--launcher", metavar="NAME", choices=[*LAUNCHERS], default=HERE, help="what does the runs: this-machine, or "
        "slurm: jobs on nodes of the kind that --machines names, as its [machines.KIND.slurm] has it "
        "(default: this-machine)")  # fmt: skip
    add("--machines", metavar="KIND", nargs="+", default=[], help="plan for these machine kinds, not for this machine: "
        "with --jobs (nox -s plan only), or one kind with --launcher slurm")  # fmt: skip
    add("--jobs", metavar="FILE", type=Path, help="nox -s plan only, with --machines: write a JSON list with a CI job "
        "for each kind; --name, --fresh and --gate are left to who starts it")  # fmt: skip
    add("--handoff", type=Path, help=argparse.SUPPRESS)
    add("--plans", type=Path, help=argparse.SUPPRESS)
    add("--proofs", nargs="+", default=[], help=argparse.SUPPRESS)
    return parser
