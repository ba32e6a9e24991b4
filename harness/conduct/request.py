"""What is asked for: one experiment, whoever asks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.core.plan import HERE


@dataclass(frozen=True, kw_only=True)
class Request:
    """One experiment. What it leaves open follows from the machine, `cases/policy.toml` and `cases/matrix.toml`."""

    profile: str | None = None
    pins: tuple[str, ...] = ()
    """Torch versions that have a lock, the baseline first; none: the machine kind's."""
    cases: tuple[str, ...] = ()
    """None: the profile's."""
    model: str | None = None
    """None: the profile's."""
    rounds: int | None = None
    data: Path | None = None
    """A data.yaml in the YOLO layout or a COCO instances_*.json; None: the embedded shapes."""
    weights: Path | None = None
    """A file of weights; None: drawn ones, or those of a short training of the baseline, as the case needs."""
    device: str = "auto"
    """auto, cpu or cuda:N."""
    threads: int = 1
    """Threads of torch in a run."""
    name: str | None = None
    """The folder in results/; None: the profile's name."""
    fresh: bool = False
    """Whether what has a valid record is measured again."""
    launcher: str = HERE
    """What does the runs, by its name in `launchers.py`."""
