"""How the data set is had prepared: what is asked and answered, and what is left behind."""

from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from harness.conduct import preparation
from harness.conduct.machine import Site
from harness.conduct.planning import plan
from harness.conduct.preparation import SCRATCH, prepare_data, prepare_weights
from harness.conduct.process import Exit
from harness.conduct.request import Request
from harness.core.dataset import Part, Summary
from harness.core.errors import UsageError
from harness.core.files import write_atomically
from harness.core.preparation import GivenWeights, PrepareAnswer, Prepared, WeightsAnswer, WeightsRequest
from harness.core.spec import Data, Weights

PART = Part(pictures=3, boxes=4, classes=1, backgrounds=0, suffixes={".jpg": 3})
FOUND = Prepared(Data(name="shapes", digest="abc"), index="index.json", summary=Summary(1, PART, PART))


class Silent:
    def __init__(self):
        self.said, self.notes = [], []

    def note(self, sentence):
        self.notes.append(sentence)

    def say(self, text):
        self.said.append(text)


@pytest.fixture
def prepared(tmp_path, matrix, policy, monkeypatch):
    """Have the data of the quick profile prepared by a process that answers as the test says."""

    def prepare(answer=None, error=None, cases=(), board=None, **more):
        def run_process(command, **_):
            path = Path(command[-1])
            assert path.is_relative_to(tmp_path)  # nothing lies where a kill would leave it for good
            assert list(path.parent.iterdir()) == []
            if answer:
                write_atomically(path, msgspec.json.encode(answer))
            if error:
                raise error
            return Exit(2, None, None)

        monkeypatch.setattr(preparation, "run_process", run_process)
        made = plan(Request(profile="quick", cases=cases, **more), matrix, policy, Site("cpu", "cpu", ""))
        return prepare_data(Path("python"), made, tmp_path, board or Silent())

    return prepare


def test_every_case_has_its_data_and_nothing_else_is_left(prepared, tmp_path):
    assert prepared(PrepareAnswer(prepared=FOUND), cases=("train", "soak")) == {"train": FOUND, "soak": FOUND}
    assert not (tmp_path / SCRATCH).exists()


def test_what_the_users_own_set_holds_is_said_once(prepared):
    board = Silent()
    prepared(PrepareAnswer(prepared=FOUND), cases=("train", "soak"), board=board, data=Path("data.yaml"))
    assert board.said == ["data set shapes:", *(f"  {line}" for line in FOUND.summary.in_words())]


def test_of_the_embedded_shapes_nothing_is_said(prepared):
    board = Silent()
    prepared(PrepareAnswer(prepared=FOUND), board=board)
    assert board.said == []


def test_what_a_killed_matrix_left_is_no_answer(prepared, tmp_path):
    (tmp_path / SCRATCH).mkdir()
    (tmp_path / SCRATCH / "answer.json").write_bytes(
        msgspec.json.encode(PrepareAnswer(prepared=replace(FOUND, index="old.json")))
    )
    assert prepared(PrepareAnswer(prepared=FOUND))["train"] == FOUND


def test_bad_data_end_with_the_sentence_that_says_so(prepared, tmp_path):
    problem = ["1 picture cannot be used:", "a.jpg: torn"]
    with pytest.raises(UsageError) as caught:
        prepared(PrepareAnswer(problem=problem))
    assert [*caught.value.args] == problem
    with pytest.raises(UsageError, match="could not be prepared: The process ended with exit code 2"):
        prepared()
    assert not (tmp_path / SCRATCH).exists()


def test_an_interrupt_leaves_nothing(prepared, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        prepared(error=KeyboardInterrupt())
    assert not (tmp_path / SCRATCH).exists()


# --- weights --------------------------------------------------------------------------------------------------------

GIVEN = GivenWeights(Weights("small.pt", "f00"), "cache/f00.safetensors", "a state dict of 3 classes")


@pytest.fixture
def weights(tmp_path, matrix, policy, monkeypatch):
    """Have the weights of some cases prepared by a process that answers as the test says; and what it was asked."""
    asked = []

    def prepare(*cases, answer=None, board=None, **more):
        def run_process(command, *, stdin, listen, **_):
            listen({"phase": "training", "epoch": 0, "step": 4})
            listen({"phase": "evaluating", "batch": 0})
            asked.append(msgspec.json.decode(stdin, type=WeightsRequest))
            write_atomically(Path(command[-1]), msgspec.json.encode(answer or WeightsAnswer(given=GIVEN)))
            return Exit(0, None, None)

        monkeypatch.setattr(preparation, "run_process", run_process)
        made = plan(Request(profile="serving", cases=cases, **more), matrix, policy, Site("cpu", "cpu", ""))
        data = dict.fromkeys(made.cases, FOUND)
        return prepare_weights(Path("python"), made, data, tmp_path, board or Silent()), asked

    return prepare


def test_a_case_that_is_given_weights_has_those_of_a_training_of_the_baseline(weights):
    board = Silent()
    found, asked = weights("evaluate", board=board)
    assert found == {"evaluate": GIVEN}
    assert (asked[0].file, asked[0].spec.pin.name, asked[0].spec.data) == (None, "1.10.0", FOUND.data)
    assert board.said == ["weights small.pt: a state dict of 3 classes"]
    assert board.notes == ["training the weights on 1.10.0", "training the weights on 1.10.0: epoch 1 of 4, step 5"]


def test_the_users_weights_are_read_in_their_place(weights, tmp_path):
    (tmp_path / "small.pt").touch()
    _, asked = weights("evaluate", weights=tmp_path / "small.pt")
    assert (asked[0].file, asked[0].same_classes) == (str(tmp_path / "small.pt"), True)


def test_a_training_begins_with_the_users_weights_and_else_draws_its_own(weights, tmp_path):
    (tmp_path / "small.pt").touch()
    assert weights("train")[0] == {}
    found, asked = weights("train", weights=tmp_path / "small.pt")
    assert found == {"train": GIVEN}
    assert not asked[0].same_classes


def test_cases_that_train_alike_share_one_training_whatever_else_they_are_told(weights):
    found, asked = weights("inference", "evaluate", "export", rounds=3)
    assert len(asked) == 1
    assert found == dict.fromkeys(("inference", "evaluate", "export"), GIVEN)


def test_weights_that_cannot_be_used_end_with_the_sentence_that_says_why(weights, tmp_path):
    with pytest.raises(UsageError, match="is truncated"):
        weights("evaluate", answer=WeightsAnswer(problem="small.pt is truncated: copy it anew."))
    assert not (tmp_path / SCRATCH).exists()
