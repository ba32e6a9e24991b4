"""Files of weights: every form comes back in all bits, and nothing of a file is ever run."""

from __future__ import annotations

import os
import pickle
import random
import sys
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from harness.cell.weights_file import About, read_weights, write_weights
from harness.core.errors import UsageError
from tests.cell.releases import parts_of, save_release, standing_in, write_parts

CLASSES = {"Net": "models.yolo.DetectionModel", "Block": "models.common.Conv"}


class Block(nn.Module):
    """A convolution, a norm, and buffers of which one is not saved and one is not there."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, bias=False)
        self.bn = nn.BatchNorm2d(4)
        self.register_buffer("scale", torch.arange(6).view(2, 3).t())
        self.register_buffer("passing", torch.ones(2), persistent=False)
        self.register_buffer("absent", None)
        self.add_module("nothing", None)


class Net(nn.Module):
    """Two blocks, of which one is there twice."""

    def __init__(self):
        super().__init__()
        self.model = nn.Sequential(Block(), nn.SiLU(), Block())
        self.again = self.model[0].conv
        self.names = {0: "circle", 1: "sq\u00fc\u00e4re"}
        self.stride = torch.tensor([8.0, 16.0, 32.0])


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Net().half()


@pytest.fixture(scope="module")
def good(network, tmp_path_factory):
    """A checkpoint as it is released, whose classes cannot be imported."""
    path = tmp_path_factory.mktemp("good") / "release.pt"
    value = {"best_fitness": np.array([0.468]), "opt": {"save": Path("runs"), "seen": {1}}, "date": "2024", "ema": None}
    save_release({"epoch": -1, "model": as_upstream(network), **value}, path)
    return path


def as_upstream(network):
    return standing_in(network, CLASSES, {})


def assert_same(entries, expected):
    """Names in order, types, shapes and bits."""
    assert list(entries) == list(expected)
    for name, entry in entries.items():
        assert entry.dtype == expected[name].dtype, name
        assert entry.shape == expected[name].shape, name
        assert torch.equal(entry, expected[name]), name


# What is read


def test_a_released_checkpoint_is_read_without_its_classes(good, network):
    weights = read_weights(good)
    assert (weights.form, weights.classes) == ("checkpoint", ("circle", "sq\u00fc\u00e4re"))
    assert_same(weights.entries, network.state_dict())
    with pytest.raises((ModuleNotFoundError, pickle.UnpicklingError)):
        torch.load(good)


def test_the_average_of_a_checkpoint_goes_before_the_trained_network(network, tmp_path):
    average = Net()
    path = tmp_path / "last.pt"
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9).state_dict()
    save_release({"model": as_upstream(network), "ema": as_upstream(average), "optimizer": optimizer}, path)
    assert_same(read_weights(path).entries, average.state_dict())


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol_of_pickle_that_files_have_is_read(network, tmp_path, protocol):
    path = tmp_path / "release.pt"
    save_release({"model": as_upstream(network), "found": {1, 2}}, path, pickle_protocol=protocol)
    assert_same(read_weights(path).entries, network.state_dict())


@pytest.mark.parametrize("wrapped", [dict, lambda state: {"model": state}, lambda state: {"state_dict": state, "a": 1}])
def test_a_plain_state_dict_is_read_also_within_a_dictionary(network, tmp_path, wrapped):
    path = tmp_path / "state.bin"
    torch.save(wrapped(network.state_dict()), path)
    weights = read_weights(path)
    assert (weights.form, weights.classes) == ("state dict", None)
    assert_same(weights.entries, network.state_dict())


@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod.", "module._orig_mod."])
def test_what_wraps_a_network_that_is_trained_is_no_part_of_its_names(network, tmp_path, wrapper):
    path = tmp_path / "wrapped.pt"
    torch.save({f"{wrapper}{name}": entry for name, entry in network.state_dict().items()}, path)
    assert_same(read_weights(path).entries, network.state_dict())


def test_views_shared_storages_and_every_type_come_back_in_all_bits(tmp_path):
    whole = torch.arange(24.0).view(2, 3, 4)
    state = {
        "whole": whole,
        "turned": whole.permute(2, 0, 1),
        "cut": whole[1, ::2, 1:3],
        "parameter": nn.Parameter(whole[0].clone()),
        "number": torch.tensor(3),
        "empty": torch.empty(0),
        **{str(kind): torch.tensor([0, 1, 100]).to(kind) for kind in (
            torch.float64, torch.float16, torch.bfloat16, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool,
        )},
    }  # fmt: skip
    path = tmp_path / "state.pt"
    torch.save(state, path)
    entries = read_weights(path).entries
    assert_same(entries, state)
    assert entries["whole"].data_ptr() == entries["turned"].data_ptr()


def test_written_weights_are_read_in_all_bits_with_the_names_of_their_classes(network, tmp_path):
    path = tmp_path / "new" / "weights.safetensors"
    state = {**network.state_dict(), "cut": torch.arange(24.0).view(4, 6)[:, 1:3], "seen": torch.tensor(7)}
    write_weights(path, state, About(model="net", classes=("a", "\u00fc")))
    weights = read_weights(path)
    assert (weights.form, weights.classes) == ("safetensors", ("a", "\u00fc"))
    assert_same({name: weights.entries[name] for name in state}, state)
    assert weights.entries.keys() == state.keys()
    assert b'"model":"net"' in path.read_bytes()[:5000]


def test_weights_are_written_whole_or_not_at_all(network, tmp_path, monkeypatch):
    path = tmp_path / "weights.safetensors"
    about = About(model="net", classes=())
    write_weights(path, {"a": torch.ones(1)}, about)
    monkeypatch.setattr("harness.core.files.os.fsync", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_weights(path, network.state_dict(), about)
    assert list(read_weights(path).entries) == ["a"]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a", "b"], ("a", "b")),
        ({1: "b", 0: "a"}, ("a", "b")),
        ({1: "a", 2: "b"}, None),
        (["a", 3], None),
        (["\udcff"], None),
        ([], None),
        ("ab", None),
    ],
)
def test_names_of_classes_are_a_list_or_a_dictionary_by_number(network, tmp_path, names, expected):
    made = as_upstream(network)
    made.names = names
    save_release({"model": made}, tmp_path / "release.pt")
    assert read_weights(tmp_path / "release.pt").classes == expected


# What is refused: each kind of file that asks for something to be run, with proof that the file would


class Reduced:
    """Pickles as a call of a function with arguments."""

    def __init__(self, function, *arguments):
        self.made = (function, arguments)

    def __reduce__(self):
        return self.made

    def __call__(self):
        """Pickle wants a function that can be called."""


class Restored:
    """Runs a command when its state is set."""

    def __setstate__(self, state):
        os.system(state["command"])


class Derived(dict):
    """A dictionary that runs a command when an item is set."""

    def __setitem__(self, key, value):
        os.system(value)


def restored(command):
    made = Restored()
    made.command = command
    return made


def in_array(command):
    """A pickle within an array of objects."""
    array = np.empty(1, dtype=object)
    array[0] = Reduced(os.system, command)
    return array


def by_getattr(command):
    return Reduced(Reduced(getattr, Reduced(__import__, "os"), "system"), command)


def line(text):
    return b"c" + text.replace(" ", "\n").encode() + b"\n"


def text(value):
    return b"X" + len(value.encode()).to_bytes(4, "little") + value.encode()


OBJECTS = {
    "os.system": lambda command: Reduced(os.system, command),
    "eval": lambda command: Reduced(eval, f"__import__('os').system({command!r})"),
    "exec": lambda command: Reduced(exec, f"import os; os.system({command!r})"),
    "__setstate__": restored,
    "getattr": by_getattr,
    "a pickle within": lambda command: Reduced(pickle.loads, pickle.dumps(Reduced(os.system, command))),
    "an array of objects": in_array,
    "in a set": lambda command: {Reduced(os.system, command)},
    "as a key": lambda command: {Reduced(os.system, command): 1},
    "in the arguments of a tensor": lambda command: Reduced(
        torch._utils._rebuild_tensor_v2, Reduced(os.system, command), 0, (1,), (1,), False, {}
    ),
}
"""Objects that run a command when they are unpickled."""

PICKLES = {
    "os.system under another name": lambda command: line("posix system") + text(command) + b"\x85R",
    "eval under another name": lambda command: line("__builtin__ eval") + text(
        f"__import__('os').system({command!r})"
    ) + b"\x85R",
    "a name from the stack": lambda command: text("os") + text("system") + b"\x93" + text(command) + b"\x85R",
    "a chain of getters": lambda command: line("operator attrgetter") + text("system") + b"\x85R" + line(
        "importlib import_module"
    ) + text("os") + b"\x85R\x85R" + text(command) + b"\x85R",
    "the instruction INST": lambda command: b"(" + text(command) + b"ios\nsystem\n",
    "the instruction OBJ": lambda command: b"(" + line("os system") + text(command) + b"o",
    "a class with arguments": lambda command: line("models.yolo DetectionModel") + text(command) + b"\x85\x81",
    "keywords": lambda command: line("models.yolo DetectionModel") + b")" + b"}" + b"\x92",
    "torch.load": lambda command: line("torch load") + text(command) + b"\x85R",
    "a lambda": lambda command: line("cloudpickle.cloudpickle _make_function") + text(command) + b"\x85R",
    "code of torch": lambda command: line("torch.fx.graph_module reduce_graph_module") + b"}" + text(command)
    + b"\x86R",
    "a number of the registry": lambda command: b"\x82\x01" + text(command) + b"\x85R",
    "a state for a function": lambda command: line("os system") + b"}" + text("__code__") + text(command) + b"sb",
    "a state for a function of the reader": lambda command: line("collections OrderedDict")
    + b"N}" + text("__init__") + line("os system") + b"s\x86b",
    "another subclass of a dictionary": lambda command: line("tests.cell.test_weights_file Derived")
    + b")\x81" + text("key") + text(command) + b"s",
    "an ordered dictionary with arguments": lambda command: line("collections OrderedDict")
    + b"]" + text(command) + b"a\x85R",
    "a reference without a storage": lambda command: text(command) + b"Q",
    "a reference to a call": lambda command: b"(" + text("storage") + line("os system") + text("0") + text("cpu")
    + b"K\x01tQ",
    "a reference in text": lambda command: b"P" + command.encode() + b"\n",
    "a buffer that is not there": lambda command: b"\x97",
    "elements of Python": lambda command: line("numpy dtype") + text("O8") + b"\x89\x88\x87R",
}  # fmt: skip
"""Instructions of a value in a checkpoint."""

NO_CALLS = ("another subclass of a dictionary", "a reference without a storage", "a reference to a call")
"""Those that are refused before it can be seen that they lead to a call."""


@pytest.fixture
def marker(tmp_path):
    return tmp_path / "it ran"


@pytest.fixture
def command(marker):
    return f"touch '{marker}'"


def refused(path):
    """The sentence that a file is refused with."""
    with pytest.raises(UsageError) as error:
        read_weights(path)
    said = str(error.value)
    assert said.startswith(f"{path} cannot be used as weights: ")
    assert said.endswith(".")
    assert "\n" not in said
    assert len(said) < len(str(path)) + 400
    return said


def with_value(good, value, path):
    """The good checkpoint with one more value, which is a pickle without its frame: at its end, after the network."""
    parts = parts_of(good)
    assert parts["data.pkl"].endswith(b"u.")
    return write_parts(path, {**parts, "data.pkl": parts["data.pkl"][:-2] + text("more") + value + b"u."})


@pytest.mark.parametrize("kind", OBJECTS)
def test_what_would_run_when_it_is_unpickled_is_refused_and_has_not_run(good, marker, command, tmp_path, kind):
    armed = pickle.dumps(OBJECTS[kind](command), protocol=2)
    with suppress(TypeError, AttributeError):  # the command has run before what it returns is of no use
        pickle.loads(armed)
    assert marker.exists()
    marker.unlink()
    # its own memo would overwrite that of the checkpoint, which is not asked for any more
    path = with_value(good, armed[2:-1], tmp_path / "hostile.pt")
    assert "nothing in it was run" in refused(path) or kind == "__setstate__"
    assert not marker.exists()


@pytest.mark.parametrize("kind", PICKLES)
def test_every_other_way_to_a_call_is_refused_and_nothing_has_run(good, marker, command, tmp_path, kind):
    imported = set(sys.modules)
    said = refused(with_value(good, PICKLES[kind](command), tmp_path / "hostile.pt"))
    assert "nothing in it was run" in said or kind in NO_CALLS
    assert not marker.exists()
    assert not {name for name in set(sys.modules) - imported if name.startswith(("cloudpickle", "models", "torch.fx"))}


def test_the_sentence_names_what_would_have_been_called(good, command, tmp_path):
    said = refused(with_value(good, PICKLES["os.system under another name"](command), tmp_path / "hostile.pt"))
    assert "it asks to call posix.system, and nothing in it was run; take a file that holds tensors alone" in said


def test_an_object_that_is_no_module_is_refused_by_its_class(good, command, tmp_path):
    armed = pickle.dumps(restored(command), protocol=2)
    said = refused(with_value(good, armed[2:-1], tmp_path / "hostile.pt"))
    assert f"it holds a {__name__}.Restored, which is no module; take the state dict alone" in said


def test_names_that_are_not_called_are_left_alone(good, network, tmp_path):
    path = with_value(good, line("this.is.nowhere Thing"), tmp_path / "named.pt")
    assert_same(read_weights(path).entries, network.state_dict())


# What is refused: files that are not whole, or claim what is not there


def tensor(storage=b"K\x04", offset=b"K\x00", shape=b"K\x04\x85", strides=b"K\x01\x85", kind="Float", key="0"):
    """The instructions of a tensor of four numbers."""
    persistent = b"(" + text("storage") + line(f"torch {kind}Storage") + text(key) + text("cpu") + storage + b"tQ"
    return line("torch._utils _rebuild_tensor_v2") + b"(" + persistent + offset + shape + strides + b"\x89}tR"


def long(value):
    content = value.to_bytes(20, "little", signed=True)
    return b"\x8a" + bytes([len(content)]) + content


def state_file(path, instructions, content=bytes(16)):
    """A state dict of one entry."""
    pickled = b"\x80\x02}" + text("entry") + instructions + b"s."
    return write_parts(path, {"data.pkl": pickled, "data/0": content, "version": b"3\n"})


def test_the_tensor_that_the_next_test_spoils_is_read(tmp_path):
    entries = read_weights(state_file(tmp_path / "good.pt", tensor(), np.arange(4, dtype="<f4").tobytes())).entries
    assert entries["entry"].tolist() == [0, 1, 2, 3]


def test_a_parameter_with_attributes_is_read_as_its_tensor(tmp_path):
    arguments = b"(" + tensor() + b"\x88}}" + text("tag") + b"K\x01st"
    path = tmp_path / "tagged.pt"
    state_file(path, line("torch._utils _rebuild_parameter_with_state") + arguments + b"R", bytes(16))
    assert read_weights(path).entries["entry"].tolist() == [0, 0, 0, 0]


TENSORS = {
    "an offset beyond the end": {"offset": b"K\x01"},
    "a shape beyond the end": {"shape": b"K\x05\x85"},
    "strides beyond the end": {"shape": b"K\x02\x85", "strides": b"K\x04\x85"},
    "a negative offset": {"offset": b"J\xff\xff\xff\xff"},
    "a negative stride": {"strides": b"J\xff\xff\xff\xff\x85"},
    "a negative size": {"shape": b"J\xfc\xff\xff\xff\x85"},
    "a stride of 0 over a huge shape": {"shape": long(2**40) + b"\x85", "strides": b"K\x00\x85"},
    "a shape that overflows": {"shape": long(2**63) + long(2**63) + b"\x86", "strides": b"K\x00K\x00\x86"},
    "a huge shape that a 0 hides": {"shape": long(2**40) + b"K\x00\x86", "strides": b"K\x00K\x00\x86"},
    "more sizes than strides": {"shape": b"K\x02K\x02\x86"},
    "a shape of True": {"shape": b"\x88\x85"},
    "a shape that is no tuple": {"shape": b"K\x04"},
    "a storage longer than its part": {"storage": b"K\x05"},
    "a storage shorter than its part": {"storage": b"K\x03", "shape": b"K\x03\x85"},
    "a huge storage": {"storage": long(2**47)},
    "another type than was saved": {"kind": "Double"},
    "an unknown type": {"kind": "QInt8"},
    "a part that is missing": {"key": "1"},
    "a part elsewhere": {"key": "../version"},
    "seventeen dimensions": {"shape": b"(" + b"K\x01" * 17 + b"t", "strides": b"(" + b"K\x01" * 17 + b"t"},
}


@pytest.mark.parametrize("kind", TENSORS)
def test_a_tensor_that_is_not_there_is_refused_before_anything_is_allocated(tmp_path, kind):
    refused(state_file(tmp_path / "hostile.pt", tensor(**TENSORS[kind])))


TOO_MUCH = {
    "text of a huge length": b"X\xff\xff\xff\x7f",
    "bytes of a huge length": b"B\xff\xff\xff\xff",
    "text of 8 bytes' length": b"\x8d" + b"\xff" * 7 + b"\x7f",
    "a huge buffer": b"\x96" + b"\xff" * 7 + b"\x7f",
    "a huge number": b"\x8b\xff\xff\xff\x7f",
    "a huge frame": b"\x95" + b"\xff" * 8,
    "a place in the memo that is not there": b"h\xff",
    "deep lists": b"]" * 200_000 + b"a" * 199_999,
    "deep marks": b"(" * 200_000,
    "too many instructions": b"]" + b")a" * 1_100_000,
    "names that grow": b"".join([text("x" * 2000), b"q\x01", b"h\x01h\x01\x93"]),
    "an empty stack": b"a",
    "a key without a value": b"}(" + text("a") + b"u",
    "another end": b"N.",
}


@pytest.mark.parametrize("kind", TOO_MUCH)
def test_a_pickle_that_claims_too_much_is_refused(tmp_path, kind):
    refused(state_file(tmp_path / "hostile.pt", TOO_MUCH[kind]))


@pytest.mark.parametrize("key", [long(2**61 - 1), b")", b"N", b"\x88", b"G" + bytes(8)])
def test_keys_are_text_or_small_numbers_as_others_can_be_made_to_collide(good, tmp_path, key):
    assert "keys that are neither" in refused(with_value(good, b"}" + key + b"Ns", tmp_path / "hostile.pt"))
    assert "keys that are neither" in refused(with_value(good, b"\x8f(" + key + b"\x90", tmp_path / "hostile.pt"))


def test_a_place_in_the_memo_takes_no_more_memory_for_a_large_number(tmp_path):
    value = tensor() + b"r\xff\xff\xff\x7f"
    assert list(read_weights(state_file(tmp_path / "large.pt", value)).entries) == ["entry"]


def test_tuples_within_tuples_without_end_do_no_harm(good, network, tmp_path):
    path = with_value(good, b")" + b"\x85" * 500_000, tmp_path / "deep.pt")
    assert_same(read_weights(path).entries, network.state_dict())


def module(parts):
    """The instructions of a module whose parts are `parts`, instructions of a dictionary."""
    state = b"}(" + text("_parameters") + b"}" + text("_buffers") + b"}" + text("_modules") + parts + b"u"
    return line("models.yolo DetectionModel") + b")\x81r\x07\x00\x00\x00" + state + b"b"


def network_file(path, parts):
    """A checkpoint whose network has these parts."""
    return state_file(path, b"Ns" + text("model") + module(parts))


def test_a_network_that_is_part_of_itself_is_refused(tmp_path):
    assert "its network has no end" in refused(network_file(tmp_path / "hostile.pt", b"}" + text("a") + b"h\x07s"))


def test_a_network_that_doubles_at_every_step_is_refused(tmp_path):
    parts = b"}"
    for _ in range(64):
        parts = b"}" + text("a") + module(parts) + b"q\x08s" + text("b") + b"h\x08s"
    assert "its network has no end" in refused(network_file(tmp_path / "hostile.pt", parts))


@pytest.mark.parametrize("name", ["", "a.b", "x" * 2000])
def test_a_part_has_a_name_that_torch_allows(tmp_path, name):
    refused(network_file(tmp_path / "hostile.pt", b"}" + text(name) + module(b"}") + b"s"))


def test_a_file_that_ends_early_is_refused_wherever_it_ends(good, tmp_path):
    content = good.read_bytes()
    path = tmp_path / "cut.pt"
    for end in [*range(40), *range(40, len(content), len(content) // 150), len(content) - 1]:
        path.write_bytes(content[:end])
        refused(path)


def test_a_pickle_that_ends_early_is_refused_wherever_it_ends(good, tmp_path):
    parts = parts_of(good)
    whole = parts["data.pkl"]
    for end in range(0, len(whole), len(whole) // 150):
        refused(write_parts(tmp_path / "cut.pt", {**parts, "data.pkl": whole[:end]}))


def test_zip_files_that_torch_does_not_write_are_refused(good, tmp_path):
    parts = parts_of(good)
    path = tmp_path / "hostile.pt"
    assert read_weights(write_parts(path, parts)).entries
    for hostile in (
        {**parts, "code/net.py": b"import os"},
        {**parts, "constants.pkl": b""},
        {**parts, "data/../../../etc/cron.d/job": b""},
        {**parts, "inner.zip": good.read_bytes()},
        {**parts, "data.pkl": good.read_bytes()},
        {**parts, "byteorder": b"big"},
        {"version": b"3\n"},
        {},
    ):
        refused(write_parts(path, hostile))
    for folder in ("..", ".", "", "/archive", "archive/data"):
        refused(write_parts(path, parts, folder=folder))
    assert "compressed" in refused(write_parts(path, parts, compress=True))


def test_a_part_that_unpacks_to_much_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(2**26))
    assert "compressed" in refused(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_parts_of_one_name_are_refused(good, tmp_path):
    path = tmp_path / "hostile.pt"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in [*parts_of(good).items(), ("data.pkl", b"N.")]:
            archive.writestr(f"archive/{name}", content)
    assert "two parts" in refused(path)


def test_parts_that_lie_in_one_place_do_not_claim_it_twice(good, tmp_path):
    path = write_parts(tmp_path / "hostile.pt", {**parts_of(good), "data/100": bytes(5000)})
    with zipfile.ZipFile(path, "a") as archive:
        (same,) = [info for info in archive.infolist() if info.filename.endswith("data/100")]
        for number in range(101, 110):
            other = zipfile.ZipInfo(f"archive/data/{number}")
            other.header_offset, other.CRC = same.header_offset, same.CRC
            other.file_size = other.compress_size = same.file_size
            archive.filelist.append(other)
            archive.NameToInfo[other.filename] = other
        archive._didModify = True
    assert "more than it has" in refused(path)


def test_other_files_are_refused_by_what_they_are(network, tmp_path):
    path = tmp_path / "weights.pt"
    torch.save(network.state_dict(), path, _use_new_zipfile_serialization=False)
    assert "before torch 1.6" in refused(path)
    torch.jit.script(nn.Linear(2, 2)).save(str(path))
    assert "TorchScript" in refused(path)
    for content in (b"", b"PK", b"hello", pickle.dumps({"a": 1}), b"\x00" * 100, b"\x89PNG\r\n\x1a\n" + bytes(20)):
        path.write_bytes(content)
        assert "neither a file of torch.save nor safetensors" in refused(path)
    for value in ({}, [], None, {"a": 1}, {"a": torch.ones(1), "b": 1}, {1: torch.ones(1)}, torch.ones(1)):
        torch.save(value, path)
        assert "neither a network nor the state dict of one" in refused(path)
    assert "cannot be read (No such file" in refused(tmp_path / "absent.pt")
    assert "cannot be read (Is a directory" in refused(tmp_path)


@pytest.mark.parametrize(
    "harm",
    [
        lambda content: content[:-1],
        lambda content: content[:20],
        lambda content: (2**40).to_bytes(8, "little") + content[8:],
        lambda content: content.replace(b'"F32"', b'"F99"', 1),
        lambda content: content.replace(b"[2]", b"[9]", 1),
        lambda content: content.replace(b"[2]", b"{2}", 1),
    ],
)
def test_a_harmed_safetensors_file_is_refused(tmp_path, harm):
    path = tmp_path / "weights.safetensors"
    write_weights(path, {"a": torch.ones(2)}, About(model="net", classes=()))
    content = path.read_bytes()
    assert harm(content) != content
    path.write_bytes(harm(content))
    refused(path)


def flips(content, count, seed=0):
    """The content with one byte changed, so many times."""
    draw = random.Random(seed)
    for _ in range(count):
        place, change = draw.randrange(len(content)), draw.randrange(1, 256)
        yield content[:place] + bytes([content[place] ^ change]) + content[place + 1 :]


def test_a_file_with_one_byte_changed_is_refused_or_read_in_all_bits(good, network, tmp_path):
    path = tmp_path / "flipped.pt"
    expected = network.state_dict()
    read = 0
    for content in flips(good.read_bytes(), 300):
        path.write_bytes(content)
        try:
            entries = read_weights(path).entries
        except UsageError:
            continue
        assert_same(entries, expected)
        read += 1
    assert 0 < read < 300


def test_a_pickle_with_one_byte_changed_is_refused_or_read(good, tmp_path):
    path = tmp_path / "flipped.pt"
    parts = parts_of(good)
    read = 0
    for content in flips(parts["data.pkl"], 300):
        write_parts(path, {**parts, "data.pkl": content})
        try:
            entries = read_weights(path).entries
        except UsageError:
            continue
        assert all(entry.clone().numel() <= 108 for entry in entries.values())
        read += 1
    assert 0 < read < 300


def test_safetensors_with_one_byte_changed_are_refused_or_read(network, tmp_path):
    path = tmp_path / "flipped.safetensors"
    write_weights(path, network.state_dict(), About(model="net", classes=("a", "b")))
    whole = path.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    for content in flips(whole[:header], 300):
        path.write_bytes(content + whole[header:])
        try:
            entries = read_weights(path).entries
        except UsageError:
            continue
        assert sum(entry.numel() * entry.element_size() for entry in entries.values()) == len(whole) - header
