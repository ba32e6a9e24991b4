"""The weights that runs are given: made ready once, the same ones for every pin, and what may be done with them."""

import io
import sys
from pathlib import Path

import msgspec
import pytest
import torch
from msgspec.structs import replace

from harness.cell import given
from harness.cell.answering import answer_request
from harness.cell.data.shapes import make_shapes
from harness.cell.given import given_network, network_as_given, network_to_train, prepare
from harness.cell.model import load_model, make_network
from harness.cell.progress import Progress
from harness.cell.weights import weights_digest
from harness.cell.weights_file import About, read_weights, write_weights
from harness.core.errors import UsageError
from harness.core.preparation import WeightsAnswer, WeightsRequest
from harness.core.settings import Shapes
from harness.core.spec import Data

SILENT = Progress(None)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("shapes")


@pytest.fixture(scope="module")
def shapes(folder):
    return make_shapes(folder, Shapes(images=8, validation=4, size=64))


@pytest.fixture
def asked(spec, shapes, folder, tmp_path):
    """A request to prepare weights: a training of one step, or the file that the test names."""

    def ask(file=None, classes="same", epochs=1):
        data = Data(name=shapes.name, digest=shapes.digest)
        own = replace(spec, case="", data=data, train=replace(spec.train, epochs=epochs), settings=None)
        file = str(file) if file else None
        return WeightsRequest(own, str(folder / "index.json"), file, classes == "same", str(tmp_path / "cache"))

    return ask


@pytest.fixture
def written(spec, tmp_path):
    """A file with the weights of a seed, for so many classes."""

    def write(classes=3, seed=5):
        path = tmp_path / f"{classes}-classes.safetensors"
        write_weights(path, make_network(replace(spec, seed=seed), classes).state_dict(), About(spec.model.name, ()))
        return path

    return write


@pytest.fixture
def run_with(run_of, spec, folder):
    """A run of a case that is given what was prepared."""

    def run(made, **changed):
        return run_of(replace(spec, weights=made.weights, **changed), folder / "index.json", weights=made.path)

    return run


def test_a_run_gets_the_users_weights_as_they_are(asked, written, run_with, spec):
    made = prepare(asked(written()), SILENT)
    found = network_as_given(run_with(made))
    assert weights_digest(found) == weights_digest(make_network(replace(spec, seed=5), 3)) == made.weights.digest
    assert made.weights.name == "3-classes.safetensors"
    assert made.said.startswith("safetensors of 3 classes and 9,744,914 parameters")


def test_the_controls_are_moved_by_one_rounding(asked, written, run_with):
    made = prepare(asked(written()), SILENT)
    plain, nudged = (given_network(run_with(made, nudged=nudged)) for nudged in (False, True))
    assert weights_digest(plain) == made.weights.digest != weights_digest(nudged)
    for one, other in zip(plain.parameters(), nudged.parameters()):
        assert torch.allclose(one, other, rtol=2e-7, atol=0)


def test_without_a_file_the_baseline_is_trained_once_and_its_average_is_what_is_given(asked, run_with, monkeypatch):
    trainings = []

    def watched(*arguments):
        trainings.append(given_train_loop(*arguments))
        return trainings[-1]

    given_train_loop = given.train_loop
    monkeypatch.setattr(given, "train_loop", watched)
    first, second = (prepare(asked(), SILENT) for _ in range(2))
    assert first == second
    assert len(trainings) == 1
    assert first.weights.digest == weights_digest(network_as_given(run_with(first)))
    assert prepare(asked(epochs=2), SILENT).weights.digest != first.weights.digest


def test_a_training_is_done_again_where_its_file_was_harmed(asked):
    made = prepare(asked(), SILENT)
    Path(made.path).write_bytes(Path(made.path).read_bytes()[:-4])
    assert prepare(asked(), SILENT) == made
    assert read_weights(Path(made.path)).entries


