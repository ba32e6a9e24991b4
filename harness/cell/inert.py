"""A pickle read as data. A name in it stays a name: nothing is imported, and the only calls are of functions of this
file, which stand for those that files of tensors need.

Python's own reader with a `find_class` of ours would still call what it is given, set attributes of it, and allocate
what a file merely claims. Here the instructions, which `pickletools` describes, build numbers, text, lists,
dictionaries, `Stored` and `Made` on a stack, and what else they ask for is refused.
"""

from __future__ import annotations

import math
import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.core.files import spelt_out

MOST_INSTRUCTIONS = 2_000_000
"""A detector's checkpoint has some 200,000; each builds a value of at most some hundred bytes."""
MOST_WAITING = 100_000
"""Values that wait on the stack: as many as a list within a list within a list …, each of which waits for the next."""
MOST_DIMENSIONS = 16
LONGEST_NAME = 1000
"""Of a class, module or entry. Longer ones can be made to take all memory: they are put together of parts."""

STORAGES = {
    "torch.BFloat16Storage": "bfloat16",
    "torch.BoolStorage": "bool",
    "torch.ByteStorage": "uint8",
    "torch.CharStorage": "int8",
    "torch.DoubleStorage": "float64",
    "torch.FloatStorage": "float32",
    "torch.HalfStorage": "float16",
    "torch.IntStorage": "int32",
    "torch.LongStorage": "int64",
    "torch.ShortStorage": "int16",
}
"""Classes of storages, and torch's type of their elements."""

NUMBERS = re.compile(r"[<>|=]?[biufcSUVmM?]\d*")
"""numpy's types of numbers, text and times. Its other type holds Python objects."""

UNTOUCHED = "and nothing in it was run; take a file that holds tensors alone"


class Refused(Exception):  # noqa: N818 - the word for what becomes of the file
    """The content is not taken; the message says why and what to do, as the end of a sentence."""


@dataclass(frozen=True, eq=False)
class Name:
    """A class or function that a file names; never looked up."""

    text: str


@dataclass(frozen=True, eq=False)
class Storage:
    """Elements that a file has beside its pickle, under a key."""

    key: str
    dtype: str
    count: int


@dataclass(frozen=True, eq=False)
class Stored:
    """A tensor that lies in a storage; it does not reach beyond its end."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(eq=False)
class Made:
    """An object of a class that is known by its name alone, and what the file says of its state."""

    name: str
    state: Any = None

    @property
    def is_module(self) -> bool:
        """Whether it has what every `torch.nn.Module` has."""
        parts = ("_parameters", "_buffers", "_modules")
        return isinstance(self.state, dict) and all(isinstance(self.state.get(part), dict) for part in parts)


def read_inert(content: bytes) -> Any:
    """The value that a pickle describes; `Refused` where it asks for anything else, or is not whole."""
    try:
        return Reading().run(content)
    except (ValueError, LookupError):  # what pickletools raises, and a stack or memo without what is asked for
        raise damaged("its pickle ends early or refers to what is not there") from None


def damaged(why: str) -> Refused:
    """The file is not as it was written."""
    return Refused(f"it is damaged ({why}); get it anew")


def foreign(call: str) -> Refused:
    """The file asks for something to be run."""
    shown = spelt_out(call)[:100]
    return Refused(f"it asks to call {shown}, {UNTOUCHED}")


class Reading:
    """The reading of one pickle."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.objects: list[Made] = []

    def run(self, content: bytes) -> Any:
        """Follow the instructions to their end."""
        for number, (instruction, argument, place) in enumerate(pickletools.genops(content)):
            if number >= MOST_INSTRUCTIONS or len(self.stack) > MOST_WAITING:
                raise Refused("its pickle is too long or too deep for weights; take the state dict alone")
            if instruction.name == "STOP":
                return self.result(place, content)
            if instruction.name not in INSTRUCTIONS:
                raise Refused(f"its pickle has the instruction {instruction.name}, not one for tensors, {UNTOUCHED}")
            INSTRUCTIONS[instruction.name](self, argument)
        raise damaged("its pickle has no end")

    def result(self, place: int | None, content: bytes) -> Any:
        """The one value that is left."""
        (value,) = self.stack
        if place != len(content) - 1:
            raise damaged("more after the end")
        for each in self.objects:
            if not each.is_module:
                raise Refused(f"it holds a {spelt_out(each.name)[:100]}, which is no module; take the state dict alone")
        return value

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise IndexError
        return self.stack.pop()

    def pop_marked(self) -> list[Any]:
        """All since the last mark."""
        mark = self.marks.pop()
        values = self.stack[mark:]
        del self.stack[mark:]
        return values

    def top(self, type_: type[Any]) -> Any:
        """The value on top, which stays there."""
        value = self.pop()
        if not isinstance(value, type_):
            raise damaged(f"something is added to what is no {type_.__name__}")
        self.push(value)
        return value

    def mark(self) -> None:
        self.marks.append(len(self.stack))

    def tuple_of(self, count: int) -> None:
        self.push(tuple(reversed([self.pop() for _ in range(count)])))

    def append(self, values: list[Any]) -> None:
        self.top(list).extend(values)

    def set_items(self, values: list[Any]) -> None:
        if len(values) % 2:
            raise damaged("a key without a value")
        self.top(dict).update(zip(map(key, values[::2]), values[1::2]))

    def set_item(self) -> None:
        value = self.pop()
        self.set_items([self.pop(), value])

    def add_items(self) -> None:
        values = self.pop_marked()
        self.top(set).update(map(key, values))

    def name(self, module: Any, name: Any) -> None:
        if not all(isinstance(part, str) and len(part) <= LONGEST_NAME for part in (module, name)):
            raise damaged("a name that is none")
        self.push(Name(f"{module}.{name}"))

    def name_on_stack(self) -> None:
        name = self.pop()
        self.name(self.pop(), name)

    def call(self) -> None:
        """REDUCE: only of what is in `CALLS`."""
        arguments, function = self.pop(), self.pop()
        if not isinstance(function, Name):
            raise foreign("what another call has made")
        if function.text not in CALLS:
            raise foreign(function.text)
        if not isinstance(arguments, tuple):
            raise damaged("a call without arguments")
        self.push(CALLS[function.text](function.text, arguments))

    def make(self) -> None:
        """NEWOBJ: as pickle makes modules, without arguments."""
        arguments, class_ = self.pop(), self.pop()
        if not isinstance(class_, Name) or arguments != ():
            raise foreign(class_.text if isinstance(class_, Name) else "what another call has made")
        self.objects.append(Made(class_.text))
        self.push(self.objects[-1])

    def set_state(self) -> None:
        """BUILD: the state is kept and handed to nobody. What it says of a dictionary, state dicts have: versions."""
        state = self.pop()
        target = self.top(object)
        if isinstance(target, Made):
            target.state = state
        elif not isinstance(target, dict):
            raise foreign("__setstate__ of what is no object")

    def storage(self) -> None:
        """BINPERSID: what torch keeps beside the pickle."""
        kind, class_, key_, _, count = entries_of(self.pop(), 5)
        if kind != "storage" or not isinstance(class_, Name) or not isinstance(key_, str):
            raise damaged("a storage that is none")
        if class_.text not in STORAGES:
            raise Refused(f"it has elements of an unknown type, {spelt_out(class_.text)[:100]}; save it as float32")
        self.push(Storage(key_, STORAGES[class_.text], natural(count)))


