"""Kills trainings by SIGKILL and resumes them, and carries checkpoints from pin to pin.

Shows whether a training survives a kill at any moment, also while its checkpoint is written: resumed, it must end bit
for bit as one that nothing happened to, on a CPU with one thread. And whether a checkpoint of one PyTorch version can
be used by another: how far the weights are apart one step later, and what mAP comes out.
"""

from harness.core import training
from harness.core.declaration import Case, DeclaredCheck, DeclaredMetric
from harness.core.settings import CaseSettings, Count, Positive


class Settings(CaseSettings, frozen=True):
    """Trainings that are killed and resumed, against one that is not."""

    kills: Positive
    """Kills at random moments of a training, each of a training of its own."""
    kills_while_writing: Count
    """Kills while a checkpoint is being written."""
    kill_epochs: Positive
    """Epochs of the trainings that are killed: fewer than of those that go from pin to pin, which must learn."""
    checkpoint_steps: Positive
    """A checkpoint is written after every so many steps."""


CASE = Case(
    settings=Settings,
    peers=True,
    metrics=(
        DeclaredMetric("resumed_memory", "Memory after resuming", "ratio", "ratio"),
        DeclaredMetric("resume_time", "Time to resume", "s", "ratio"),
    ),
    checks=(
        DeclaredCheck(
            "killed", "Killed at a random moment and resumed, a training ends bit for bit as one that was not killed"
        ),
        DeclaredCheck(
            "torn",
            "A kill while a checkpoint is written leaves the one before it whole, and the training ends as if not "
            "killed",
        ),
        DeclaredCheck(
            "second_process",
            "A checkpoint that goes on in a second process ends bit for bit as the training that wrote it",
        ),
        DeclaredCheck("exchanged", "A checkpoint of {part} goes on here and the training ends"),
    ),
    fingerprints=tuple(one for one in training.FINGERPRINTS if one.name == "final_weights"),
)
