"""Has every pin read what every pin has saved: weights, whole modules, optimizers, a loss scaler, TorchScript.

Shows whether the files of one PyTorch version can be used by another, forwards and back: whether each loads, what is
warned of, and whether outputs and the next optimiser step are those that the pin gets that saved it. What the baseline
saved must load in a candidate. Weights and optimizers gate, since a training that cannot go on is lost; whole modules,
TorchScript and what `weights_only` refuses do not, since a changed line of code or a new export mends them.
"""

from typing import Annotated, Optional

from msgspec import Meta

from harness.core.declaration import BetweenPins, Case, DeclaredCheck, DeclaredMetric
from harness.core.settings import CaseSettings, Positive, TrainSettings


class Settings(CaseSettings, frozen=True):
    """What is saved, and when it counts as the same."""

    steps: Positive
    """Optimiser steps before anything is saved."""
    allowed: Annotated[float, Meta(gt=0.0, lt=1.0)]
    """By how much outputs, and the next step, may differ from those of the pin that saved the file, as a share of them.
    Where an optimizer has lost its state, the step differs by about 1."""
    patience_seconds: Positive
    """After so long, saving or loading one file counts as hanging."""

    def problem(self, train: TrainSettings) -> Optional[str]:
        """A file must be given up before the run is."""
        if self.patience_seconds < train.silence_seconds:
            return None
        return f"patience_seconds {self.patience_seconds} must be below silence_seconds, {train.silence_seconds}"


SAME = "and what comes of it is the same as there"

NEW_EXPORT = (
    "TorchScript is for the version that wrote it and later ones. Keep the state dict beside it, and trace or script "
    "anew in the version that serves it."
)
PLAIN_TENSORS = (
    "Load the file in the version that wrote it, and save its tensors in a form that every version reads: safetensors, "
    "or numpy arrays."
)
OWN_FILES = "Since 2.6 torch.load makes nothing but tensors and plain values unless it is told weights_only=False"
REBUILD = (
    "Where an attribute is missing, a class of torch has changed: in the version that wrote the file, save "
    "state_dict(), and load that into a network that is built from its code."
)
BEGIN_ANEW = (
    "Finish the training in the version that began it, or begin with a new optimizer: the weights are good, and the "
    "first steps are as after a warm start."
)

CASE = Case(
    settings=Settings,
    peers=True,
    metrics=(DeclaredMetric("load_time", "Time to load a state dict", "s", "ratio", margin=0.2),),
    checks=(
        DeclaredCheck(
            "state",
            f"A state dict of {{part}} loads here, {SAME}",
            BetweenPins("State dict", PLAIN_TENSORS),
        ),
        DeclaredCheck(
            "state_legacy",
            f"A state dict of {{part}} in the format before 1.6 loads here, {SAME}",
            BetweenPins("State dict, format before 1.6 (no zip file)", PLAIN_TENSORS),
        ),
        DeclaredCheck(
            "state_weights_only",
            f"A state dict of {{part}} loads here with weights_only=True, {SAME}",
            BetweenPins("State dict, weights_only=True", PLAIN_TENSORS),
            gates=False,
        ),
        DeclaredCheck(
            "checkpoint",
            f"A checkpoint of {{part}} with a number of numpy in it loads here, {SAME}",
            BetweenPins(
                "Checkpoint of a script: state dict, epoch, and the best mAP as a numpy number",
                f"{OWN_FILES}: say so for files of your own, or save float(number) in place of a numpy number.",
            ),
            gates=False,
        ),
        DeclaredCheck(
            "module",
            f"A whole module of {{part}} loads here by default, {SAME}",
            BetweenPins("Whole module, loaded by default", f"{OWN_FILES}: say so for files that you trust. {REBUILD}"),
            gates=False,
        ),
        DeclaredCheck(
            "module_legacy",
            f"A whole module of {{part}} in the format before 1.6 loads here by default, {SAME}",
            BetweenPins(
                "Whole module, format before 1.6, loaded by default",
                f"{OWN_FILES}: say so for files that you trust. {REBUILD}",
            ),
            gates=False,
        ),
        DeclaredCheck(
            "module_trusted",
            f"A whole module of {{part}} loads here with weights_only=False, {SAME}",
            BetweenPins("Whole module, weights_only=False", REBUILD),
            gates=False,
        ),
        DeclaredCheck(
            "sgd",
            f"The state of SGD of {{part}} loads here, {SAME}",
            BetweenPins("Weights and SGD with momentum", BEGIN_ANEW),
        ),
        DeclaredCheck(
            "adam",
            f"The state of Adam of {{part}} loads here, {SAME}",
            BetweenPins("Weights and Adam", BEGIN_ANEW),
        ),
        DeclaredCheck(
            "adamw",
            f"The state of AdamW of {{part}} loads here, {SAME}",
            BetweenPins("Weights and AdamW", BEGIN_ANEW),
        ),
        DeclaredCheck(
            "scaler",
            f"The state of a loss scaler of {{part}} loads here, {SAME}",
            BetweenPins(
                "Loss scaler", "Begin with a new scaler: it leaves some steps out until it has found its scale again."
            ),
            gates=False,
        ),
        DeclaredCheck(
            "traced",
            f"TorchScript that {{part}} has traced loads here, {SAME}",
            BetweenPins("TorchScript, traced", NEW_EXPORT),
            gates=False,
        ),
        DeclaredCheck(
            "scripted",
            f"TorchScript that {{part}} has compiled from source loads here, {SAME}",
            BetweenPins("TorchScript, scripted", NEW_EXPORT),
            gates=False,
        ),
    ),
)
