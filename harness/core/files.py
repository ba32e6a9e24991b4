"""Files that are whole or absent: atomic writes, strict reads, digests."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import msgspec.toml

from harness.core.errors import UsageError

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
"""The project's folder: where noxfile.py lies and where every process of ours is started."""


def write_atomically(path: Path, *content: bytes | memoryview) -> None:
    """Write `content`, one piece after another, so that a reader, or a kill at any moment, sees the old file or the new
    one, never a part.

    Raises `UsageError` where the folder cannot be written or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.writelines(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(0o644)  # mkstemp's 0600 would lock reviewers out of a shared results folder
            temporary.replace(path)
        except BaseException:
            temporary.unlink()
            raise
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written ({error.strerror}): make room or name another folder that you may write to."
        ) from None


def read_text(path: Path, what: str) -> str:
    """The text of a file that the user is responsible for; `what` names it in the error."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"{what} {path} cannot be read: {reason}.") from None


def read_toml(path: Path, what: str, type_: type[T]) -> T:
    """Decode a TOML file strictly as `type_`; `UsageError` names the file and the key or line that is wrong."""
    return decoded(toml_of(path, what), path, type_)


def toml_of(path: Path, what: str) -> dict[str, Any]:
    """The tables of a TOML file, unchecked; `UsageError` names the file and the line that is wrong."""
    text = read_text(path, what)
    try:
        tables: dict[str, Any] = msgspec.toml.decode(text.encode())
    except Exception as error:  # tomllib and tomli have each their own decode error
        raise UsageError(f"{path} is not valid TOML: {error}.") from None
    return tables


def decoded(tables: dict[str, Any], path: Path, type_: type[T]) -> T:
    """The tables of a file strictly as `type_`; `UsageError` names the key that is wrong."""
    try:
        return msgspec.convert(tables, type_)
    except msgspec.ValidationError as error:
        raise UsageError(f"{path}: {with_key(str(error), tables, type_)}.") from None


UNNAMED = "[...]"
"""What msgspec says in place of a key of a table whose keys are free."""
STEP = re.compile(r"\.[^.\[`]+|\[[^\]]*\]")


def with_key(said: str, tables: Any, type_: type[Any]) -> str:
    """What msgspec said is wrong, with the free keys that it leaves out: of each table the first that is wrong."""
    path: list[str] = []
    for step in STEP.findall(said.partition("$")[2]):
        if step == UNNAMED:
            wrong = [key for key in at(tables, path) if is_wrong(alone(tables, path, key), type_)]
            if not wrong:
                return said
            tables = alone(tables, path, wrong[0])
            said = said.replace(UNNAMED, f".{wrong[0]}", 1)
            path.append(wrong[0])
        else:
            path.append(step.lstrip("."))
    return said


def at(tables: Any, path: list[str]) -> dict[str, Any]:
    """The table at a path; an empty one where a list lies on the way."""
    for key in path:
        tables = tables.get(key, {}) if isinstance(tables, dict) else {}
    return tables if isinstance(tables, dict) else {}


def alone(tables: dict[str, Any], path: list[str], key: str) -> dict[str, Any]:
    """The tables with only that key in the one at the path."""
    if not path:
        return {key: tables[key]}
    return {**tables, path[0]: alone(tables[path[0]], path[1:], key)}


def is_wrong(tables: dict[str, Any], type_: type[Any]) -> bool:
    """Whether the tables are not what `type_` wants."""
    try:
        msgspec.convert(tables, type_)
    except msgspec.ValidationError:
        return True
    return False


def spelt_out(text: str) -> str:
    """Text from file names as it can be written and shown anywhere: bytes that are not UTF-8 and control characters are
    spelt out, as `\\xe9` and `\\n`."""
    return "".join(each if each.isprintable() else _spelt(each) for each in text)


def is_text(text: str) -> bool:
    """Whether it can be written as UTF-8: file names may be any bytes, and Python has those that are none as lone
    surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _spelt(character: str) -> str:
    code = ord(character)
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else character.encode("unicode_escape").decode()


def to_json(value: object) -> bytes:
    """Indented JSON of a struct, with a final newline, as records and plans are kept."""
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"


def digest_of(value: object) -> str:
    """sha256 of a value's canonical JSON (keys in sorted order)."""
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()


def digest_of_files(paths: Iterable[Path], root: Path) -> str:
    """sha256 over the names (relative to `root`) and contents of files, in the order of their names."""
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(f"{path.relative_to(root).as_posix()}\0".encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()
