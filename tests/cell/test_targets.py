"""The true boxes of a batch, padded."""

from __future__ import annotations

import numpy as np
import pytest

from harness.cell.targets import pad_targets

ABSENT = [-1.0, 0.0, 0.0, 0.0, 0.0]


def test_targets_are_padded_image_by_image_in_their_order() -> None:
    rows = np.array([[2, 5, 0.5, 0.5, 1, 1], [0, 1, 0.25, 0.5, 0.5, 0.5], [2, 6, 0.5, 0.5, 0.5, 0.5]], dtype=np.float32)
    padded = pad_targets(rows, batch=3, width=100, height=40)
    assert padded.dtype == np.float32
    assert padded.tolist() == [
        [[1, 0, 10, 50, 30], ABSENT],
        [ABSENT, ABSENT],
        [[5, 0, 0, 100, 40], [6, 25, 10, 75, 30]],
    ]


def test_no_rows_at_all_are_padded_to_one_absent_row_per_image() -> None:
    padded = pad_targets(np.zeros((0, 6), dtype=np.float32), batch=2, width=64, height=64)
    assert padded.tolist() == [[ABSENT], [ABSENT]]


@pytest.mark.parametrize("image", [-1, 2])
def test_a_row_for_an_image_outside_the_batch_is_refused(image: int) -> None:
    with pytest.raises(ValueError, match="the batch has 2 images"):
        pad_targets(np.array([[image, 0, 0.5, 0.5, 1, 1]], dtype=np.float32), batch=2, width=64, height=64)
