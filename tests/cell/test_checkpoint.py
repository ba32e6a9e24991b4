"""Checkpoints: a training that is resumed from one goes on bit for bit as if it had never ended."""

import msgspec
import pytest
import torch

from harness.cell.checkpoint import CheckpointError, Checkpoints, read_checkpoint, resume, state_of, write_checkpoint
from harness.cell.data.shapes import make_shapes
from harness.cell.progress import Progress
from harness.cell.train import Hook, Position, make_loop, train
from harness.core.checkpoints import FORMAT, read_header
from harness.core.settings import Shapes
from harness.core.spec import Data

SILENT = Progress(None)


class KilledError(Exception):
    """Stands for a kill: nothing after it runs."""


class KilledAt(Checkpoints):
    """Keeps a checkpoint after every step and is killed after that of `position`."""

    def __init__(self, path, position):
        super().__init__(path, steps=1)
        self.position = position

    def after_update(self, loop, following):
        if super().after_update(loop, following) and following == self.position:
            raise KilledError
        return True


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    return make_shapes(tmp_path_factory.mktemp("shapes") / "set", Shapes(images=16, validation=4, size=64))


@pytest.fixture(scope="module")
def tiny(spec, shapes):
    """Two epochs of two batches."""
    torch.set_num_threads(1)
    data = Data(name=shapes.name, digest=shapes.digest)
    return msgspec.structs.replace(spec, data=data, train=msgspec.structs.replace(spec.train, epochs=2))


@pytest.fixture(scope="module")
def whole(tiny, shapes):
    """What a training leaves that is never killed."""
    return train(tiny, shapes, SILENT)


@pytest.fixture(scope="module")
def content(tiny, shapes, tmp_path_factory):
    """The checkpoint of a training that was killed after its first step."""
    path = tmp_path_factory.mktemp("killed") / "0.checkpoint"
    with pytest.raises(KilledError):
        train(tiny, shapes, SILENT, KilledAt(path, Position(0, 1)))
    return path.read_bytes()


@pytest.fixture
def kept(content, tmp_path):
    """The same as a file that a test may harm."""
    path = tmp_path / "0.checkpoint"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("position", [Position(0, 1), Position(0, 2), Position(1, 1)])
def test_a_resumed_training_ends_bit_for_bit_as_one_that_was_never_killed(tiny, shapes, whole, tmp_path, position):
    path = tmp_path / "0.checkpoint"
    with pytest.raises(KilledError):
        train(tiny, shapes, SILENT, KilledAt(path, position))
    resumed = train(tiny, shapes, SILENT, Checkpoints(path, steps=1))
    assert resumed.final_weights == whole.final_weights
    assert resumed.losses == whole.losses
    assert resumed.terms == whole.terms
    assert resumed.norms == whole.norms
    assert resumed.scores == whole.scores
    assert resumed.stream.hexdigest() == whole.stream.hexdigest()
    assert len(resumed.epoch_seconds) == len(resumed.memory.used()) == 2
    assert resumed.begun == [0, position.epoch]


def test_a_checkpoint_says_which_torch_wrote_it_in_which_format_and_where_to_go_on(kept, tiny):
    header, _ = read_checkpoint(kept)
    assert read_header(kept) == header
    assert (header.torch, header.format, header.epoch, header.step) == (torch.__version__, FORMAT, 0, 1)
    assert header.run == tiny.identity()


def test_what_is_restored_is_all_that_was_kept(kept, tiny, shapes):
    loop = make_loop(tiny, shapes, SILENT, Hook())
    resume(loop, kept)
    _, saved = read_checkpoint(kept)
    assert_equal(state_of(loop), saved, but="begun")


def test_a_resumed_training_still_leaves_out_a_step_whole(kept, tiny, shapes):
    loop = make_loop(tiny, shapes, SILENT, Hook())
    resume(loop, kept)
    loop.learner.statistics.keep()
    before = loop.learner.network.state_dict()[first_statistic(loop)].clone()
    loop.learner.statistics.blocks[0].add_(1)
    assert not torch.equal(loop.learner.network.state_dict()[first_statistic(loop)], before)
    loop.learner.statistics.restore()
    assert torch.equal(loop.learner.network.state_dict()[first_statistic(loop)], before)


def first_statistic(loop):
    return next(name for name in loop.learner.network.state_dict() if name.endswith("running_mean"))


@pytest.mark.parametrize("harm", ["cut", "flip", "empty", "text", "missing"])
def test_a_harmed_checkpoint_is_refused_by_a_sentence(kept, harm):
    content = kept.read_bytes()
    if harm == "missing":
        kept.unlink()
    else:
        kept.write_bytes(
            {
                "cut": content[:-1],
                "flip": content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
                "empty": b"",
                "text": b"hello\nworld",
            }[harm]
        )
    with pytest.raises(CheckpointError, match=str(kept)):
        read_checkpoint(kept)


def test_a_checkpoint_of_another_format_is_refused_by_name(kept):
    kept.write_bytes(kept.read_bytes().replace(b'"format":%d' % FORMAT, b'"format":7', 1))
    with pytest.raises(CheckpointError, match=f"of format 7, this version reads format {FORMAT}"):
        read_checkpoint(kept)


def test_a_checkpoint_of_another_run_is_refused(kept, tiny, shapes):
    other = make_loop(msgspec.structs.replace(tiny, seed=1), shapes, SILENT, Hook())
    with pytest.raises(CheckpointError, match="another run"):
        resume(other, kept)


def test_a_checkpoint_that_is_not_finished_leaves_the_one_before_it(kept, tiny, shapes, monkeypatch):
    before = kept.read_bytes()
    loop = make_loop(tiny, shapes, SILENT, Hook())
    monkeypatch.setattr("harness.core.files.os.fsync", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_checkpoint(kept, loop, Position(1, 0))
    assert kept.read_bytes() == before
    assert list(kept.parent.iterdir()) == [kept]


def assert_equal(one, other, but):
    """Nested states, tensors bit for bit."""
    assert type(one) is type(other) or {type(one), type(other)} == {list, tuple}
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            if name != but:
                assert_equal(one[name], other[name], but)
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for mine, theirs in zip(one, other):
            assert_equal(mine, theirs, but)
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    else:
        assert one == other
