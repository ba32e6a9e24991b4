"""What may follow `--` of `nox -s matrix`: one meaning everywhere."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

RESULTS = Path("results")


def whole(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


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
        epilog="Exit codes: 0 complete; 2 bad usage or configuration; 3 some run failed or is missing.",
        allow_abbrev=False,
    )
    parser.add_argument("--profile", metavar="NAME", help="how much is run: a profile of cases/matrix.toml (default: "
                        "quick; full with --data on a GPU)")  # fmt: skip
    parser.add_argument("--pins", metavar="V", nargs="+", help="torch versions that have a lock, the baseline first; "
                        "`ambient` is the torch that runs nox has (default: the machine kind's)")  # fmt: skip
    parser.add_argument("--case", metavar="NAME", nargs="+", help="cases to run (default: the profile's)")
    parser.add_argument("--rounds", metavar="N", type=whole, help="runs of each cell (default: the profile's)")
    parser.add_argument("--data", metavar="PATH", type=Path, help="a data.yaml in the YOLO layout or a COCO "
                        "instances_*.json (default: the embedded shapes)")  # fmt: skip
    parser.add_argument("--device", metavar="DEVICE", default="auto", help="auto, cpu or cuda:N (default: auto)")
    parser.add_argument("--threads", metavar="N", type=whole, default=1, help="threads of torch in a run (default: 1: "
                        "two are noisier and round differently)")  # fmt: skip
    parser.add_argument("--name", metavar="NAME", type=folder_name, help="folder in results/ (default: the profile)")
    parser.add_argument("--fresh", action="store_true", help="measure again what has a valid record")
    parser.add_argument("--handoff", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)
