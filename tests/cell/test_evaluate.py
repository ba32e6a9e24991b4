"""The case `evaluate`: what given weights find, scored as COCO's tools do."""

import gzip
import json

import pytest
import torch
from msgspec.structs import replace

from cases.evaluate.body import measure
from harness.cell.data.shapes import make_shapes
from harness.cell.given import prepare
from harness.cell.progress import Progress
from harness.cell.scoring import figures
from harness.core.preparation import WeightsRequest
from harness.core.settings import Shapes
from harness.core.spec import Data


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("shapes")


@pytest.fixture(scope="module")
def trained(spec, matrix, folder):
    """A spec of the case, and weights of a training that finds something."""
    torch.set_num_threads(1)
    index = make_shapes(folder, Shapes(images=32, validation=8, size=64))
    train = replace(spec.train, epochs=6, batch=4)
    spec = replace(spec, case="evaluate", settings=None, data=Data(index.name, index.digest), train=train)
    request = WeightsRequest(spec, str(folder / "index.json"), None, True, str(folder / "cache"))
    made = prepare(request, Progress(None))
    return replace(spec, weights=made.weights), made.path


@pytest.fixture
def measured(trained, folder, run_of, tmp_path):
    spec, path = trained
    return measure(run_of(spec, folder / "index.json", tmp_path / "0.json", weights=path))


def test_the_figures_are_cocos_of_the_files_that_are_kept(measured, tmp_path):
    truth, found = (
        json.loads(gzip.decompress((tmp_path / measured.files[name]).read_bytes()))
        for name in ("ground-truth", "detections")
    )
    values = {metric.name: metric.samples[0] for metric in measured.metrics}
    expected = dict(zip(("given_map50_95", "given_map50", "given_map75"), figures(truth, found)))
    assert {name: values[name] for name in expected} == expected
    assert values["given_map50"] > 0


def test_it_is_the_given_weights_that_are_evaluated_and_another_time_gives_the_same(
    measured, trained, folder, run_of, tmp_path
):
    spec, path = trained
    again = measure(run_of(replace(spec, round=1, seed=1), folder / "index.json", tmp_path / "1.json", weights=path))
    assert measured.hashes.initial_weights == spec.weights.digest
    assert again.fingerprints == measured.fingerprints
