"""The case `evaluate`: what given weights find, scored as COCO's tools do."""

import gzip
import json

import numpy
import pytest
import torch
from msgspec.structs import replace

from cases.evaluate import body
from cases.evaluate.body import measure
from harness.cell.data.index import read_index
from harness.cell.model import make_network
from harness.cell.scoring import figures
from harness.cell.weights import weights_digest
from harness.cell.weights_file import About, write_weights
from harness.core.spec import Data, Weights
from tests import coco_sets


@pytest.fixture
def run(spec, run_of, tmp_path):
    """A run on a user's COCO set, with the weights of a seed."""
    torch.set_num_threads(1)
    path = coco_sets.prepared(coco_sets.draw(1)[0], tmp_path)
    index = read_index(path)
    network = make_network(spec, len(index.classes))
    write_weights(tmp_path / "w.safetensors", network.state_dict(), About("yolov9-s", tuple(index.classes)))
    data, weights = Data(index.name, index.digest), Weights("w", weights_digest(network))
    own = replace(spec, case="evaluate", settings=None, data=data, weights=weights)
    return run_of(own, path, tmp_path / "0.json", weights=str(tmp_path / "w.safetensors"))


def test_the_figures_are_cocos_of_the_files_that_are_kept(run, tmp_path, monkeypatch):
    monkeypatch.setattr(body, "detect", lambda *_: numpy.array(coco_sets.draw(1)[1]))
    measured = measure(run)
    truth, found = (
        json.loads(gzip.decompress((tmp_path / measured.files[name]).read_bytes()))
        for name in ("ground-truth", "detections")
    )
    values = {metric.name: metric.samples[0] for metric in measured.metrics}
    expected = dict(zip(("given_map50_95", "given_map50", "given_map75"), figures(truth, found)))
    assert {name: values[name] for name in expected} == expected
    assert 0 < values["given_map75"] < values["given_map50"]


def test_it_is_the_given_weights_that_are_evaluated_and_another_time_gives_the_same(run):
    first, second = measure(run), measure(run)
    assert first.hashes.initial_weights == run.spec.weights.digest
    assert first.fingerprints == second.fingerprints
    assert [metric.samples for metric in first.metrics[1:]] == [metric.samples for metric in second.metrics[1:]]
