"""Where the pins' interpreters are. The sessions `pin-*` of the noxfile build and check them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec

from harness.core.errors import UsageError
from harness.core.files import ROOT
from harness.core.spec import AMBIENT, Pin

BUILT = ROOT / ".nox" / "built"


NEEDED = ("torch", "numpy", "PIL", "msgspec", "psutil", "pynvml", "yaml", "packaging", "faster_coco_eval")
"""Modules that the harness imports in a cell. A lock has them all; an ambient interpreter may not."""


class Built(msgspec.Struct):
    """What a pin's session leaves when its environment is complete."""

    interpreter: str
    source: dict[str, str]


def interpreter_of(pin: Pin) -> Path | None:
    """The interpreter of the pin's environment, or None where it was not built from the lock as it is now."""
    if pin.environment == AMBIENT:
        return Path(os.environ.get("TORCH_MATRIX_AMBIENT", sys.executable))
    try:
        built = msgspec.json.decode((BUILT / f"{pin.environment}.json").read_bytes(), type=Built)
    except (OSError, msgspec.DecodeError):
        return None
    path = Path(built.interpreter)
    return path if built.source.get("lock") == pin.lock and path.exists() else None


def require_ambient(interpreter: Path) -> None:
    """`UsageError` where the ambient interpreter lacks a module that the harness imports."""
    look = "import importlib.util, sys; print(*[n for n in sys.argv[1:] if not importlib.util.find_spec(n)])"
    found = subprocess.run([str(interpreter), "-c", look, *NEEDED], capture_output=True, text=True, check=False)
    if found.returncode or found.stdout.strip():
        missing = found.stdout.strip() or found.stderr.strip().splitlines()[-1]
        raise UsageError(
            f"The pin `ambient` is {interpreter}, which lacks {missing}: install it there, "
            "or run nox with the interpreter that has your torch."
        )


def why_not_built(pin: Pin) -> str:
    """The sentence for a pin whose environment is not there."""
    return (
        f"The environment of pin {pin.name} was not built: `nox -s pin-{pin.environment}` shows why; if it is Python "
        f"{pin.python} that is missing, get it with `uv python install {pin.python}`, pyenv or your system's packages."
    )
