"""The zip file that `torch.save` writes: a pickle, and one file for each storage that it refers to."""

from __future__ import annotations

import re
import struct
import zlib
from typing import BinaryIO
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from harness.cell.inert import Refused, damaged
from harness.core.files import spelt_out

MOST_BYTES = 2**26
"""Of the pickle itself: that of a detector has less than half a million."""

PARTS = re.compile(r"data\.pkl|version|byteorder|data/\w+|\.\w+|\.data/\w+")
"""What lies in its one folder."""

BROKEN = (BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, OverflowError, struct.error, zlib.error)
"""What `zipfile` raises of a file that is not whole, or that asks for more than torch.save does, such as a password."""


class Archive:
    """The parts of such a file. `Refused` where it is none, is not whole, or claims to hold more than it has."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        try:
            self.zip = ZipFile(file)
        except BROKEN as error:
            raise damaged(spelt_out(str(error))) from None
        self.folder = self.zip.namelist()[0].partition("/")[0] if self.zip.namelist() else ""
        self.parts: dict[str, ZipInfo] = {}
        for info in self.zip.infolist():
            self.add(info)
        if "data.pkl" not in self.parts:
            raise Refused("it is a zip file but none of torch.save; name the file of the weights itself")
        if sum(info.file_size for info in self.parts.values()) > size:
            raise damaged("it claims to hold more than it has")
        if "byteorder" in self.parts and self.read("byteorder", 16) != b"little":
            raise Refused("it has its numbers in the order of a big-endian machine; save it as safetensors there")

    def add(self, info: ZipInfo) -> None:
        """Take up a part, by its name within the one folder."""
        folder, _, part = info.filename.partition("/")
        shown = spelt_out(info.filename)[:100]
        if part == "constants.pkl" or part.startswith("code/"):
            raise Refused("it is a TorchScript file, which holds code; save the state dict of its module")
        if folder != self.folder or folder in ("", ".", "..") or not PARTS.fullmatch(part):
            raise Refused(f"it holds {shown}, which torch.save does not write; save the state dict anew")
        if part in self.parts:
            raise damaged(f"two parts are called {shown}")
        if info.compress_type != ZIP_STORED or info.compress_size != info.file_size:
            raise Refused(f"its part {shown} is compressed, which torch.save does not do; save the state dict anew")
        self.parts[part] = info

    def read(self, part: str, most: int) -> bytes:
        """A part of at most so many bytes."""
        info = self.parts.get(part)
        if info is None:
            raise damaged(f"its part {spelt_out(part)[:100]} is missing")
        if info.file_size > most:
            raise damaged(f"its part {part} has {info.file_size} bytes, {most} are the most that it can have")
        try:
            return self.zip.read(info)
        except BROKEN as error:
            raise damaged(spelt_out(str(error))) from None
