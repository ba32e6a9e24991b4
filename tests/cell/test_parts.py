"""What the parts of a step cost, printed."""

from __future__ import annotations

import pytest

from harness.cell.kernels import Event
from harness.cell.parts import launches_in, main
from harness.core.plan import ASKED_FILE, SCHEMA, Plan, write_plan
from harness.core.settings import Shapes


def test_launches_belong_to_the_part_in_whose_time_they_are() -> None:
    marks = [Event("user_annotation", "norms", 0, 10), Event("user_annotation", "norms", 100, 110)]
    on_gpu = Event("gpu_user_annotation", "norms", 0, 1000)
    launches = [Event("cuda_runtime", "cudaLaunchKernel", at, at + 1) for at in (1, 5, 50, 101)]
    others = [Event("cuda_runtime", "cudaStreamSynchronize", 2, 3), Event("kernel", "norm", 4, 5)]
    assert launches_in([*marks, on_gpu, *launches, *others], "norms") == 1.5
    assert launches_in(launches, "norms") == 0


def test_every_part_of_the_step_that_a_plan_asks_for_has_its_line(spec, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr("harness.cell.parts.REPEATS", 1)
    monkeypatch.setattr("harness.cell.kernels.PROFILED", 1)
    shapes = {"train": Shapes(images=8, validation=2)}
    made = Plan(
        schema=SCHEMA, name="a", machine="cpu", reason="", profile="smoke", rounds=1, pins=[spec.pin], cases=["train"],
        data=None, shapes=shapes, runs=[spec],
    )  # fmt: skip
    write_plan(tmp_path / ASKED_FILE, made)
    assert main([str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    parts = [line[:40].strip() for line in lines[2:-1]]
    assert parts[-1] == "the whole step"
    assert {"forward", "loss", "optimiser", "average", "instruments: norms", "instruments: clip"} <= set(parts)


@pytest.mark.parametrize("arguments", [[], ["/nowhere"]])
def test_a_folder_without_a_plan_is_one_sentence(arguments, capsys) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
