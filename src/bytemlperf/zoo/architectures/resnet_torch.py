"""Define the bottleneck residual networks (ResNet-50 and deeper), version 1.5, in PyTorch.

Parameters and buffers have the names and shapes of the hub checkpoints
(``timm/resnet50.tv_in1k``), so that those load as they are.

Source: He et al., "Deep Residual Learning for Image Recognition", 2015
(arXiv:1512.03385); version 1.5 moves the stride from the first 1x1 to the 3x3
convolution, as in MLPerf Inference's ResNet-50 v1.5.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from bytemlperf.zoo.architectures.initialise_torch import Draw, centred_filters, constant

DEFINITION_VERSION = "1"
"""Changes whenever the graph or a parameter name of this file changes."""

EXPANSION = 4
"""Output channels of a bottleneck over its inner channels."""

STEM_CHANNELS = 64

RESIDUAL_SCALE = 0.5
"""What all blocks of a stage of random weights add, over what they are given."""


class Bottleneck(nn.Module):
    """Narrow, convolve and widen again, and add the result to the input, projected where shapes differ.

    Args:
        in_channels: Channels of the input.
        channels: Inner channels; the output has ``EXPANSION`` times as many.
        stride: Stride of the 3x3 convolution.
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        out_channels = channels * EXPANSION
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, features: Tensor) -> Tensor:
        """Map [batch, in, h, w] to [batch, 4 * channels, h / stride, w / stride]."""
        residual = self.relu(self.bn1(self.conv1(features)))  # [batch, channels, h, w]
        residual = self.relu(self.bn2(self.conv2(residual)))  # [batch, channels, h', w']
        residual = self.bn3(self.conv3(residual))  # [batch, 4 * channels, h', w']
        output: Tensor = self.relu(residual + self.downsample(features))
        return output


class ResNet(nn.Module):
    """Classify images with a stem, four stages of bottlenecks and one linear layer.

    Args:
        depths: Blocks in each of the four stages.
        num_classes: Length of the logits.
    """

    def __init__(self, *, depths: Sequence[int] = (3, 4, 6, 3), num_classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, STEM_CHANNELS, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM_CHANNELS)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        first, second, third, fourth = depths
        self.layer1 = _stage(64, 64, blocks=first, stride=1)
        self.layer2 = _stage(256, 128, blocks=second, stride=2)
        self.layer3 = _stage(512, 256, blocks=third, stride=2)
        self.layer4 = _stage(1024, 512, blocks=fourth, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(2048, num_classes)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits of a batch of images.

        Args:
            image: float32 [batch, 3, height, width], normalised; 224 x 224 in the
                published models, of which the shapes below speak.

        Returns:
            logits: float32 [batch, num_classes].
        """
        features = self.relu(self.bn1(self.conv1(image)))  # [batch, 64, 112, 112]
        features = self.maxpool(features)  # [batch, 64, 56, 56]
        features = self.layer1(features)  # [batch, 256, 56, 56]
        features = self.layer2(features)  # [batch, 512, 28, 28]
        features = self.layer3(features)  # [batch, 1024, 14, 14]
        features = self.layer4(features)  # [batch, 2048, 7, 7]
        pooled = self.avgpool(features).flatten(1)  # [batch, 2048]
        logits: Tensor = self.fc(pooled)  # [batch, num_classes]
        return logits

    def draws(self) -> dict[str, Draw]:
        """Condition the random weights so that a numeric check of them means something.

        Filters are centred and each block adds a stage's depth-th part of its variance, so
        that at any depth logits stay in scale, tell inputs apart (by a quarter of their
        maximum on normal noise) and round no worse than a trained network's (1e-6 in
        float32, 2e-3 in float16, 2e-2 in bfloat16, of their maximum).
        """
        rules: dict[str, Draw] = {
            f"{name}.weight": centred_filters for name, layer in self.named_modules() if isinstance(layer, nn.Conv2d)
        }
        for name in ("layer1", "layer2", "layer3", "layer4"):
            stage = self.get_submodule(name)
            assert isinstance(stage, nn.Sequential)
            scale = constant(RESIDUAL_SCALE * len(stage) ** -0.5)
            rules |= {f"{name}.{block}.bn3.weight": scale for block in range(len(stage))}
        return rules


def build(*, depths: Sequence[int] = (3, 4, 6, 3), num_classes: int = 1000) -> ResNet:
    """Return the network in evaluation mode; the defaults are ResNet-50.

    Args:
        depths: Blocks in each of the four stages: (3, 4, 6, 3) is ResNet-50,
            (3, 4, 23, 3) ResNet-101, (3, 8, 36, 3) ResNet-152.
        num_classes: Length of the logits.

    Raises:
        ValueError: There are not four depths, or one is below 1.
    """
    if len(depths) != 4 or min(depths) < 1:  # noqa: PLR2004
        raise ValueError(f"depths must be four counts of at least 1, got {tuple(depths)}")
    return ResNet(depths=depths, num_classes=num_classes).eval()


def _stage(in_channels: int, channels: int, *, blocks: int, stride: int) -> nn.Sequential:
    first = Bottleneck(in_channels, channels, stride)
    rest = (Bottleneck(channels * EXPANSION, channels, 1) for _ in range(blocks - 1))
    return nn.Sequential(first, *rest)
