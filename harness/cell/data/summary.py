"""Counting what a data set holds, and noting what is left out of it while it is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath
from typing import Optional

from harness.cell.data.index import Item
from harness.core.dataset import Kind, LeftOut, Part, Repeated, Shared, Summary
from harness.core.files import spelt_out

COMMONEST = 8  # suffixes of files that are no pictures: mangled names may have thousands


class Aside:
    """What is left out of a data set: how many of each kind, and where the first is."""

    def __init__(self) -> None:
        self._seen: set[tuple[Kind, str]] = set()
        self._counts: Counter[Kind] = Counter()
        self._examples: dict[Kind, str] = {}
        self._suffixes: Counter[str] = Counter()

    def note(self, kind: Kind, where: str) -> None:
        """Note one thing, once: `where` is a path, with the line or key if there is one."""
        if (kind, where) in self._seen:  # train and val may lead to the same
            return
        self._seen.add((kind, where))
        self._counts[kind] += 1
        self._examples.setdefault(kind, spelt_out(where))
        if kind == "other file":
            self._suffixes[spelt_out(PurePath(where).suffix.lower())] += 1

    def noted(self) -> list[LeftOut]:
        """All that was noted, kind by kind."""
        suffixes = dict(self._suffixes.most_common(COMMONEST))
        return [
            LeftOut(kind, count, self._examples[kind], suffixes if kind == "other file" else {})
            for kind, count in self._counts.items()
        ]


def summary_of(
    classes: Sequence[str], train: Sequence[Item], val: Sequence[Item], left_out: Sequence[LeftOut] = ()
) -> Summary:
    """What a data set of these items holds."""
    return Summary(len(classes), _part(train), _part(val), list(left_out), _shared(train, val))


def _part(items: Sequence[Item]) -> Part:
    return Part(
        pictures=len(items),
        boxes=sum(len(item.boxes) for item in items),
        classes=len({row[0] for item in items for row in item.boxes}),
        backgrounds=sum(not item.boxes for item in items),
        suffixes=dict(Counter(PurePath(item.path).suffix.lower() for item in items).most_common()),
        repeated=_repeated(items),
    )


def _repeated(items: Sequence[Item]) -> Optional[Repeated]:
    first: dict[str, Item] = {}
    copies = [item for item in items if first.setdefault(item.digest, item) is not item]
    return Repeated(len(copies), spelt_out(copies[0].path)) if copies else None


def _shared(train: Sequence[Item], val: Sequence[Item]) -> Optional[Shared]:
    trained, evaluated = ({item.digest for item in items} for items in (train, val))
    twice = [item for item in val if item.digest in trained]
    return Shared(len(twice), spelt_out(twice[0].path), trained == evaluated) if twice else None