def key(value: Any) -> Any:
    """A key of a dictionary: text or a small number. Others can be made to take a dictionary for ever."""
    if isinstance(value, str) or (type(value) is int and abs(value) < 2**31):
        return value
    raise Refused("it has keys that are neither text nor small numbers; take the state dict alone")


def natural(value: Any) -> int:
    """A count of elements."""
    if type(value) is not int or not 0 <= value < 2**48:
        raise damaged("a size, stride or offset that is no count")
    return value


def entries_of(value: Any, least: int) -> tuple[Any, ...]:
    """A tuple of as many values, of which what is beyond does not matter."""
    if not isinstance(value, tuple) or len(value) < least:
        raise damaged("too few arguments")
    return value[:least]


def make_tensor(_: str, arguments: tuple[Any, ...]) -> Stored:
    """`_rebuild_tensor_v2`: storage, offset, shape, strides. No element may lie outside of the storage, and there may
    be no more of them than it has."""
    storage, offset, shape, strides = entries_of(arguments, 4)
    if not isinstance(storage, Storage) or not isinstance(shape, tuple) or not isinstance(strides, tuple):
        raise damaged("a tensor that is none")
    made = Stored(storage, natural(offset), tuple(map(natural, shape)), tuple(map(natural, strides)))
    last = made.offset + sum((size - 1) * stride for size, stride in zip(made.shape, made.strides) if size > 1)
    # a dimension of 0 must not hide the size of the others
    places = math.prod(max(size, 1) for size in made.shape)
    if len(shape) != len(strides) or len(shape) > MOST_DIMENSIONS or places > max(storage.count, 1):
        raise damaged("a tensor of more elements than are there")
    if last >= storage.count and 0 not in made.shape:
        raise damaged("a tensor that reaches beyond its storage")
    return made


def make_parameter(_: str, arguments: tuple[Any, ...]) -> Stored:
    """`_rebuild_parameter`: its tensor."""
    tensor = entries_of(arguments, 1)[0]
    if not isinstance(tensor, Stored):
        raise damaged("a tensor that is none")
    return tensor


