"""Where the hash-locked requirements of environments lie. Both worlds hold what is installed against them."""

from __future__ import annotations

from pathlib import Path

from harness.core.files import ROOT

LOCKS = ROOT / "cases" / "locks"
"""Those that the project has, one for each pin and helper of matrix.toml."""
KEPT = ROOT / ".cache" / "locks"
"""Those that `nox -s bisect` made of releases that matrix.toml does not have: `VERSION.txt`, and beside it what
`[pins."VERSION"]` would say, as `VERSION.json`."""


def lock_of(name: str) -> Path:
    """The lock file of a pin, or of an environment that is no pin's: the project's own, or else a kept one."""
    own, kept = (folder / f"{name}.txt" for folder in (LOCKS, KEPT))
    return kept if kept.exists() and not own.exists() else own
