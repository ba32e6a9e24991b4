"""What a data set holds, and what the data check left out of it: as values for the record, and in words."""

from __future__ import annotations

from typing import Literal, Optional

from harness.core.settings import Count, Positive, Strict

Kind = Literal[
    "hidden folder",
    "hidden file",
    "folder again",
    "other file",
    "unclaimed label",
    "crowd",
    "empty box",
    "outside box",
    "cut box",
]

SAID: dict[Kind, str] = {
    "hidden folder": "hidden folders",
    "hidden file": "hidden files",
    "folder again": "folders that had been read by another path",
    "other file": "files that are no pictures",
    "unclaimed label": "label files that no picture claims",
    "crowd": "crowd regions, which are not trained on",
    "empty box": "boxes without width or height",
    "outside box": "boxes that lie outside their picture",
    "cut box": "boxes cut off at the edge of their picture",
}
"""Each kind in words, as more than one."""


class LeftOut(Strict, frozen=True):
    """A kind of thing that was found and is not trained on, or not whole: how many there are, and where the first of
    them is."""

    kind: Kind
    count: Positive
    example: str
    suffixes: dict[str, int] = {}
    """Of files, how many have which suffix; the commonest only."""


class Shared(Strict, frozen=True):
    """Pictures of `val` whose files are, byte for byte, in `train` too: how many, and the first of them."""

    count: Positive
    example: str
    equal: bool
    """Whether `train` and `val` hold the very same pictures."""


class Repeated(Strict, frozen=True):
    """Pictures whose files are, byte for byte, those of others before them: how many, and the first of them."""

    count: Positive
    example: str


class Part(Strict, frozen=True):
    """What `train` or `val` holds."""

    pictures: Count
    boxes: Count
    classes: Count
    """So many classes have a box here."""
    backgrounds: Count
    """Pictures without a box."""
    suffixes: dict[str, int]
    """How many pictures have which suffix, in lower case."""
    repeated: Optional[Repeated] = None


class Summary(Strict, frozen=True):
    """What a data set holds, and what was left out of it."""

    classes: Count
    train: Part
    val: Part
    left_out: list[LeftOut] = []
    shared: Optional[Shared] = None

    def in_words(self) -> list[str]:
        """A line for each thing that is to be said. All of it may hold foreign text (paths)."""
        parts = {"train": self.train, "val": self.val}
        lines = [part_in_words(name, part, self.classes) for name, part in parts.items()]
        lines += [repeated_in_words(name, part.repeated) for name, part in parts.items() if part.repeated]
        if self.shared:
            lines.append(shared_in_words(self.shared))
        return [*lines, *map(left_out_in_words, self.left_out)]


def part_in_words(name: str, part: Part, classes: int) -> str:
    """What `train` or `val` holds, in one line."""
    pictures = f"{part.pictures:,} pictures ({counts_in_words(part.suffixes)})"
    boxes = f"{part.boxes:,} boxes of {part.classes} of {classes} classes"
    return f"{name}: {pictures}, {boxes}, {part.backgrounds:,} pictures without a box"


def repeated_in_words(name: str, repeated: Repeated) -> str:
    """That pictures are in `train` or `val` more than once, in one line: each counts as often as it is there."""
    return f"{repeated.count:,} of the pictures of {name} are copies of others in it, such as {repeated.example}"


def shared_in_words(shared: Shared) -> str:
    """That pictures are in both, in one line: a score on what was trained on says little."""
    if shared.equal:
        return "train and val hold the same pictures: the score is of pictures that were trained on"
    return f"{shared.count:,} of the pictures of val are in train too, such as {shared.example}"


def left_out_in_words(one: LeftOut) -> str:
    """One kind of thing that was left out, in one line."""
    kinds = f" ({counts_in_words(one.suffixes)})" if one.suffixes else ""
    return f"left out: {one.count:,} {SAID[one.kind]}{kinds}, such as {one.example}"


def counts_in_words(suffixes: dict[str, int]) -> str:
    """`.jpg 3, .png 1`."""
    return ", ".join(f"{suffix or 'no suffix'} {count:,}" for suffix, count in suffixes.items())
