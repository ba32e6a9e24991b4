"""The building blocks of YOLOv9-S (arXiv:2402.13616: GELAN). All maps are (batch, channels, height, width)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Conv(nn.Module):
    """Convolution with "same" padding and no bias, batch norm, SiLU: (c1, h, w) to (c2, h / stride, w / stride)."""

    def __init__(self, c1: int, c2: int, kernel: int = 1, stride: int = 1, groups: int = 1, activate: bool = True):
        super().__init__()
        self.conv = nn.Conv2d(c1, c2, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(c2, eps=1e-3, momentum=0.03)
        self.act: nn.Module = nn.SiLU() if activate else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(self.conv(x)))


class AConv(nn.Module):
    """Halves height and width: average pool 2x2 of stride 1, then a 3x3 convolution of stride 2."""

    def __init__(self, c1: int, c2: int):
        super().__init__()
        self.cv1 = Conv(c1, c2, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.cv1(F.avg_pool2d(x, kernel_size=2, stride=1))


class ELAN(nn.Module):
    """Efficient layer aggregation: half of the width c3 runs through two stages of width c4, then all is joined."""

    def __init__(self, c1: int, c2: int, c3: int, c4: int, first: nn.Module, second: nn.Module):
        super().__init__()
        self.cv1 = Conv(c1, c3)
        self.cv2 = first
        self.cv3 = second
        self.cv4 = Conv(c3 + 2 * c4, c2)

    def forward(self, x: Tensor) -> Tensor:
        passed, staged = self.cv1(x).chunk(2, 1)
        once = self.cv2(staged)
        return self.cv4(torch.cat((passed, staged, once, self.cv3(once)), 1))


class ELAN1(ELAN):
    """ELAN whose stages are plain 3x3 convolutions."""

    def __init__(self, c1: int, c2: int, c3: int, c4: int):
        super().__init__(c1, c2, c3, c4, Conv(c3 // 2, c4, 3), Conv(c4, c4, 3))


class RepConvN(nn.Module):
    """3x3 and 1x1 convolution side by side, summed before the SiLU; `fold.py` makes them one for inference."""

    def __init__(self, c1: int, c2: int):
        super().__init__()
        self.conv1 = Conv(c1, c2, 3, activate=False)
        self.conv2 = Conv(c1, c2, 1, activate=False)
        self.act = nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.conv1(x) + self.conv2(x))


class RepNBottleneck(nn.Module):
    """A residual of a RepConvN and a 3x3 convolution, at constant width."""

    def __init__(self, channels: int):
        super().__init__()
        self.cv1: nn.Module = RepConvN(channels, channels)
        self.cv2 = Conv(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.cv2(self.cv1(x))


class RepNCSP(nn.Module):
    """Cross-stage partial block: `depth` bottlenecks on one half of the width, the other half passes by."""

    def __init__(self, c1: int, c2: int, depth: int):
        super().__init__()
        hidden = c2 // 2
        self.cv1 = Conv(c1, hidden)
        self.cv2 = Conv(c1, hidden)
        self.cv3 = Conv(2 * hidden, c2)
        self.m = nn.Sequential(*(RepNBottleneck(hidden) for _ in range(depth)))

    def forward(self, x: Tensor) -> Tensor:
        return self.cv3(torch.cat((self.m(self.cv1(x)), self.cv2(x)), 1))


class RepNCSPELAN4(ELAN):
    """ELAN whose stages are each a RepNCSP of `depth` bottlenecks and a 3x3 convolution."""

    def __init__(self, c1: int, c2: int, c3: int, c4: int, depth: int):
        first = nn.Sequential(RepNCSP(c3 // 2, c4, depth), Conv(c4, c4, 3))
        second = nn.Sequential(RepNCSP(c4, c4, depth), Conv(c4, c4, 3))
        super().__init__(c1, c2, c3, c4, first, second)


class SPPELAN(nn.Module):
    """Spatial pyramid pooling: three 5x5 max pools of stride 1, each of the one before, joined with their input."""

    def __init__(self, c1: int, c2: int, c3: int):
        super().__init__()
        self.cv1 = Conv(c1, c3)
        self.cv5 = Conv(4 * c3, c2)

    def forward(self, x: Tensor) -> Tensor:
        levels = [self.cv1(x)]
        for _ in range(3):
            levels.append(F.max_pool2d(levels[-1], kernel_size=5, stride=1, padding=2))
        return self.cv5(torch.cat(levels, 1))


class Concat(nn.Module):
    """Joins maps of equal height and width along their channels."""

    def forward(self, *maps: Tensor) -> Tensor:
        return torch.cat(maps, 1)
