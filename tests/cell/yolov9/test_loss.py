"""The detection loss at its edges; its values are in test_golden.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from harness.cell.model import Losses
from harness.cell.targets import pad_targets
from harness.cell.yolov9.assign import Assignment
from harness.cell.yolov9.decode import Cells, boxes_at, cells_of, decode
from harness.cell.yolov9.head import HeadMaps, expected_distances
from harness.cell.yolov9.loss import DetectionLoss, distribution_loss

CLASSES = 3
SIZE = (64, 96)
AUXILIARY, MAIN = "auxiliary box head", "main box head"
SHAPES = ((8, 12), (4, 6), (2, 3))
BOXES = [[0, 0, 0.5, 0.5, 0.4, 0.6], [0, 2, 0.3, 0.4, 0.2, 0.3], [1, 1, 0.25, 0.25, 0.5, 0.4]]


@pytest.fixture
def maps(reference: Any) -> HeadMaps:
    def group(name: str) -> list[Tensor]:
        raw = (torch.from_numpy(reference.fill(f"{name}{h}", (2, 64 + CLASSES, h, w))).float() * 4 for h, w in SHAPES)
        return [level.requires_grad_() for level in raw]

    return HeadMaps(group("auxiliary"), group("main"))


def padded(rows: list[list[float]], batch: int = 2) -> Tensor:
    return torch.from_numpy(pad_targets(np.array(rows, dtype=np.float32), batch, width=SIZE[1], height=SIZE[0]))


def loss_of(maps: HeadMaps, rows: list[list[float]]) -> Losses:
    return DetectionLoss(CLASSES)(maps, padded(rows, len(maps.main[0])), SIZE)


def gradient(maps: list[Tensor]) -> Tensor:
    assert all(level.grad is not None for level in maps)
    return torch.cat([level.grad.flatten(2) for level in maps], 2)  # type: ignore[union-attr]


def test_the_gradient_reaches_boxes_and_classes_of_both_groups(maps: HeadMaps) -> None:
    loss_of(maps, BOXES).total.backward()
    for group in maps:
        found = gradient(group)
        assert bool(torch.isfinite(found).all())
        assert bool(found[:, :64].any())
        assert bool((found[:, 64:] != 0).all())


def test_the_total_is_the_parts_times_the_batch(maps: HeadMaps) -> None:
    loss = loss_of(maps, BOXES)
    assert loss.total.item() == pytest.approx(2 * sum(loss.terms.values()).item())


def test_without_true_boxes_only_classes_are_learnt_and_no_gradient_is_undefined(maps: HeadMaps) -> None:
    loss = loss_of(maps, [])
    loss.total.backward()
    assert (loss.terms["box"].item(), loss.terms["dfl"].item()) == (0, 0)
    assert [count.item() for count in loss.reached.values()] == [0, 0]
    assert loss.terms["class"].item() > 0
    for group in maps:
        assert not gradient(group)[:, :64].any()
        assert bool((gradient(group)[:, 64:] != 0).all())


def test_a_tiny_box_without_a_centre_counts_as_no_box(maps: HeadMaps) -> None:
    tiny, none = loss_of(maps, [[0, 1, 0.02, 0.02, 0.01, 0.01]]), loss_of(maps, [])
    assert tiny.total.item() == none.total.item()


def test_more_absent_rows_change_nothing(maps: HeadMaps) -> None:
    targets = padded(BOXES)
    wider = torch.cat((targets, padded([]).expand(-1, 5, -1)), 1)
    criterion = DetectionLoss(CLASSES)
    assert criterion(maps, wider, SIZE).total.item() == criterion(maps, targets, SIZE).total.item()


def test_an_image_of_its_own_has_the_loss_terms_of_the_whole_batch_together(maps: HeadMaps) -> None:
    """Batch 1 works, and the foreground of a batch is that of its images."""
    single = [HeadMaps(*([level[i : i + 1] for level in group] for group in maps)) for i in range(2)]
    first = loss_of(single[0], [row for row in BOXES if row[0] == 0])
    second = loss_of(single[1], [[0, *row[1:]] for row in BOXES if row[0] == 1])
    both = loss_of(maps, BOXES)
    assert first.reached[MAIN] + second.reached[MAIN] == both.reached[MAIN]
    assert first.reached[AUXILIARY] + second.reached[AUXILIARY] == both.reached[AUXILIARY]


def test_the_foreground_counts_belong_to_their_groups(maps: HeadMaps) -> None:
    swapped = loss_of(HeadMaps(maps.main, maps.auxiliary), BOXES)
    loss = loss_of(maps, BOXES)
    assert loss.reached[AUXILIARY] == swapped.reached[MAIN]
    assert loss.reached[MAIN] == swapped.reached[AUXILIARY]
    assert loss.reached[AUXILIARY] != loss.reached[MAIN]


def test_the_auxiliary_group_counts_a_quarter(maps: HeadMaps) -> None:
    straight, swapped = loss_of(maps, BOXES), loss_of(HeadMaps(maps.main, maps.auxiliary), BOXES)
    main_only = DetectionLoss(CLASSES, auxiliary_weight=0.0)(maps, padded(BOXES), SIZE)
    auxiliary_only = DetectionLoss(CLASSES, auxiliary_weight=0.0)(
        HeadMaps(maps.main, maps.auxiliary), padded(BOXES), SIZE
    )
    assert straight.total.item() == pytest.approx((main_only.total + auxiliary_only.total / 4).item())
    assert swapped.total.item() == pytest.approx((auxiliary_only.total + main_only.total / 4).item())


def test_maps_of_half_precision_give_a_finite_loss_in_single_precision(maps: HeadMaps) -> None:
    # logits near the end of float16: their exponentials would overflow it
    extreme = HeadMaps(*([(level.detach() * 3e4).half().requires_grad_() for level in group] for group in maps))
    loss = loss_of(extreme, BOXES)
    assert loss.total.dtype == torch.float32
    assert bool(torch.isfinite(loss.total))
    # only the gradient that leaves the loss is float16 again, so keep it small enough, as a loss scaler does
    (loss.total * 1e-6).backward()
    assert all(bool(torch.isfinite(gradient(group)).all()) for group in extreme)


def test_autocast_does_not_change_the_loss(maps: HeadMaps) -> None:
    plain = loss_of(maps, BOXES)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = loss_of(maps, BOXES)
    assert [value.item() for value in cast.values()] == [value.item() for value in plain.values()]


def test_the_loss_neither_waits_for_the_device_nor_scatters(maps: HeadMaps) -> None:
    """These operations make the host wait for a GPU, or add there in no fixed order."""
    targets = padded(BOXES)
    with torch.autograd.profiler.profile() as profile:
        DetectionLoss(CLASSES)(maps, targets, SIZE).total.backward()
    used = {event.name.replace("aten::", "") for event in profile.function_events}
    assert {"topk", "gather"} <= used
    assert not used & {"item", "_local_scalar_dense", "is_nonzero", "nonzero", "masked_select", "index", "unique"}
    assert not used & {"scatter", "scatter_", "scatter_add", "scatter_add_", "index_put_", "index_add_", "one_hot"}


@pytest.mark.filterwarnings("error")
def test_the_loss_warns_of_nothing(maps: HeadMaps) -> None:
    loss_of(maps, BOXES).total.backward()


def test_maps_that_do_not_fit_the_image_are_refused(maps: HeadMaps) -> None:
    with pytest.raises(ValueError, match="A map of stride 8 has shape"):
        DetectionLoss(CLASSES)(maps, padded(BOXES), (96, 64))
    with pytest.raises(ValueError, match="A map of stride 8 has shape"):
        DetectionLoss(CLASSES + 1)(maps, padded(BOXES), SIZE)


def test_a_distribution_on_one_bin_is_that_many_strides() -> None:
    logits = torch.full((1, 4, 16, 1), -1e4)
    for side, distance in enumerate((0, 3, 7, 15)):
        logits[0, side, distance] = 0
    assert expected_distances(logits.view(1, 64, 1)).flatten().tolist() == [0, 3, 7, 15]


@pytest.mark.parametrize(("distance", "bins"), [(3.25, {3: 0.75, 4: 0.25}), (20, {14: 0.01, 15: 0.99}), (-2, {0: 1})])
def test_a_distance_is_learnt_by_the_two_bins_around_it(distance: float, bins: dict[int, float]) -> None:
    """A distance is clamped to 0..14.99 strides; here the left side has it, the others are 1 stride long."""
    cells = Cells(torch.tensor([[160.0, 160.0]]), torch.tensor([[8.0]]))
    box = torch.tensor([[[160 - 8 * distance, 152, 168, 168]]])
    goal = Assignment(torch.ones(1, 1).bool(), torch.zeros(1, 1).long(), box, torch.ones(1, 1, 1))
    logits = torch.linspace(-1, 2, 64).view(1, 64, 1)
    chance = logits.view(4, 16).log_softmax(1)
    expected = -sum(share * chance[0, index] for index, share in bins.items()) - chance[1:, 1].sum()
    assert distribution_loss(logits, cells, goal).item() == pytest.approx(expected.item() / 4, rel=1e-5)


def test_cells_are_listed_level_by_level_and_row_by_row() -> None:
    cells = cells_of([torch.zeros(1, 1, 2, 3), torch.zeros(1, 1, 1, 1)])
    assert cells.centres.tolist() == [[4, 4], [12, 4], [20, 4], [4, 12], [12, 12], [20, 12], [8, 8]]
    assert cells.strides.flatten().tolist() == [8, 8, 8, 8, 8, 8, 16]


def test_decoded_boxes_are_the_corners_as_centre_and_size(maps: HeadMaps) -> None:
    decoded = decode([level.detach() for level in maps.main])
    joined = torch.cat([level.detach().flatten(2) for level in maps.main], 2)
    corners = boxes_at(cells_of(maps.main), joined[:, :64])
    assert decoded.shape == (2, 4 + CLASSES, 126)
    assert torch.allclose(decoded[:, :2].transpose(1, 2), (corners[..., :2] + corners[..., 2:]) / 2)
    assert torch.allclose(decoded[:, 2:4].transpose(1, 2), corners[..., 2:] - corners[..., :2])
    assert torch.allclose(decoded[:, 4:], joined[:, 64:].sigmoid())
