"""Define YOLOv5 (version 6 and later) in PyTorch: boxes, objectness and classes at three scales.

Written from the published description of the network: its table of layers, widths and depths, the
formulas of its boxes, and the names of parameters in its checkpoints (``model.<layer>.<name>``).
Nothing of its authors' code, which is under the AGPL, is used here.

Source: G. Jocher et al., YOLOv5 (doi:10.5281/zenodo.3908559), the documentation's architecture
summary and the configuration of YOLOv5s: depth 0.33, width 0.5, 80 classes.
"""

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from bytemlperf.zoo.architectures.initialise_torch import Draw, centred_filters, normal

DEFINITION_VERSION = "1"
"""Changes whenever the graph or a parameter name of this file changes."""

NORM_EPSILON = 1e-3

STRIDES = (8, 16, 32)
"""Pixels of a cell's side at each scale."""

ANCHORS = (
    ((10, 13), (16, 30), (33, 23)),
    ((30, 61), (62, 45), (59, 119)),
    ((116, 90), (156, 198), (373, 326)),
)
"""Width and height in pixels of the boxes that predictions of each scale start from."""

_BOX = 5
"""Numbers of a prediction beside its classes: x, y, width, height, objectness."""

_STEM_DEVIATION = 4.0
"""Of the first layer's outputs under random weights: far from zero SiLU keeps what tells two inputs apart."""

_PREDICTION_GAIN = 0.012
"""Deviation of what the last layers give under random weights, over what they are given."""


