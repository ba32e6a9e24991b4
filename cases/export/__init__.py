"""Exports the deployed model to ONNX and has the file read elsewhere.

Shows whether what is deployed can still be made with another version, and whether it is the same: the file has to
export, to pass onnx's checker, and to give torch's own boxes and scores in onnxruntime, at a second size too where its
size is dynamic. All files are read in one environment, the same for all pins, so that what differs comes from the
exporter. The time of a run, the size of the file and its operators are compared; whether OpenCV reads it is told.
"""

from __future__ import annotations

from typing import Annotated, Literal, Optional

from msgspec import Meta

from harness.core.declaration import Case, DeclaredCheck, DeclaredFingerprint, DeclaredMetric, Parameter
from harness.core.settings import CaseSettings, PictureSize, Positive, TrainSettings

Asked = Literal["default opset", "common opset", "common opset by TorchScript"]


class Settings(CaseSettings, frozen=True, kw_only=True):
    """What is exported, and how it is read. The weights are given."""

    size: PictureSize
    """Pixels of the picture that is exported with."""
    second_size: PictureSize
    """Pixels of the one that a file of dynamic size has to take as well."""
    shapes: Annotated[tuple[Literal["fixed", "dynamic"], ...], Meta(min_length=1)] = ("fixed", "dynamic")
    """Whether the file is for pictures of that size alone."""
    asked: Annotated[tuple[Asked, ...], Meta(min_length=1)] = ("default opset", "common opset")
    """What torch.onnx.export is asked for: the opset that the version chooses, one that all versions have, or that one
    by TorchScript, which is the default before torch 2.9."""
    common: Annotated[int, Meta(ge=7, le=30)]
    """The opset that all versions have."""
    runs: Positive
    """Timed runs in onnxruntime, after some that warm up."""
    allowed: Annotated[float, Meta(gt=0.0, le=1.0)]
    """How far boxes or scores may be from torch's, as a share of the largest."""

    def problem(self, train: TrainSettings) -> Optional[str]:  # noqa: ARG002
        """The second size is another one."""
        return "its second_size is its size: name another one" if self.second_size == self.size else None


BY = ("shape", "asked")

CASE = Case(
    settings=Settings,
    helpers=("onnx",),
    weights="given",
    parameters=(
        Parameter("shape", "", "shapes", "size"),
        Parameter("asked", "", "asked"),
    ),
    metrics=(
        DeclaredMetric("export_time", "Time of an export", "s", "ratio", by=BY, margin=0.2),
        DeclaredMetric("file_size", "PictureSize of the exported file", "bytes", "ratio", by=BY, margin=0.02),
        DeclaredMetric("run_time", "Time of a run in onnxruntime", "s", "ratio", shown="ms", by=BY, margin=0.05),
        DeclaredMetric(
            "output_error", "Largest difference to torch in onnxruntime", "ratio", "ratio", by=BY, margin=9.0
        ),
        DeclaredMetric("nodes", "Nodes of the exported graph", "nodes", "difference", by=BY),
    ),
    checks=(
        DeclaredCheck("exports", "It exports: {part}"),
        DeclaredCheck("valid", "The file passes onnx's checker: {part}"),
        DeclaredCheck("agrees", "onnxruntime gives torch's boxes and scores: {part}"),
        DeclaredCheck("resizes", "It does so at a second size: {part}"),
        DeclaredCheck("opencv", "OpenCV reads the file and gives the same: {part}", gates=False),
    ),
    fingerprints=(
        DeclaredFingerprint(
            "opset", "Opset", counted="file", by_name=True, differs="each version has a default of its own"
        ),
        DeclaredFingerprint("operators", "Operators", counted="operator", by_name=True),
    ),
)
