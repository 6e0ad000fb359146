"""Define the digits classifier in PyTorch: a small residual network for 8x8 images.

Source: the basic residual block of He et al., "Deep Residual Learning
for Image Recognition", 2015 (arXiv:1512.03385), with the widths chosen for 8x8 input.
"""

from torch import Tensor, nn

DEFINITION_VERSION = "1"
"""Changes whenever the graph or a parameter name of this file changes."""

CLASSES = 10


class ResidualBlock(nn.Module):
    """Add two 3x3 convolutions to their own input, projected where stride or channels change."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or in_channels != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False),
                nn.BatchNorm2d(channels),
            )

    def forward(self, features: Tensor) -> Tensor:
        """Map [batch, in_channels, h, w] to [batch, channels, h / stride, w / stride]."""
        residual = self.relu(self.bn1(self.conv1(features)))
        residual = self.bn2(self.conv2(residual))
        output: Tensor = self.relu(residual + self.downsample(features))
        return output


class DigitsResNet(nn.Module):
    """Classify 8x8 images of handwritten digits.

    Args:
        width: Channels of the first stage; the second has twice as many.
        blocks: Residual blocks in each of the two stages.
    """

    def __init__(self, *, width: int = 24, blocks: int = 2) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 3, 1, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.layer1 = _stage(width, width, blocks=blocks, stride=1)
        self.layer2 = _stage(width, 2 * width, blocks=blocks, stride=2)
        self.fc = nn.Linear(2 * width, CLASSES)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits of a batch of images.

        Args:
            image: float32 [batch, 1, 8, 8], pixels divided by 16 (0 to 1).

        Returns:
            logits: float32 [batch, 10].
        """
        features = self.relu(self.bn1(self.conv1(image)))  # [batch, width, 8, 8]
        features = self.layer1(features)  # [batch, width, 8, 8]
        features = self.layer2(features)  # [batch, 2 * width, 4, 4]
        pooled = features.mean(dim=(2, 3))  # [batch, 2 * width]
        logits: Tensor = self.fc(pooled)  # [batch, 10]
        return logits


def build(*, width: int = 24, blocks: int = 2) -> DigitsResNet:
    """Return the network in evaluation mode; the defaults are the trained one.

    Args:
        width: Channels of the first stage; the second has twice as many.
        blocks: Residual blocks in each of the two stages.
    """
    return DigitsResNet(width=width, blocks=blocks).eval()


def _stage(in_channels: int, channels: int, *, blocks: int, stride: int) -> nn.Sequential:
    first = ResidualBlock(in_channels, channels, stride)
    return nn.Sequential(first, *(ResidualBlock(channels, channels, 1) for _ in range(blocks - 1)))
