"""Define the autoencoder of Stable Diffusion 1.x in PyTorch: images to latent images and back.

Parameters have the names and shapes of the hub's checkpoints (``CompVis/stable-diffusion-v1-4``,
folder ``vae``), so that those load as they are. One file holds both halves, so either model has
the weights of both; a graph that is exported keeps only what it uses.

Source: Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", 2022
(arXiv:2112.10752).
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from bytemlperf.zoo.architectures.diffusion_blocks_torch import Downsample, ResnetBlock, Upsample

DEFINITION_VERSION = "1"
"""Changes whenever the graph or a parameter name of this file changes."""

NORM_EPSILON = 1e-6


class _Attention(nn.Module):
    """Let each place of an image attend to all, by one head, and add the result."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.group_norm = nn.GroupNorm(groups, channels, eps=NORM_EPSILON)
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.proj_attn = nn.Linear(channels, channels)

    def forward(self, features: Tensor) -> Tensor:
        """Map [batch, channels, h, w] to the same shape."""
        B, C, H, W = features.shape
        sequence = self.group_norm(features).flatten(2).transpose(1, 2)  # [batch, h * w, channels]
        query, key, value = self.query(sequence), self.key(sequence), self.value(sequence)
        scores = query @ key.transpose(1, 2) * C**-0.5  # [batch, h * w, h * w]
        mixed: Tensor = self.proj_attn(scores.softmax(dim=-1) @ value)
        return features + mixed.transpose(1, 2).reshape(B, C, H, W)


class _Level(nn.Module):
    """Blocks of one resolution, and the change to the next where there is one."""

    def __init__(self, in_channels: int, channels: int, blocks: int, groups: int) -> None:
        super().__init__()
        entering = [in_channels, *[channels] * (blocks - 1)]
        self.resnets = nn.ModuleList(_resnet(each, channels, groups) for each in entering)
        self.downsamplers: nn.ModuleList | None = None
        self.upsamplers: nn.ModuleList | None = None

    def forward(self, features: Tensor) -> Tensor:
        """Map [batch, in_channels, h, w] to [batch, channels, ...], of half or twice the sides, or the same."""
        for resnet in self.resnets:
            features = resnet(features)
        for change in (self.downsamplers, self.upsamplers):
            if change is not None:
                features = change[0](features)
        return features


class _Middle(nn.Module):
    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([_Attention(channels, groups)])
        self.resnets = nn.ModuleList([_resnet(channels, channels, groups) for _ in range(2)])

    def forward(self, features: Tensor) -> Tensor:
        """Map [batch, channels, h, w] to the same shape."""
        output: Tensor = self.resnets[1](self.attentions[0](self.resnets[0](features)))
        return output


