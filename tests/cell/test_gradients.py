"""Norms of all gradients, and clipping."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from harness.cell.gradients import WIDTH, Gradients, Rows, norms_one_by_one


@pytest.fixture
def parameters() -> list[nn.Parameter]:
    """Of three, the last has no gradient."""
    made = [nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(2, 2)), nn.Parameter(torch.zeros(1))]
    made[0].grad = torch.tensor([3.0, 0.0, 4.0])
    made[1].grad = torch.full((2, 2), 6.0)
    return made


def rows_of(gradients: list[torch.Tensor]) -> Rows:
    return Rows([nn.Parameter(torch.zeros_like(one)) for one in gradients])


def test_norms_are_per_parameter_and_a_missing_gradient_has_none(parameters: list[nn.Parameter]) -> None:
    assert Gradients(parameters).norms().tolist() == [5.0, 12.0, 0.0]
    assert Rows(parameters).norms([one.grad for one in parameters]).tolist() == [5.0, 12.0, 0.0]


def test_clipping_scales_the_joint_norm_down_and_never_up(parameters: list[nn.Parameter]) -> None:
    gradients = Gradients(parameters)
    for limit in (6.5, 100.0):
        gradients.clip(torch.norm(gradients.norms()).item(), limit)
        assert torch.norm(gradients.norms()).item() == pytest.approx(6.5, rel=1e-5)
    assert parameters[2].grad is None


def test_rows_have_the_norms_of_gradients_of_any_size() -> None:
    torch.manual_seed(0)
    sizes = [(1,), (WIDTH - 1,), (WIDTH,), (WIDTH + 1,), (3, 5, 7), (2, WIDTH, 3), (5 * WIDTH,)]
    gradients = [torch.randn(size) * 10.0 ** (3 * (number % 3) - 3) for number, size in enumerate(sizes)]
    exact = [one.double().norm().item() for one in gradients]
    rows = rows_of(gradients)
    for _ in range(2):  # the first time leaves nothing that the second adds to
        assert rows.norms(gradients).tolist() == pytest.approx(exact, rel=1e-6)


def test_rows_forget_the_gradient_of_a_parameter_that_no_longer_has_one() -> None:
    gradients = [torch.ones(4), torch.ones(9)]
    rows = rows_of(gradients)
    assert rows.norms(gradients).tolist() == [2.0, 3.0]
    assert rows.norms([None, gradients[1]]).tolist() == [0.0, 3.0]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_rows_name_the_one_gradient_that_is_not_finite(value: float) -> None:
    gradients = [torch.ones(2 * WIDTH), torch.ones(WIDTH + 5), torch.ones(3)]
    gradients[1][-1] = value
    norms = rows_of(gradients).norms(gradients)
    assert torch.isfinite(norms).tolist() == [True, False, True]
    assert str(norms[1].item()) == str(norms_one_by_one(gradients)[1].item())


def test_a_small_gradient_beside_a_large_one_keeps_its_digits() -> None:
    gradients = [torch.full((WIDTH,), 1e6), torch.full((4,), 1e-6), torch.full((WIDTH,), 1e6)]
    assert rows_of(gradients).norms(gradients)[1].item() == pytest.approx(2e-6, rel=1e-6)


def test_rows_look_at_gradients_and_leave_them_as_they_are(parameters: list[nn.Parameter]) -> None:
    before = [None if one.grad is None else one.grad.clone() for one in parameters]
    Rows(parameters).norms([one.grad for one in parameters])
    assert parameters[0].grad is not None
    assert torch.equal(parameters[0].grad, before[0])
    assert parameters[2].grad is None