def test_a_run_refuses_weights_that_are_not_the_prepared_ones(asked, written, run_with):
    made = prepare(asked(written()), SILENT)
    Path(made.path).write_bytes(written(seed=6).read_bytes())
    with pytest.raises(UsageError, match="holds other weights than were prepared"):
        network_as_given(run_with(made))


def test_weights_for_other_classes_than_the_datas_are_refused_where_they_are_only_evaluated(asked, written):
    with pytest.raises(UsageError, match="are of 2 classes, and the data set shapes has 3"):
        prepare(asked(written(classes=2)), SILENT)


def test_weights_of_another_model_are_named_with_their_file(asked, tmp_path, spec):
    write_weights(tmp_path / "other.safetensors", {"0.weight": torch.ones(2)}, About("other", ()))
    with pytest.raises(UsageError, match=r"other\.safetensors: The weights are not those of YOLOv9-S"):
        prepare(asked(tmp_path / "other.safetensors"), SILENT)


def test_a_training_keeps_of_weights_for_other_classes_all_that_fits_and_draws_the_rest(asked, written, run_with, spec):
    made = prepare(asked(written(classes=2), classes="any"), SILENT)
    network, lacking = network_to_train(run_with(made))
    theirs, drawn = read_weights(Path(made.path)).entries, make_network(spec, 3).state_dict()
    for name, entry in network.state_dict().items():
        source = theirs if theirs[name].shape == entry.shape else drawn
        assert torch.equal(entry, source[name]), name
    assert lacking.startswith("the weights are of 2 classes: drawn anew are model.29.cv3.0.2.weight")


def test_the_network_for_inference_cannot_be_trained(asked, spec, run_with, tmp_path):
    entries = converted(make_network(spec, 3).state_dict())
    write_weights(tmp_path / "converted.safetensors", entries, About(spec.model.name, ()))
    made = prepare(asked(tmp_path / "converted.safetensors"), SILENT)
    with pytest.raises(UsageError, match="cannot be trained"):
        network_to_train(run_with(made))


def converted(entries):
    """The entries of a training form under the names of the converted one."""
    heads = {"cv4": "cv2", "cv5": "cv3", "dfl2": "dfl"}
    found = {}
    for name, entry in entries.items():
        _, layer, part, *rest = name.split(".")
        if int(layer) <= 21:
            found[name] = entry
        elif layer == "29" and part in heads:
            found[".".join(["model", "22", heads[part], *rest])] = entry
    return found


def test_classes_of_other_names_are_pointed_out():
    assert given.unlike(["a", "b"], ["a", "c"]) == [
        "its class 1 is 'b' and the data set's 'c', so look whether they are of the same classes in the same order"
    ]
    assert given.unlike(None, ["a"]) == given.unlike(["a"], ["a"]) == []


def test_the_program_answers_with_weights_or_with_the_sentence_that_says_what_is_wrong(
    asked, written, tmp_path, monkeypatch
):
    def answer_to(request):
        monkeypatch.setattr(sys, "argv", ["given", "--answer", str(tmp_path / "answer.json")])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(request)))
        code = answer_request("harness.cell.given", given.answer_to)
        return code, msgspec.json.decode((tmp_path / "answer.json").read_bytes(), type=WeightsAnswer)

    code, answer = answer_to(msgspec.json.encode(asked(written())))
    assert (code, answer.problem) == (0, None)
    code, answer = answer_to(msgspec.json.encode(asked(tmp_path / "nothing.pt")))
    assert (code, answer.given) == (2, None)
    assert "nothing.pt" in answer.problem


def test_a_cache_that_cannot_be_written_is_named(asked, written, tmp_path):
    (tmp_path / "cache").touch()
    with pytest.raises(UsageError, match=r"The cache folder .*cache cannot be written"):
        prepare(asked(written()), SILENT)


def test_trained_weights_load_into_the_deployed_network_of_the_model(asked, run_with, spec):
    network = network_as_given(run_with(prepare(asked(), SILENT)))
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert len(load_model(spec.model).deployed(network)(images)) == 3
