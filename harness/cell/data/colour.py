"""Hue, saturation and value of a sample changed in place, on whole numbers and without leaving RGB.

Pillow's way to HSV and back takes half of a mosaic sample's time. Saturation and value have an exact form in RGB: with
V = max(r, g, b) and D = V - min(r, g, b), scaling them by s and v gives c' = v'·(V - s'·(V - c)), where
s' = min(s, V/D) and v' = min(v, 255/V) keep both within their range. The hue, which moves by a few degrees at most, is
turned about the grey axis.
"""

from __future__ import annotations

import math

import numpy
import numpy.typing

STEEPEST_HUE = 0.03  # of the circle: beyond it the small-angle turn is too coarse, and its products leave int16
TURN_BITS = 10
# With 8 bits the largest product, 255 · 256 and half a unit of both roundings, is 65535: it just fits uint16.
GAIN_BITS = 8

Planes = numpy.typing.NDArray[numpy.uint8]

VALUE, SPREAD = numpy.mgrid[0:256, 0:256].astype(numpy.float64)
FULL_SATURATION = VALUE / numpy.maximum(SPREAD, 1)
FULL_VALUE = 255 / numpy.maximum(numpy.arange(256, dtype=numpy.float64), 1)


def jitter(planes: Planes, hue: float, saturation: float, value: float) -> None:
    """Change uint8 (3, height, width) RGB planes in place.

    `hue` is the turn as a share of the circle, at most STEEPEST_HUE either way; `saturation` and `value` are factors
    from 0 to 2.
    """
    turn = round(math.sin(2 * math.pi * hue) / math.sqrt(3) * (1 << TURN_BITS))
    if turn:
        _turn(planes, turn)
    brightest = numpy.maximum(numpy.maximum(planes[0], planes[1]), planes[2])
    darkest = numpy.minimum(numpy.minimum(planes[0], planes[1]), planes[2])
    gain = numpy.minimum(value, FULL_VALUE)
    values = numpy.rint(gain * numpy.arange(256)).astype(numpy.uint16)
    slopes = numpy.minimum(saturation, FULL_SATURATION) * gain[:, None] * (1 << GAIN_BITS)
    place = (brightest.astype(numpy.uint16) << 8) | (brightest - darkest)
    slope = numpy.rint(slopes).astype(numpy.uint16).ravel().take(place)
    top = values.take(brightest)
    for plane in planes:
        below = (brightest - plane) * slope
        below += 1 << (GAIN_BITS - 1)
        below >>= GAIN_BITS
        numpy.subtract(top, numpy.minimum(below, top), out=plane, casting="unsafe")


def _turn(planes: Planes, turn: int) -> None:
    red, green, blue = planes.astype(numpy.int16)
    for plane, own, before, after in ((0, red, blue, green), (1, green, red, blue), (2, blue, green, red)):
        change = (before - after) * numpy.int16(turn)
        change += 1 << (TURN_BITS - 1)
        change >>= TURN_BITS
        change += own
        numpy.clip(change, 0, 255, out=planes[plane], casting="unsafe")