class _Encoder(nn.Module):
    def __init__(self, latent_channels: int, block_channels: Sequence[int], blocks: int, groups: int) -> None:
        super().__init__()
        first, last = block_channels[0], block_channels[-1]
        self.conv_in = nn.Conv2d(3, first, 3, padding=1)
        entering = [first, *block_channels[:-1]]
        self.down_blocks = nn.ModuleList(
            _Level(before, width, blocks, groups) for before, width in zip(entering, block_channels, strict=True)
        )
        for level, width in zip(list(self.down_blocks)[:-1], block_channels, strict=False):
            level.downsamplers = nn.ModuleList([Downsample(width, one_sided=True)])
        self.mid_block = _Middle(last, groups)
        self.conv_norm_out = nn.GroupNorm(groups, last, eps=NORM_EPSILON)
        self.conv_out = nn.Conv2d(last, 2 * latent_channels, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """Map [batch, 3, h, w] to [batch, 2 * latent_channels, h / 8, w / 8]."""
        features = self.conv_in(image)
        for level in self.down_blocks:
            features = level(features)
        output: Tensor = self.conv_out(F.silu(self.conv_norm_out(self.mid_block(features))))
        return output


class _Decoder(nn.Module):
    def __init__(self, latent_channels: int, block_channels: Sequence[int], blocks: int, groups: int) -> None:
        super().__init__()
        widths = list(reversed(block_channels))
        self.conv_in = nn.Conv2d(latent_channels, widths[0], 3, padding=1)
        self.mid_block = _Middle(widths[0], groups)
        entering = [widths[0], *widths[:-1]]
        self.up_blocks = nn.ModuleList(
            _Level(before, width, blocks + 1, groups) for before, width in zip(entering, widths, strict=True)
        )
        for level, width in zip(list(self.up_blocks)[:-1], widths, strict=False):
            level.upsamplers = nn.ModuleList([Upsample(width)])
        self.conv_norm_out = nn.GroupNorm(groups, widths[-1], eps=NORM_EPSILON)
        self.conv_out = nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward(self, latent: Tensor) -> Tensor:
        """Map [batch, latent_channels, h, w] to [batch, 3, 8 * h, 8 * w]."""
        features = self.mid_block(self.conv_in(latent))
        for level in self.up_blocks:
            features = level(features)
        image: Tensor = self.conv_out(F.silu(self.conv_norm_out(features)))
        return image


class _Autoencoder(nn.Module):
    """Both halves, as they lie in one checkpoint."""

    def __init__(self, latent_channels: int, block_channels: Sequence[int], blocks: int, groups: int) -> None:
        super().__init__()
        if any(width % groups for width in block_channels):
            raise ValueError(f"groups={groups} do not divide block_channels {tuple(block_channels)}")
        self.encoder = _Encoder(latent_channels, block_channels, blocks, groups)
        self.decoder = _Decoder(latent_channels, block_channels, blocks, groups)
        self.quant_conv = nn.Conv2d(2 * latent_channels, 2 * latent_channels, 1)
        self.post_quant_conv = nn.Conv2d(latent_channels, latent_channels, 1)


class VaeEncoder(_Autoencoder):
    """Encode images."""

    def forward(self, sample: Tensor) -> Tensor:
        """Return the most likely latent images.

        Args:
            sample: float32 [batch, 3, height, width], pixels from -1 to 1.

        Returns:
            latent_sample: float32 [batch, latent_channels, height / 8, width / 8], the mean of the
                distribution, not scaled.
        """
        mean: Tensor = self.quant_conv(self.encoder(sample)).chunk(2, dim=1)[0]
        return mean


class VaeDecoder(_Autoencoder):
    """Decode latent images."""

    def forward(self, latent_sample: Tensor) -> Tensor:
        """Return images.

        Args:
            latent_sample: float32 [batch, latent_channels, height, width], not scaled.

        Returns:
            sample: float32 [batch, 3, 8 * height, 8 * width], pixels from about -1 to 1.
        """
        image: Tensor = self.decoder(self.post_quant_conv(latent_sample))
        return image


def build_encoder(
    *,
    latent_channels: int = 4,
    block_channels: Sequence[int] = (128, 256, 512, 512),
    blocks: int = 2,
    groups: int = 32,
) -> VaeEncoder:
    """Return the encoder in evaluation mode; the defaults are Stable Diffusion 1.x.

    Args:
        latent_channels: Of the latent image.
        block_channels: Of each level, from fine to coarse; each but the last halves both sides.
        blocks: Of each level of the encoder; the decoder has one more.
        groups: Of the norms.

    Raises:
        ValueError: The groups do not divide the channels.
    """
    return VaeEncoder(latent_channels, block_channels, blocks, groups).eval()


def build_decoder(
    *,
    latent_channels: int = 4,
    block_channels: Sequence[int] = (128, 256, 512, 512),
    blocks: int = 2,
    groups: int = 32,
) -> VaeDecoder:
    """Return the decoder in evaluation mode; the defaults are Stable Diffusion 1.x.

    Args:
        latent_channels: Of the latent image.
        block_channels: Of each level, from fine to coarse.
        blocks: Of each level of the encoder; the decoder has one more.
        groups: Of the norms.

    Raises:
        ValueError: The groups do not divide the channels.
    """
    return VaeDecoder(latent_channels, block_channels, blocks, groups).eval()


def _resnet(in_channels: int, channels: int, groups: int) -> ResnetBlock:
    return ResnetBlock(in_channels, channels, time_width=None, groups=groups, epsilon=NORM_EPSILON)