class Conv(nn.Module):
    """Convolve, normalise and activate by SiLU."""

    def __init__(self, in_channels: int, channels: int, kernel: int = 1, stride: int = 1, padding: int | None = None):
        super().__init__()
        padding = kernel // 2 if padding is None else padding
        self.conv = nn.Conv2d(in_channels, channels, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(channels, eps=NORM_EPSILON, momentum=0.03)

    def forward(self, features: Tensor) -> Tensor:
        """Map [batch, in_channels, h, w] to [batch, channels, h / stride, w / stride]."""
        return F.silu(self.bn(self.conv(features)))


class _Bottleneck(nn.Module):
    def __init__(self, channels: int, *, shortcut: bool) -> None:
        super().__init__()
        self.cv1 = Conv(channels, channels)
        self.cv2 = Conv(channels, channels, 3)
        self.shortcut = shortcut

    def forward(self, features: Tensor) -> Tensor:
        """Map [batch, channels, h, w] to the same shape."""
        residual: Tensor = self.cv2(self.cv1(features))
        return features + residual if self.shortcut else residual


class C3(nn.Module):
    """Send half of the channels through bottlenecks and half past them, and join both."""

    def __init__(self, in_channels: int, channels: int, blocks: int, *, shortcut: bool = True) -> None:
        super().__init__()
        half = channels // 2
        self.cv1 = Conv(in_channels, half)
        self.cv2 = Conv(in_channels, half)
        self.cv3 = Conv(2 * half, channels)
        self.m = nn.Sequential(*(_Bottleneck(half, shortcut=shortcut) for _ in range(blocks)))

    def forward(self, features: Tensor) -> Tensor:
        """Map [batch, in_channels, h, w] to [batch, channels, h, w]."""
        joined: Tensor = self.cv3(torch.cat([self.m(self.cv1(features)), self.cv2(features)], dim=1))
        return joined


class SPPF(nn.Module):
    """Join maxima over windows of 5, 9 and 13 cells."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        half = in_channels // 2
        self.cv1 = Conv(in_channels, half)
        self.cv2 = Conv(4 * half, channels)
        self.m = nn.MaxPool2d(5, 1, padding=2)

    def forward(self, features: Tensor) -> Tensor:
        """Map [batch, in_channels, h, w] to [batch, channels, h, w]."""
        pooled = [self.cv1(features)]
        for _ in range(3):
            pooled.append(self.m(pooled[-1]))
        joined: Tensor = self.cv2(torch.cat(pooled, dim=1))
        return joined


class Detect(nn.Module):
    """Predict boxes at three scales and decode them to pixels."""

    def __init__(self, channels: Sequence[int], num_classes: int) -> None:
        super().__init__()
        self.numbers = _BOX + num_classes
        self.m = nn.ModuleList(nn.Conv2d(each, len(ANCHORS[0]) * self.numbers, 1) for each in channels)
        self.register_buffer("anchors", _anchors_in_cells())

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Map [batch, channels, h, w] of each scale to the predictions of all, and those of each undecoded."""
        raw = [self._of_cells(layer(each)) for layer, each in zip(self.m, features, strict=True)]
        decoded = [self._decoded(each, scale) for scale, each in enumerate(raw)]
        return torch.cat(decoded, dim=1), *raw

    def _of_cells(self, maps: Tensor) -> Tensor:
        """Map [batch, 3 * numbers, h, w] to [batch, 3, h, w, numbers]."""
        B, _, H, W = maps.shape
        return maps.view(B, len(ANCHORS[0]), self.numbers, H, W).permute(0, 1, 3, 4, 2)

    def _decoded(self, raw: Tensor, scale: int) -> Tensor:
        """Map [batch, 3, h, w, numbers] to [batch, 3 * h * w, numbers]: centre and size in pixels, shares of 1."""
        B, A, H, W, N = raw.shape
        shares = raw.sigmoid()
        rows = torch.arange(H, dtype=raw.dtype, device=raw.device)
        columns = torch.arange(W, dtype=raw.dtype, device=raw.device)
        cells = torch.stack([columns.expand(H, W), rows[:, None].expand(H, W)], dim=-1)  # [h, w, (x, y)]
        sizes = (self.get_buffer("anchors")[scale] * STRIDES[scale]).view(1, A, 1, 1, 2)
        centre = (shares[..., 0:2] * 2 - 0.5 + cells) * STRIDES[scale]
        extent = (shares[..., 2:4] * 2) ** 2 * sizes
        return torch.cat([centre, extent, shares[..., 4:]], dim=-1).reshape(B, A * H * W, N)

    def draws(self) -> dict[str, Draw]:
        """Draw small weights, so that no share saturates, and set the biases as training starts with them.

        That is 8 objects in an image of 640 x 640, and all classes alike.
        """
        rules: dict[str, Draw] = {"anchors": lambda tensor, _: tensor.copy_(_anchors_in_cells())}
        for number, (layer, stride) in enumerate(zip(self.m, STRIDES, strict=True)):
            width = layer.get_parameter("weight").shape[1]
            rules[f"m.{number}.weight"] = normal(_PREDICTION_GAIN * width**-0.5)
            rules[f"m.{number}.bias"] = _first_biases(self.numbers, stride)
        return rules


class YoloV5(nn.Module):
    """Detect objects: a backbone, a neck that goes up and down again, and predictions at three scales."""

    def __init__(self, *, depth: float, width: float, num_classes: int) -> None:
        super().__init__()
        c1, c2, c3, c4, c5 = (math.ceil(channels * width / 8) * 8 for channels in (64, 128, 256, 512, 1024))
        n3, n6, n9 = (max(round(blocks * depth), 1) for blocks in (3, 6, 9))
        self.model = nn.ModuleList(
            [
                Conv(3, c1, 6, 2, 2),  # 0: [batch, 32, 320, 320] in YOLOv5s
                Conv(c1, c2, 3, 2),
                C3(c2, c2, n3),  # 2: [batch, 64, 160, 160]
                Conv(c2, c3, 3, 2),
                C3(c3, c3, n6),  # 4: [batch, 128, 80, 80]
                Conv(c3, c4, 3, 2),
                C3(c4, c4, n9),  # 6: [batch, 256, 40, 40]
                Conv(c4, c5, 3, 2),
                C3(c5, c5, n3),  # 8: [batch, 512, 20, 20]
                SPPF(c5, c5),
                Conv(c5, c4),  # 10
                nn.Upsample(scale_factor=2, mode="nearest"),
                nn.Identity(),  # 12: joined with 6
                C3(2 * c4, c4, n3, shortcut=False),
                Conv(c4, c3),  # 14
                nn.Upsample(scale_factor=2, mode="nearest"),
                nn.Identity(),  # 16: joined with 4
                C3(2 * c3, c3, n3, shortcut=False),  # 17: the finest scale
                Conv(c3, c3, 3, 2),
                nn.Identity(),  # 19: joined with 14
                C3(2 * c3, c4, n3, shortcut=False),  # 20: the middle scale
                Conv(c4, c4, 3, 2),
                nn.Identity(),  # 22: joined with 10
                C3(2 * c4, c5, n3, shortcut=False),  # 23: the coarsest scale
                Detect((c3, c4, c5), num_classes),
            ]
        )

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Detect objects.

        Args:
            images: float32 [batch, 3, height, width], pixels from 0 to 1; sides are multiples of 32. The
                shapes below are those of 640 x 640 with 80 classes.

        Returns:
            predictions: float32 [batch, 25200, 85]: x and y of the centre, width and height in pixels,
                objectness and classes from 0 to 1.
            fine, middle, coarse: float32 [batch, 3, 80, 80, 85], [batch, 3, 40, 40, 85] and
                [batch, 3, 20, 20, 85], the same before decoding.
        """
        layers = list(self.model)
        kept: dict[int, Tensor] = {}
        features = images
        for index, layer in enumerate(layers[:-1]):
            other = _JOINED.get(index)
            features = layer(features if other is None else torch.cat([features, kept[other]], dim=1))
            if index in _KEPT:
                kept[index] = features
        found: tuple[Tensor, ...] = layers[-1]([kept[index] for index in _SCALES])
        return found

    def draws(self) -> dict[str, Draw]:
        """Draw filters so that activations stay in scale and images are told apart at any depth."""
        filters: dict[str, Draw] = {
            f"{name}.conv.weight": centred_filters for name, layer in self.named_modules() if isinstance(layer, Conv)
        }
        return {**filters, "model.0.conv.weight": _stem_filters}


_JOINED = {12: 6, 16: 4, 19: 14, 22: 10}
_SCALES = (17, 20, 23)
_KEPT = frozenset({*_JOINED.values(), *_SCALES})


def build(*, depth: float = 0.33, width: float = 0.5, num_classes: int = 80) -> YoloV5:
    """Return the network in evaluation mode; the defaults are YOLOv5s.

    Args:
        depth: Blocks over those of YOLOv5l: 0.33 in n and s, 0.67 in m, 1.33 in x.
        width: Channels over those of YOLOv5l: 0.25 in n, 0.5 in s, 0.75 in m, 1.25 in x.
        num_classes: Kinds of objects.

    Raises:
        ValueError: There is no class, or no layer would be left.
    """
    if num_classes < 1 or depth <= 0 or width <= 0:
        raise ValueError(f"nothing to detect with depth={depth}, width={width}, num_classes={num_classes}")
    return YoloV5(depth=depth, width=width, num_classes=num_classes).eval()


def _anchors_in_cells() -> Tensor:
    """Return anchors as the checkpoints keep them: in cells, not in pixels."""
    strides = torch.tensor(STRIDES, dtype=torch.float32)
    return torch.tensor(ANCHORS, dtype=torch.float32) / strides.view(-1, 1, 1)


def _first_biases(numbers: int, stride: int) -> Draw:
    def draw(bias: Tensor, _: Generator) -> None:
        by_anchor = bias.zero_().view(len(ANCHORS[0]), numbers)
        by_anchor[:, 4] = math.log(8 / (640 / stride) ** 2)
        by_anchor[:, _BOX:] = math.log(0.6 / (numbers - _BOX - 0.99999))

    return draw


def _stem_filters(weight: Tensor, generator: Generator) -> None:
    centred_filters(weight, generator)
    weight.mul_(_STEM_DEVIATION / (weight[0].numel() * weight.var()).sqrt())
