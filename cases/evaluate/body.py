"""The body of the case `evaluate`."""

from __future__ import annotations

import time

import torch

from harness.cell.data.batches import EvaluationBatches
from harness.cell.evaluate import detect
from harness.cell.given import network_as_given
from harness.cell.measured import Measured
from harness.cell.model import load_model
from harness.cell.results import keep_detections
from harness.cell.run import Run
from harness.cell.scoring import digest_of_detections, score


def measure(run: Run) -> Measured:
    """Evaluate once; detections and what they were scored against lie beside the record."""
    spec, data = run.spec, run.data
    network = network_as_given(run)
    measured = run.measured(run.given.digest)
    began = time.monotonic()
    with EvaluationBatches(data.val, spec.train.image_size, spec.train.batch, spec.train.workers) as batches:
        device, amp = torch.device(spec.device), spec.precision == "amp"
        found = detect(load_model(spec.model), network, batches, device, amp, run.progress)
    measured.measuring = time.monotonic() - began
    measured.keep_metric("evaluation_time", [measured.measuring])
    scores = score(data.val, data.classes, found)._asdict()
    for name in ("map50", "map75", "map50_95"):
        measured.keep_metric(f"given_{name}", [scores[name]])
    measured.keep_fingerprint("given_detections", digest_of_detections(found))
    keep_detections(measured, run, data.val, found)
    return measured
