"""`python -m harness.cell.worker --run PID …`, started by torchrun: one process of a training that several share.

It sees to it that the process ends with torchrun, before torch is imported, which takes seconds. torchrun may have
started it in a session of its own, where the conductor's kill does not reach it.
"""

from __future__ import annotations

import argparse
import importlib
import sys

import psutil

from harness.cell.children import die_with_parent


def end_with_parent(run: int) -> None:
    """Have the kernel end this process with torchrun, which ends with the run; at once where it is gone by now."""
    die_with_parent()
    parent = psutil.Process().parent()
    if parent is None or parent.ppid() != run:
        raise SystemExit("The run that this process belongs to is gone.")


def main() -> int:
    """The exit code of the training."""
    parser = argparse.ArgumentParser(prog="python -m harness.cell.worker")
    parser.add_argument("--run", type=int, required=True, help="the process that started torchrun")
    asked, others = parser.parse_known_args()
    end_with_parent(asked.run)
    code: int = importlib.import_module("harness.cell.distributed").main(others)
    return code


if __name__ == "__main__":
    sys.exit(main())