def make_size(_: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """`torch.Size` of a tuple."""
    size = entries_of(arguments, 1)[0]
    if not isinstance(size, tuple):
        raise damaged("a size that is none")
    return size


def make_dictionary(name: str, arguments: tuple[Any, ...]) -> dict[Any, Any]:
    """An empty `OrderedDict`, whose items follow."""
    if arguments:
        raise foreign(f"{name} with arguments")
    return {}


def make_set(_: str, arguments: tuple[Any, ...]) -> set[Any]:
    """A set of a list."""
    values = entries_of(arguments, 1)[0]
    if not isinstance(values, list):
        raise damaged("a set of what is no list")
    return set(map(key, values))


def make_type(name: str, arguments: tuple[Any, ...]) -> Made:
    """numpy's type of an array's elements."""
    code = entries_of(arguments, 1)[0]
    if not isinstance(code, str) or not NUMBERS.fullmatch(code):
        raise foreign(f"{name} for an array of Python objects")
    return Made(name)


def make_nothing(name: str, _: tuple[Any, ...]) -> Made:
    """For values that weights do without: nobody looks at them."""
    return Made(name)


CALLS: dict[str, Callable[[str, tuple[Any, ...]], Any]] = {
    "torch._utils._rebuild_tensor_v2": make_tensor,
    "torch._utils._rebuild_parameter": make_parameter,
    "torch._utils._rebuild_parameter_with_state": make_parameter,
    "torch.Size": make_size,
    "torch.device": make_nothing,
    "collections.OrderedDict": make_dictionary,
    "__builtin__.set": make_set,
    "builtins.set": make_set,
    "numpy.dtype": make_type,
    "numpy.core.multiarray._reconstruct": make_nothing,
    "numpy._core.multiarray._reconstruct": make_nothing,
    "numpy.core.multiarray.scalar": make_nothing,
    "numpy._core.multiarray.scalar": make_nothing,
    "_codecs.encode": make_nothing,
    "pathlib.PosixPath": make_nothing,
    "pathlib.WindowsPath": make_nothing,
    "pathlib._local.PosixPath": make_nothing,
}
"""What a file may call, and what is done in its place. They get the name and the arguments."""


def put(reading: Reading, index: int) -> None:
    """What is on top can be had again under a number."""
    reading.memo[index] = reading.top(object)


INSTRUCTIONS: dict[str, Callable[[Reading, Any], None]] = {
    "PROTO": lambda _reading, _version: None,
    "FRAME": lambda _reading, _size: None,
    "NONE": lambda reading, _: reading.push(None),
    "NEWTRUE": lambda reading, _: reading.push(True),
    "NEWFALSE": lambda reading, _: reading.push(False),
    "BININT": Reading.push,
    "BININT1": Reading.push,
    "BININT2": Reading.push,
    "LONG1": Reading.push,
    "BINFLOAT": Reading.push,
    "BINUNICODE": Reading.push,
    "SHORT_BINUNICODE": Reading.push,
    "BINBYTES": Reading.push,
    "SHORT_BINBYTES": Reading.push,
    "MARK": lambda reading, _: reading.mark(),
    "EMPTY_TUPLE": lambda reading, _: reading.push(()),
    "TUPLE1": lambda reading, _: reading.tuple_of(1),
    "TUPLE2": lambda reading, _: reading.tuple_of(2),
    "TUPLE3": lambda reading, _: reading.tuple_of(3),
    "TUPLE": lambda reading, _: reading.push(tuple(reading.pop_marked())),
    "EMPTY_LIST": lambda reading, _: reading.push([]),
    "APPEND": lambda reading, _: reading.append([reading.pop()]),
    "APPENDS": lambda reading, _: reading.append(reading.pop_marked()),
    "EMPTY_DICT": lambda reading, _: reading.push({}),
    "SETITEM": lambda reading, _: reading.set_item(),
    "SETITEMS": lambda reading, _: reading.set_items(reading.pop_marked()),
    "EMPTY_SET": lambda reading, _: reading.push(set()),
    "ADDITEMS": lambda reading, _: reading.add_items(),
    "FROZENSET": lambda reading, _: reading.push(set(map(key, reading.pop_marked()))),
    "BINPUT": put,
    "LONG_BINPUT": put,
    "MEMOIZE": lambda reading, _: put(reading, len(reading.memo)),
    "BINGET": lambda reading, index: reading.push(reading.memo[index]),
    "LONG_BINGET": lambda reading, index: reading.push(reading.memo[index]),
    "GLOBAL": lambda reading, names: reading.name(*names.split(" ", 1)),
    "STACK_GLOBAL": lambda reading, _: reading.name_on_stack(),
    "REDUCE": lambda reading, _: reading.call(),
    "NEWOBJ": lambda reading, _: reading.make(),
    "BUILD": lambda reading, _: reading.set_state(),
    "BINPERSID": lambda reading, _: reading.storage(),
}
"""What a pickle may ask for: what `torch.save` writes, from protocol 2 on. Not among them: calls by other ways (INST,
OBJ, NEWOBJ_EX, EXT1 …), buffers that are not in the file, and text in the ways of the first protocols."""
