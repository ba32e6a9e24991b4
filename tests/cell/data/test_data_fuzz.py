"""The data check on sets that chance has spoilt: it answers, and what it accepts has the boxes that are right.

Every spoilt set follows from its seed. `SPOILT_SETS` sets how many there are in all (a few hundred without it).
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Callable, Optional

import msgspec
import pytest
from reader import Found, Wrong, read_set, size_of

from harness.cell.data.index import Item, read_index
from harness.cell.data.prepare import answer_to
from harness.core.preparation import PrepareAnswer, PrepareRequest
from harness.core.settings import Shapes

COUNT = int(os.environ.get("SPOILT_SETS", "350"))
LONGEST = 60  # seconds after which a check is taken to hang
Random = random.Random
Spoil = Callable[[Path, Random], None]


# --- what is spoilt: every function changes the set whose yaml or json it is given


def spoil_bytes(content: bytes, chance: Random) -> bytes:
    """A few bytes or a piece of the content changed, put in, taken out or doubled."""
    found = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 5))):
        place = chance.randrange(len(found) + 1)
        kind = chance.randrange(6)
        piece = bytes(found[place : place + chance.randrange(1, 40)])
        if kind == 0 and place < len(found):
            found[place] ^= 1 << chance.randrange(8)
        elif kind == 1:
            found[place:place] = bytes(chance.choice(b"\0\t\n\r \"'%&*,-.0159:<?@[]{}\xc3\xff") for _ in range(2))
        elif kind == 2:
            del found[place : place + len(piece)]
        elif kind == 3:
            found[place:place] = piece
        elif kind == 4 and place < len(found):
            found[place] = chance.randrange(256)
        else:
            del found[place:]
    return bytes(found)


VALUES = (
    *("2", "'2'", "-1", "0", "1e400", ".nan", "2.0", "true", "null", "~", "''", "' '", "[]", "{}", "[[]]", "images"),
    *(
        "images/train",
        "images/val",
        "[images/train, images/val]",
        "{0: crow, 1: owl}",
        "{'0': crow}",
        "{0: crow, 2: owl}",
    ),
    *(
        "[crow, owl]",
        "[crow, no]",
        "[4, 2]",
        "[2, 3]",
        "[0, 2]",
        "[4]",
        "4",
        "..",
        ".",
        "/",
        "/dev/null",
        "*x",
        "&x [*x]",
    ),
    *("!!bool x", "!!timestamp x", "!!binary x", "!!int ''", "!!python/object:os.system x", "2020-13-45", "0x2", "1_0"),
    *(
        '"\\ud800"',
        '"\\0"',
        '"caf\\xe9"',
        "labels/train",
        "data.yaml",
        "a" * 300,
        "images/train/a.jpg",
        "labels/train/a.txt",
    ),
)
KEYS = ("train", "val", "names", "nc", "path", "kpt_shape", "test", "0", "<<", "? [a]")


def spoil_yaml(path: Path, chance: Random) -> None:
    """The lines of the yaml, or its bytes."""
    lines = path.read_text().splitlines()
    kind = chance.randrange(5)
    if kind == 0:
        lines.insert(chance.randrange(len(lines) + 1), f"{chance.choice(KEYS)}: {chance.choice(VALUES)}")
    elif kind == 1:
        place = chance.randrange(len(lines))
        lines[place] = f"{lines[place].partition(':')[0]}: {chance.choice(VALUES)}"
    elif kind == 2:
        lines.insert(chance.randrange(len(lines)), chance.choice(lines))
    elif kind == 3:
        del lines[chance.randrange(len(lines))]
    content = ("\n".join(lines) + "\n").encode()
    path.write_bytes(spoil_bytes(content, chance) if kind == 4 else content)


WORDS = (
    *(
        "0",
        "1",
        "2",
        "-1",
        "0.5",
        "1",
        "1.0005",
        "1.5",
        "-0.0005",
        "-0.2",
        "1e-300",
        "1e300",
        "1e400",
        "nan",
        "inf",
        "-0",
    ),
    *("x", "1_0", "0,5", "0x1", "٣", "\x0c", "\u2028", "\ufeff0", "1.0", "0.1", "0.05", "320"),
)


def spoil_labels(path: Path, chance: Random) -> None:
    """A row of a label file, its bytes, or what a yaml says that rows mean."""
    label = chance.choice(sorted((path.parent / "labels").rglob("*.txt")))
    lines = label.read_text().splitlines()
    if chance.random() < 0.2:
        path.write_text(path.read_text() + f"kpt_shape: {chance.choice(('[4, 2]', '[2, 3]', '[1, 2]', '[3, 2]'))}\n")
    if chance.random() < 0.2:
        label.write_bytes(spoil_bytes(label.read_bytes(), chance))
        return
    place = chance.randrange(len(lines))
    words = lines[place].split()
    for _ in range(chance.choice((1, 1, 2))):
        kind = chance.randrange(4)
        if kind == 0:
            words[chance.randrange(len(words))] = chance.choice(WORDS)
        elif kind == 1:
            words += [f"{chance.random():.3f}" for _ in range(chance.choice((1, 2, 3, 4, 6, 8)))]
        elif kind == 2 and len(words) > 1:
            del words[chance.randrange(len(words))]
        else:
            words = [words[0], *(f"{chance.uniform(-0.01, 1.01):.4f}" for _ in words[1:])]
    lines[place] = " ".join(words)
    label.write_text("\n".join(lines) + "\n")


ODD: tuple[Any, ...] = (
    *(
        None,
        True,
        -1,
        0,
        1,
        2,
        3,
        7,
        10,
        11,
        10**20,
        10**400,
        1.5,
        -0.0,
        1e308,
        "",
        "x",
        "000.jpg",
        "../val2017/000.jpg",
    ),
    *("/", "\0", "a" * 300, [], [0], [1, 2, 3, 4], [36, 8, -24, 16], [1, 1, 0, 5], [40, 4, 30, 40], [99, 99, 5, 5], {}),
    *({"a": 1}, "\ud800", "crow", [-5, -5, 10, 10], [1e308, 1, 1e308, 1], [0.1, 0.2, 0.3, 0.4]),
)


def spoil_json(path: Path, chance: Random) -> None:
    """A value of the train's or val's file, or its bytes."""
    file = chance.choice(sorted(path.parent.glob("*.json")))
    if chance.random() < 0.25:
        file.write_bytes(spoil_bytes(file.read_bytes(), chance))
        return
    document = json.loads(file.read_text())
    for _ in range(chance.choice((1, 1, 2, 3))):
        holder: Any = document
        while True:
            keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            if not keys:
                break
            key = chance.choice(keys)
            if isinstance(holder[key], (dict, list)) and chance.random() < 0.85:
                holder = holder[key]
                continue
            kind = chance.randrange(5)
            if kind == 0:
                del holder[key]
            elif kind == 1 and isinstance(holder, list):
                holder.append(holder[key])
            elif kind == 2 and isinstance(holder[key], (int, float)):
                holder[key] = chance.choice((holder[key] + 1, -holder[key], holder[key] * 1.5, holder[key] / 3))
            else:
                holder[key] = chance.choice(ODD)
            break
    file.write_text(json.dumps(document))


def pictures_of(path: Path) -> list[Path]:
    """All pictures of the set."""
    return sorted(
        one for one in path.parent.parent.rglob("*") if one.suffix in (".jpg", ".png") and not one.is_symlink()
    )


def spoil_jpeg(path: Path, chance: Random) -> None:
    """The bytes of a JPEG, or a segment put in."""
    picture = chance.choice([one for one in pictures_of(path) if one.suffix == ".jpg"])
    content = picture.read_bytes()
    if chance.random() < 0.4:
        body = chance.choice((b"Exif\0\0", b"ICC_PROFILE\0", b"MPF\0", b"Photoshop 3.0\0", b"Adobe", b"JFIF\0", b""))
        body += chance.choice((b"", b"MM\0*\0\0\0\x08", b"II*\0\x08\0\0\0\x01\0")) + chance.randbytes(
            chance.randrange(30)
        )
        marker = chance.choice((*range(0xE0, 0xF0), 0xFE, 0xDB, 0xC4, 0xDD))
        content = content[:2] + struct.pack(">BBH", 0xFF, marker, 2 + len(body)) + body + content[2:]
    else:
        content = spoil_bytes(content, chance)
    picture.write_bytes(content)


def spoil_png(path: Path, chance: Random) -> None:
    """The bytes of a PNG, a chunk put in, or its header changed with the right checksum."""
    picture = chance.choice([one for one in pictures_of(path) if one.suffix == ".png"])
    content = picture.read_bytes()
    kind = chance.randrange(3)
    if kind == 0:
        name = chance.choice(
            (b"zTXt", b"iTXt", b"tEXt", b"iCCP", b"eXIf", b"tRNS", b"pHYs", b"acTL", b"fcTL", b"abcd", b"IDAT")
        )
        body = chance.choice((b"a\0\0" + zlib.compress(b"a" * 2_000_000), b"", b"MM\0*\0\0\0\x08", chance.randbytes(9)))
        content = content[:33] + chunk(name, body) + content[33:]
    elif kind == 1:
        header = bytearray(content[16:29])
        header[chance.randrange(13)] = chance.choice((0, 1, 2, 3, 4, 6, 8, 16, 255))
        content = content[:8] + chunk(b"IHDR", bytes(header)) + content[33:]
    else:
        content = spoil_bytes(content, chance)
    picture.write_bytes(content)


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


NAMES = (
    *(
        b"caf\xe9.jpg",
        b"a\nb.jpg",
        b"a b.jpg",
        b".hidden.jpg",
        b"._a.jpg",
        b"\xc3\xa9.jpg",
        b"a.JPG",
        b"a.jfif",
        b"a.mpo",
    ),
    *(
        b"a.webp",
        b"a.heif",
        b"a.npy",
        b"a",
        b"a.",
        b"a..jpg",
        b"\xe2\x80\xae.jpg",
        b"images.jpg",
        b"\x1b[31m.jpg",
        b"-a.jpg",
    ),
    *(b"a.txt", b"Thumbs.db", b"a.jpg.png", b"%s.jpg", b"x" * 240 + b".jpg", b"a'b\".jpg", b"$(a).jpg", b"a\\b.jpg"),
)
FOLDERS = (b".git", b"@eaDir", b"night", b"n\xe9", b"a\nb", b".ipynb_checkpoints", b"lost+found", b"a b")


def spoil_names(path: Path, chance: Random) -> None:
    """A picture or a label in another name, or a copy of a picture in another name, or in another folder too."""
    split = chance.choice(("train", "val"))
    pictures, labels = (path.parent / kind / split for kind in ("images", "labels"))
    kind, name = chance.randrange(4), Path(os.fsdecode(chance.choice(NAMES)))
    picture = chance.choice(sorted(pictures.iterdir()))
    if kind == 0:
        picture.rename(pictures / name)
    elif kind == 1:
        chance.choice(sorted(labels.iterdir())).rename(labels / f"{name.stem}.txt")
    elif kind == 2:
        folder = pictures / os.fsdecode(chance.choice(FOLDERS))
        folder.mkdir()
        shutil.copy(picture, folder / name)
    elif not (pictures / name).exists():
        shutil.copy(picture, pictures / name)


def spoil_links(path: Path, chance: Random) -> None:
    """A picture, a label or a folder made a link, a pipe or a folder."""
    root, pool = path.parent, path.parent.parent / "pool"
    split = chance.choice(("train", "val"))
    victim = chance.choice(sorted([*(root / "images" / split).iterdir(), *(root / "labels" / split).iterdir()]))
    targets = (pool / "images" / "x.jpg", pool / "labels" / "x.txt", Path("/nowhere"), Path("/dev/null"), root, victim)
    kind = chance.randrange(6)
    if kind == 0:
        victim.unlink()
        victim.symlink_to(chance.choice(targets))
    elif kind == 1:
        (root / "images" / split / chance.choice(("bg.jpg", "night", "bg.txt", "a.npy"))).symlink_to(
            chance.choice(targets)
        )
    elif kind == 2:
        (root / "images" / split / "loop").symlink_to(
            chance.choice((root, root / "images", pool / "images", Path("loop")))
        )
    elif kind == 3:
        victim.unlink()
        chance.choice((os.mkfifo, os.mkdir))(victim)
    elif kind == 4:
        (root / "images" / split).rename(root / "elsewhere")
        (root / "images" / split).symlink_to(chance.choice((root / "elsewhere", Path("../elsewhere"), pool / "images")))
    else:
        (root / "labels" / split).rename(root / "elsewhere")
        (root / "labels" / split).symlink_to(chance.choice((root / "elsewhere", pool / "labels", Path("/nowhere"))))


SPOILERS: dict[str, Spoil] = {
    "yaml": spoil_yaml,
    "labels": spoil_labels,
    "json": spoil_json,
    "jpeg": spoil_jpeg,
    "png": spoil_png,
    "names": spoil_names,
    "links": spoil_links,
}


# --- what is right


@pytest.fixture
def sets(tmp_path: Path, yolo: Path, coco: Path, picture: Callable[..., Path]) -> dict[str, Path]:
    """A good set of each format, with pictures of both kinds, and a pool of another: the folder, and where in it."""
    root = tmp_path / "good"
    root.mkdir()
    for name, path in (("yolo", yolo.parent), ("coco", coco.parent.parent)):
        path.rename(root / name)
    picture(root / "yolo" / "images" / "train" / "g.png", seed=9)
    (root / "yolo" / "labels" / "train" / "g.txt").write_text("1 0.1 0.1 0.2 0.1 0.2 0.2\n")
    picture(root / "pool" / "images" / "x.jpg", seed=8)
    (root / "pool" / "labels").mkdir()
    (root / "pool" / "labels" / "x.txt").write_text("0 .25 .25 .1 .1\n")
    return {"yolo": Path("yolo/data.yaml"), "coco": Path("coco/annotations/instances_train2017.json"), "": root}


@pytest.fixture
def no_hang() -> Iterator[None]:
    """Whatever takes longer than LONGEST ends in an error."""

    def late(number: int, frame: Optional[FrameType]) -> None:
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, late)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def answered(path: Path, cache: Path) -> PrepareAnswer:
    """What the process that prepares would answer, through JSON and back."""
    signal.alarm(LONGEST)
    request = PrepareRequest(data=str(path), shapes=Shapes(images=1, validation=1), cache=str(cache), workers=0)
    return msgspec.json.decode(msgspec.json.encode(answer_to(msgspec.json.encode(request))), type=PrepareAnswer)


def mistake(path: Path, answer: PrepareAnswer) -> str:
    """What is wrong with an answer; empty where nothing is."""
    if not answer.prepared:
        said = answer.problem
        return "" if said and all(map(str.isprintable, said)) else f"nothing clear: {said!r}"
    index = read_index(Path(answer.prepared.index))
    try:
        right = read_set(path)
    except Wrong as why:
        return f"accepted, but wrong: {why}"
    found = {"train": index.train, "val": index.val}
    return "; ".join(filter(None, (difference(found[key], right[key]) for key in found)))


def difference(items: Sequence[Item], right: Found) -> str:
    """How items differ from what is right; empty where they do not."""
    if [os.path.realpath(item.path) for item in items] != [image for image, _ in right]:
        return f"other pictures: {[item.path for item in items]}, not {right}"
    for item, (image, rows) in zip(items, right):
        if len(rows) != len(item.boxes) or any(
            pytest.approx(one, abs=1e-9) != own for one, own in zip(rows, item.boxes)
        ):
            return f"other boxes of {image}: {item.boxes}, not {rows}"
        size = size_of(Path(image).read_bytes())
        if (item.width, item.height) not in (size, size[::-1]):  # it may lie on its side
            return f"another size of {image}: {item.width} x {item.height}, not {size}"
    return ""


def test_the_reader_of_these_tests_agrees_on_sets_that_are_whole(
    sets: dict[str, Path], tmp_path: Path, no_hang: None
) -> None:
    for kind in ("yolo", "coco"):
        path = sets[""] / sets[kind]
        answer = answered(path, tmp_path / "cache")
        assert answer.prepared
        assert mistake(path, answer) == ""


def test_the_reader_of_these_tests_notices_one_box_that_is_another(
    sets: dict[str, Path], tmp_path: Path, no_hang: None
) -> None:
    path = sets[""] / sets["yolo"]
    answer = answered(path, tmp_path / "cache")
    (path.parent / "labels" / "train" / "b.txt").write_text("0 0.5 0.5 0.25 0.5\n1 0.25 0.25 0.1 0.1001\n")
    assert "other boxes" in mistake(path, answer)
    (path.parent / "images" / "val" / "d.jpg").unlink()
    assert "other pictures" in mistake(path, answer)


@pytest.mark.parametrize("what", SPOILERS)
def test_a_spoilt_set_is_refused_in_words_or_read_right(
    sets: dict[str, Path], tmp_path: Path, no_hang: None, what: str
) -> None:
    mistakes, accepted = {}, 0
    tries = max(1, COUNT // len(SPOILERS))
    for seed in range(tries):
        place = tmp_path / "spoilt"
        shutil.copytree(sets[""], place, symlinks=True)
        chance = Random(f"{what} {seed}")
        path = place / sets["coco" if what == "json" else "yolo"]
        SPOILERS[what](path, chance)
        try:
            answer = answered(path, tmp_path / "cache")
            wrong = mistake(path, answer)
            accepted += not answer.problem
        except Exception as error:  # of whatever kind: none may reach the user
            wrong = f"{type(error).__name__}: {error}"
        if wrong:
            mistakes[seed] = wrong
        shutil.rmtree(place)
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    assert mistakes == {}
    assert 0 < accepted < tries or tries < 20  # sets that are all refused, or all fine, would show nothing
