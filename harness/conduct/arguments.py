"""What may follow `--` of `nox -s matrix`: one meaning everywhere."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

RESULTS = Path("results")


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


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse; wrong usage ends the program with one line and exit code 2."""
    parser = argparse.ArgumentParser(
        prog="nox -s matrix --",
        description="Run the same harness under several PyTorch versions and print the cross-version table.",
        epilog="Exit codes: 0 complete; 1 with --gate, when the policy says hold; 2 bad usage or input; "
        "3 some run failed or is missing; 130 interrupted.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "--profile",
        metavar="NAME",
        help="how much is run (default: quick; stability for a case of its own; full with --data on a GPU)",
    )
    add("--pins", metavar="V", nargs="+", help="torch versions that have a lock, the baseline first; `ambient` is "
        "the torch that the interpreter of nox has (default: the machine kind's)")  # fmt: skip
    add("--case", metavar="NAME", nargs="+", help="cases to run (default: the profile's)")
    add("--rounds", metavar="N", type=whole(1000), help="runs of each cell (default: the profile's)")
    add("--data", metavar="PATH", type=Path, help="a data.yaml in the YOLO layout or a COCO instances_*.json "
        "(default: the embedded shapes)")  # fmt: skip
    add("--device", metavar="DEVICE", default="auto", help="auto, cpu or cuda:N (default: auto)")
    add("--threads", metavar="N", type=whole(os.cpu_count() or 1), default=1, help="threads of torch in a run "
        "(default: 1: two are noisier and round differently)")  # fmt: skip
    add("--name", metavar="NAME", type=folder_name, help="folder in results/ (default: the profile)")
    add("--fresh", action="store_true", help="measure again what has a valid record")
    add("--gate", action="store_true", help="end with exit code 1 when the policy says hold for a candidate")
    add("--machines", metavar="KIND", nargs="+", help="nox -s plan only, with --jobs: plan for these machine kinds, "
        "not for this machine")  # fmt: skip
    add("--jobs", metavar="FILE", type=Path, help="nox -s plan only, with --machines: write a JSON list with a CI job "
        "for each kind; --name, --fresh and --gate are left to who starts it")  # fmt: skip
    add("--handoff", type=Path, help=argparse.SUPPRESS)
    add("--proofs", nargs="+", default=[], help=argparse.SUPPRESS)
    return parser.parse_args(arguments)
