"""Scratch copies of the project, in which tests may break things, and the commands that run there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from harness.core.files import ROOT
from harness.core.plan import PLAN_FILE, read_plan
from harness.core.record import Record, read_record, record_path


class Project:
    """A copy of everything that git would clone, changes included."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=ROOT,
            capture_output=True,
            check=True,
        )
        for name in filter(None, listed.stdout.decode().split("\0")):
            if (ROOT / name).exists():
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, target)

    def lend_environments(self) -> None:
        """Let the copy use the environments that are built here already."""
        shutil.copytree(ROOT / ".nox" / "built", self.folder / ".nox" / "built")

    def build(self, environment: str) -> None:
        """Build an environment in the copy, as its session would."""
        built = self.python("-m", "harness.conduct", "build", environment)
        assert built.returncode == 0, built.stdout + built.stderr

    def change(self, name: str, old: str, new: str) -> None:
        """Replace text in a file of the copy; the text must be there."""
        path = self.folder / name
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{name} does not hold {old!r}"
        path.write_text(text.replace(old, new), encoding="utf-8")

    def require_nothing(self, until: str) -> None:
        """Take what every lock holds beside torch out of matrix.toml, with all that follows before a heading."""
        path = self.folder / "cases" / "matrix.toml"
        text = path.read_text(encoding="utf-8")
        start, end = text.index("requirements = ["), text.index(until)
        path.write_text(f"{text[:start]}requirements = []\n\n{text[end:]}", encoding="utf-8")

    def add_case(self, folder: str, files: Mapping[str, str]) -> None:
        """Put a case into the copy: its files by their names, as indented text."""
        place = self.folder / "cases" / folder
        place.mkdir()
        for name, text in files.items():
            (place / name).write_text(textwrap.dedent(text).lstrip(), encoding="utf-8")

    def python(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run Python in the copy with the interpreter of the tests."""
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env={**self.environment(), **variables},
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    @staticmethod
    def environment() -> dict[str, str]:
        """The variables of the tests without what belongs to their own session."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("NOX_", "PYTEST", "UV_PY"))}
        kept.pop("VIRTUAL_ENV", None)
        return kept

    def plan(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """What the session `matrix` does first."""
        return self.python("-m", "harness.conduct", "plan", "--handoff", "handoff.json", *arguments)

    def run(self, name: str) -> subprocess.CompletedProcess[str]:
        """What the session `measure` does."""
        return self.python("-m", "harness.conduct", "run", f"results/{name}")

    def start_run(self, name: str) -> subprocess.Popen[bytes]:
        """The same, without waiting for it."""
        return subprocess.Popen(
            [sys.executable, "-m", "harness.conduct", "run", f"results/{name}"],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def processes(self) -> list[psutil.Process]:
        """Whatever runs in the copy's folder."""
        return [
            process
            for process in psutil.process_iter(["cwd", "pid", "status"])
            if process.info["cwd"] == str(self.folder) and process.info["pid"] != os.getpid()
            if process.info["status"] != psutil.STATUS_ZOMBIE
        ]

    def report(self, name: str) -> subprocess.CompletedProcess[str]:
        """What the session `measure` does last."""
        return self.python("-m", "reports", f"results/{name}")

    def records(self, name: str) -> dict[tuple[str, str, int], Record]:
        """The records of a results folder, by case, pin and round."""
        results = self.folder / "results" / name
        specs = read_plan(results / PLAN_FILE).runs
        return {(spec.case, spec.pin.name, spec.round): read_record(record_path(results, spec)) for spec in specs}


def wheel(folder: Path, name: str, version: str, requires: Sequence[str] = ()) -> None:
    """Put a wheel that holds nothing but its metadata into a folder, for uv to find."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {one}\n" for one in requires)
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as file:
        file.writestr(f"{info}/METADATA", metadata)
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")
