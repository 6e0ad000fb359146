"""Define the convolutional blocks that the UNet and the autoencoder of Stable Diffusion share.

Names of parameters are those of the hub's checkpoints.

Source: Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", 2022
(arXiv:2112.10752).
"""

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

DEFINITION_VERSION = "1"
"""Changes whenever the graph or a parameter name of this file changes."""


class ResnetBlock(nn.Module):
    """Add two convolutions, each behind a norm, to the input, projected where channels change.

    Args:
        in_channels: Of the input.
        channels: Of the output.
        time_width: Length of the time's embedding; None where there is no time.
        groups: Of the norms.
        epsilon: Of the norms.
    """

    def __init__(self, in_channels: int, channels: int, *, time_width: int | None, groups: int, epsilon: float) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, in_channels, eps=epsilon)
        self.conv1 = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.time_emb_proj = None if time_width is None else nn.Linear(time_width, channels)
        self.norm2 = nn.GroupNorm(groups, channels, eps=epsilon)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv_shortcut = None if in_channels == channels else nn.Conv2d(in_channels, channels, 1)

    def forward(self, features: Tensor, time: Tensor | None = None) -> Tensor:
        """Map [batch, in_channels, h, w] and [1, time_width] to [batch, channels, h, w]."""
        residual = self.conv1(F.silu(self.norm1(features)))
        if self.time_emb_proj is not None and time is not None:
            residual = residual + self.time_emb_proj(F.silu(time))[:, :, None, None]
        residual = self.conv2(F.silu(self.norm2(residual)))
        output: Tensor = residual + (features if self.conv_shortcut is None else self.conv_shortcut(features))
        return output


class Downsample(nn.Module):
    """Halve both sides by a convolution.

    Args:
        channels: Of input and output.
        one_sided: Whether it is padded to the right and below only, as in the autoencoder.
    """

    def __init__(self, channels: int, *, one_sided: bool) -> None:
        super().__init__()
        self.one_sided = one_sided
        self.conv = nn.Conv2d(channels, channels, 3, 2, padding=0 if one_sided else 1)

    def forward(self, features: Tensor) -> Tensor:
        """Map [batch, channels, h, w] to [batch, channels, h / 2, w / 2]."""
        output: Tensor = self.conv(F.pad(features, (0, 1, 0, 1)) if self.one_sided else features)
        return output


class Upsample(nn.Module):
    """Repeat each position twice on both sides, and convolve."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Map [batch, channels, h, w] to [batch, channels, 2 * h, 2 * w]."""
        output: Tensor = self.conv(F.interpolate(features, scale_factor=2.0, mode="nearest"))
        return output
