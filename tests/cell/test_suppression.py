"""From decoded maps to detections."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from harness.cell.suppress import detections, greedy_nms


def decoded(*cells: list[float]) -> Tensor:
    """One image; a cell is centre x, y, width, height, then its scores."""
    return torch.tensor(cells).t()[None]


def found(image: Tensor, **settings: float) -> list[list[float]]:
    return detections(image, greedy_nms, **settings)[0].tolist()  # type: ignore[arg-type]


def test_a_box_is_found_with_its_corners_score_and_class() -> None:
    assert found(decoded([10, 20, 4, 8, 0, 0.5])) == [[8, 16, 12, 24, 0.5, 1]]


def test_scores_at_or_below_the_threshold_are_nothing() -> None:
    image = decoded([10, 20, 4, 8, 0.001, 0.0005], [50, 20, 4, 8, 0.0011, 0])
    assert [row[:4] for row in found(image)] == [[48, 16, 52, 24]]


def test_an_image_may_have_no_detection() -> None:
    results = detections(torch.zeros(2, 6, 5), greedy_nms)
    assert [tuple(result.shape) for result in results] == [(0, 6), (0, 6)]


def test_images_keep_apart() -> None:
    batch = torch.cat((decoded([10, 20, 4, 8, 0.5]), decoded([10, 20, 4, 8, 0.25])))
    assert [result[:, 4].tolist() for result in detections(batch, greedy_nms)] == [[0.5], [0.25]]


def test_a_box_is_found_once_for_each_of_its_classes() -> None:
    assert [row[4:] for row in found(decoded([10, 20, 4, 8, 0.25, 0.5, 0]))] == [[0.5, 1], [0.25, 0]]


def test_of_two_alike_boxes_of_a_class_the_better_remains() -> None:
    image = decoded([10, 10, 10, 10, 0.5], [10.5, 10, 10, 10, 0.75], [40, 10, 10, 10, 0.25])
    assert [row[4] for row in found(image)] == [0.75, 0.25]


def test_alike_boxes_of_different_classes_both_remain() -> None:
    image = decoded([10, 10, 10, 10, 0.5, 0], [10.5, 10, 10, 10, 0, 0.75])
    assert [row[5] for row in found(image)] == [1, 0]


def test_boxes_outside_the_image_do_not_meet_another_class() -> None:
    image = decoded([-100, 10, 10, 10, 0.5, 0], [300, 10, 10, 10, 0, 0.75], [-5, 10, 400, 10, 0.25, 0.25])
    assert len(found(image)) == 4


def test_an_overlap_of_exactly_the_limit_is_kept() -> None:
    # 4 of 16 and 4 of 16, sharing 8 of 24: IoU 1/3; and of exactly 1/2 with width 16 against 8
    image = decoded([8, 4, 16, 8, 0.75], [4, 4, 8, 8, 0.5])
    assert len(found(image, iou_limit=0.5)) == 2
    assert len(found(image, iou_limit=0.49)) == 1


def test_a_suppressed_box_suppresses_nothing() -> None:
    image = decoded([10, 10, 10, 10, 0.75], [13, 10, 10, 10, 0.5], [16, 10, 10, 10, 0.25])
    assert [row[4] for row in found(image, iou_limit=0.5)] == [0.75, 0.25]


def test_at_most_so_many_detections_remain_and_they_are_the_best() -> None:
    cells = [[20.0 * i, 10, 10, 10, 0.01 + i / 1000] for i in range(400)]
    rows = found(decoded(*cells))
    assert len(rows) == 300
    assert [row[4] for row in rows] == sorted((row[4] for row in rows), reverse=True)
    assert rows[-1][4] == pytest.approx(0.11)


def test_candidates_are_capped_by_score() -> None:
    image = decoded([10, 10, 10, 10, 0.25, 0.5], [50, 10, 10, 10, 0.75, 0.125])
    assert [row[4] for row in found(image, most_candidates=2)] == [0.75, 0.5]


def test_equal_scores_come_in_the_order_of_cells_then_classes() -> None:
    image = decoded([50, 10, 10, 10, 0.5, 0.5], [10, 10, 10, 10, 0.5, 0.5])
    assert [(row[0], row[5]) for row in found(image)] == [(45, 0), (45, 1), (5, 0), (5, 1)]


def test_half_precision_maps_are_decided_in_single_precision() -> None:
    assert detections(decoded([10, 20, 4, 8, 0.5]).half(), greedy_nms)[0].dtype == torch.float32


def random_boxes(seed: int, count: int, grid: float) -> Tensor:
    """Boxes on a grid, so that equal boxes and equal overlaps occur."""
    random = np.random.RandomState(seed)
    corner, size = random.uniform(0, 60, (count, 2)), random.uniform(0, 30, (count, 2))
    return torch.from_numpy(np.round(np.concatenate((corner, corner + size), 1) / grid) * grid).float()


def torchvision_nms() -> Any:
    return pytest.importorskip("torchvision").ops.nms


@pytest.mark.parametrize("limit", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("grid", [1e-3, 1.0, 10.0])
@pytest.mark.parametrize("seed", range(5))
def test_greedy_suppression_is_that_of_torchvision(seed: int, grid: float, limit: float) -> None:
    nms = torchvision_nms()
    boxes = random_boxes(seed, 300, grid)
    scores = torch.from_numpy(np.random.RandomState(seed + 100).permutation(300) / 300).float()
    assert greedy_nms(boxes, scores, limit).tolist() == nms(boxes, scores, limit).tolist()


@pytest.mark.parametrize("limit", [0.3, 0.7])
@pytest.mark.parametrize("grid", [1e-3, 10.0])
@pytest.mark.parametrize("seed", range(5))
def test_equal_scores_are_suppressed_as_if_the_earlier_were_higher(seed: int, grid: float, limit: float) -> None:
    """Torchvision itself is asked without ties: 0.11 takes them in no particular order, 0.13 by position."""
    nms = torchvision_nms()
    boxes = random_boxes(seed, 300, grid)
    scores = np.random.RandomState(seed + 100).randint(0, 5, 300) / 5
    rank = np.empty(300)
    rank[np.argsort(-scores, kind="stable")] = np.arange(300, 0, -1)
    expected = nms(boxes, torch.from_numpy(rank).float(), limit)
    assert greedy_nms(boxes, torch.from_numpy(scores).float(), limit).tolist() == expected.tolist()


def test_detections_are_the_same_with_either_suppression() -> None:
    nms = torchvision_nms()
    boxes = random_boxes(3, 500, 1.0)
    scores = torch.from_numpy(np.random.RandomState(4).randint(0, 50, (500, 3)) / 50).float()
    image = torch.cat(((boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2], scores), 1).t()[None]
    assert torch.equal(detections(image, nms)[0], detections(image, greedy_nms)[0])


def test_no_boxes_at_all_are_no_boxes_kept() -> None:
    assert greedy_nms(torch.zeros(0, 4), torch.zeros(0), 0.5).tolist() == []
