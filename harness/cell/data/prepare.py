"""Preparing a data set: `python -m harness.cell.data.prepare --answer PATH [--progress-fd N] < REQUEST`.

The conductor runs it in a pin's environment. Request and answer are JSON; progress goes to the file descriptor as JSON
lines {"event": "scan", "done", "total"}.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Optional

import msgspec

from harness.cell.answering import answer_request
from harness.cell.data.coco_dataset import read_coco_dataset
from harness.cell.data.index import SCHEMA, Content, DataIndex, Item, Truth, digest_of, read_index, write_index
from harness.cell.data.listing import Labelled, Listing
from harness.cell.data.problems import Problems
from harness.cell.data.scan import Picture, Progress, scan
from harness.cell.data.scenes import scene_of
from harness.cell.data.shapes import INDEX_NAME, REVISION, make_shapes
from harness.cell.data.summary import summary_of
from harness.cell.data.yaml_dataset import read_yaml_dataset
from harness.core.errors import UsageError
from harness.core.files import spelt_out
from harness.core.preparation import PrepareAnswer, Prepared, PrepareRequest
from harness.core.settings import Shapes
from harness.core.spec import Data


def prepare(request: PrepareRequest, progress_fd: Optional[int] = None) -> Path:
    """Prepare the data set and return the path of its index.

    UsageError with what is wrong with the data, the cache folder or the settings.
    """
    cache = Path(request.cache).absolute()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        if request.data is None:
            return _prepare_shapes(cache, request.shapes)
        return _prepare_files(Path(request.data).absolute(), cache, request.workers, _reporter(progress_fd))
    except OSError as error:
        hint = "free some space there, or" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "make it writable, or"
        reason = error.strerror or str(error)
        raise UsageError(f"The cache folder {cache} cannot be written ({reason}): {hint} choose another.") from error


def _prepare_shapes(cache: Path, settings: Shapes) -> Path:
    """Draw the shapes beside their place and move them there in one step, unless unharmed ones are there."""
    key = hashlib.sha256(msgspec.json.encode([SCHEMA, REVISION, settings, scene_of(settings)])).hexdigest()[:16]
    folder = cache / f"shapes-{key}"
    if _intact(folder):
        return folder / INDEX_NAME
    temporary = Path(tempfile.mkdtemp(prefix=f".shapes-{key}.", dir=cache))
    try:
        make_shapes(temporary / "new", settings)
        if folder.exists():
            folder.rename(temporary / "harmed")
        try:
            (temporary / "new").rename(folder)
        except OSError:  # another process was quicker, and drew the same
            if not _intact(folder):
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder / INDEX_NAME


def _intact(folder: Path) -> bool:
    """Whether the folder holds a data set whose files still have the digest of its index."""
    try:
        index = read_index(folder / INDEX_NAME)
        return digest_of(index.classes, map(_content, index.train), map(_content, index.val)) == index.digest
    except (UsageError, OSError):
        return False


def _content(item: Item) -> Content:
    return hashlib.sha256(Path(item.path).read_bytes()).hexdigest(), item.boxes


def _prepare_files(data: Path, cache: Path, workers: int, progress: Optional[Progress]) -> Path:
    """Read the lists and labels, look at every picture, and write the index under a name of its own."""
    try:
        listing = _read(data)
    except OSError as error:
        where = error.filename or data
        raise UsageError(f"The data {data} cannot be read: {where}: {error.strerror or error}.") from error
    pictures = scan([item.path for item in (*listing.train, *listing.val)], cache, workers, progress)
    index = _index(listing, pictures)
    # The digest alone would let two copies of a data set overwrite each other's paths.
    key = hashlib.sha256(f"{index.digest} {data}".encode()).hexdigest()[:16]
    path = cache / f"index-{key}.json"
    write_index(path, index)
    return path


def _read(data: Path) -> Listing:
    if not data.is_file():
        raise UsageError(f"The data {data} is not a file: give a data.yaml or a COCO instances_train….json.")
    if data.suffix.lower() in (".yaml", ".yml"):
        return read_yaml_dataset(data)
    if data.suffix.lower() == ".json":
        return read_coco_dataset(data)
    raise UsageError(f"The data {data} has an unknown suffix: give a data.yaml or a COCO instances_train….json.")


def _index(listing: Listing, pictures: dict[str, Picture]) -> DataIndex:
    problems = Problems("pictures")
    for labelled in (*listing.train, *listing.val):
        found = (pictures[labelled.path].width, pictures[labelled.path].height)
        if labelled.size not in (None, found):
            problems.add(labelled.path, f"is {found} px upright, but its annotations were made for {labelled.size}")
    problems.settle(len(listing.train) + len(listing.val))
    categories, truths = _scored_against(listing.val)
    train = [_item(one, pictures[one.path]) for one in listing.train]
    val = [_item(one, pictures[one.path], truth) for one, truth in zip(listing.val, truths)]
    return DataIndex(
        schema=SCHEMA,
        name=listing.name,
        classes=listing.classes,
        train=train,
        val=val,
        summary=summary_of(listing.classes, train, val, listing.left_out),
        digest=digest_of(listing.classes, map(_checked, train), map(_checked, val), categories, truths),
        categories=categories,
    )


def _scored_against(val: list[Labelled]) -> tuple[Optional[list[int]], list[Optional[Truth]]]:
    """The ids of the classes and, by picture, what it is scored against; None is what its boxes say.

    Ids of a COCO file are kept. Where the pictures are of several places whose ids clash, or of which not all have
    any, all are numbered: classes from 0, pictures and annotations from 1.
    """
    truths = [one.truth for one in val]
    known = [truth for truth in truths if truth]
    images = {truth.image_id for truth in known}
    annotations = [annotation.id for truth in known for annotation in truth.annotations]
    categories = val[0].categories
    unlike = any(one.categories != categories for one in val)
    if unlike or (known and len(images) < len(val)) or len(set(annotations)) < len(annotations):
        numbered = enumerate(truths, start=1)
        return None, [truth and _renumbered(truth, number) for number, truth in numbered]
    return categories, truths


def _renumbered(truth: Truth, number: int) -> Truth:
    return Truth(number, [msgspec.structs.replace(one, id=None) for one in truth.annotations])


def _item(labelled: Labelled, picture: Picture, truth: Optional[Truth] = None) -> Item:
    return Item(labelled.path, picture.width, picture.height, labelled.boxes, digest=picture.digest, truth=truth)


def _checked(item: Item) -> Content:
    return item.digest, item.boxes


def _reporter(descriptor: Optional[int]) -> Optional[Progress]:
    if descriptor is None:
        return None

    def report(done: int, total: int) -> None:
        with contextlib.suppress(OSError):  # when nobody listens any more, the work is wanted all the same
            os.write(descriptor, msgspec.json.encode({"event": "scan", "done": done, "total": total}) + b"\n")

    return report


def answer_to(asked: bytes, progress_fd: Optional[int] = None) -> PrepareAnswer:
    """What the process answers to the request that it read."""
    try:
        request = msgspec.json.decode(asked, type=PrepareRequest)
        path = prepare(request, progress_fd)
        index = read_index(path)
    except msgspec.DecodeError as error:
        return PrepareAnswer(problem=[f"The request to prepare data cannot be read ({error})."])
    except UsageError as error:
        return PrepareAnswer(problem=[*map(spelt_out, error.args)])
    return PrepareAnswer(Prepared(Data(name=index.name, digest=index.digest), str(path), index.summary))


if __name__ == "__main__":
    sys.exit(answer_request("harness.cell.data.prepare", answer_to))
