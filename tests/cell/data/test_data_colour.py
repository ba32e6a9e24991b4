"""The colour change against the textbook's way through HSV."""

from __future__ import annotations

import colorsys

import numpy
import pytest

from harness.cell.data.colour import jitter


def some_planes() -> numpy.ndarray:
    planes = numpy.random.RandomState(0).randint(0, 256, (3, 20, 20)).astype(numpy.uint8)
    planes[:, 0, :4] = [[0, 255, 7, 255], [0, 255, 7, 0], [0, 255, 7, 0]]  # black, white, grey, pure red
    return planes


def through_hsv(planes: numpy.ndarray, saturation: float, value: float) -> numpy.ndarray:
    result = numpy.empty(planes.shape)
    for place in numpy.ndindex(planes.shape[1:]):
        hue, s, v = colorsys.rgb_to_hsv(*(planes[(slice(None), *place)] / 255))
        result[(slice(None), *place)] = colorsys.hsv_to_rgb(hue, min(1, s * saturation), min(1, v * value))
    return result * 255


@pytest.mark.parametrize("saturation", [0.3, 1.0, 1.7])
@pytest.mark.parametrize("value", [0.6, 1.0, 1.4])
def test_saturation_and_value_agree_with_hsv_within_rounding(saturation: float, value: float) -> None:
    planes = some_planes()
    expected = through_hsv(planes, saturation, value)
    jitter(planes, 0.0, saturation, value)
    assert numpy.abs(planes - expected).max() <= 1.5


def test_no_change_is_no_change() -> None:
    planes = some_planes()
    jitter(planes, 0.0, 1.0, 1.0)
    assert (planes == some_planes()).all()


def test_the_largest_factors_do_not_overflow() -> None:
    levels = numpy.arange(256, dtype=numpy.uint8)
    planes = numpy.ascontiguousarray(numpy.stack(numpy.meshgrid(levels, levels, [0])).reshape(3, 256, 256))
    expected = through_hsv(planes[:, ::15, ::15], 2.0, 2.0)
    jitter(planes, 0.0, 2.0, 2.0)
    assert numpy.abs(planes[:, ::15, ::15] - expected).max() <= 1.5


@pytest.mark.parametrize("hue", [-0.03, -0.015, 0.01, 0.03])
def test_the_hue_turns_by_the_given_share_of_the_circle(hue: float) -> None:
    planes = numpy.array([[[150, 90]], [[110, 120]], [[100, 140]]], dtype=numpy.uint8)
    before = [colorsys.rgb_to_hsv(*(planes[:, 0, n] / 255))[0] for n in range(2)]
    jitter(planes, hue, 1.0, 1.0)
    for n in range(2):
        turned = colorsys.rgb_to_hsv(*(planes[:, 0, n] / 255))[0] - before[n]
        assert (turned + 0.5) % 1 - 0.5 == pytest.approx(hue, abs=0.012)


def test_grey_stays_grey() -> None:
    planes = numpy.full((3, 4, 4), 114, dtype=numpy.uint8)
    jitter(planes, 0.03, 1.7, 1.0)
    assert (planes == 114).all()
