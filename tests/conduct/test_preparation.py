"""How the data set is had prepared: what is asked and answered, and what is left behind."""

from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from harness.conduct import preparation
from harness.conduct.machine import Site
from harness.conduct.planning import plan
from harness.conduct.preparation import SCRATCH, prepare_data
from harness.conduct.process import Exit
from harness.conduct.request import Request
from harness.core.dataset import Part, Summary
from harness.core.errors import UsageError
from harness.core.files import write_atomically
from harness.core.preparation import PrepareAnswer, Prepared
from harness.core.spec import Data

PART = Part(pictures=3, boxes=4, classes=1, backgrounds=0, suffixes={".jpg": 3})
FOUND = Prepared(Data(name="shapes", digest="abc"), index="index.json", summary=Summary(1, PART, PART))


class Silent:
    def __init__(self):
        self.said = []

    def note(self, sentence):
        pass

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
