"""Define CLIP in PyTorch: a text encoder, an image encoder, and how well each image fits each text.

Parameters have the names and shapes of the published checkpoints on the hub
(``openai/clip-vit-base-patch32``, and the text encoder of Stable Diffusion 1.x), so that those load
as they are; the misspelt ``pre_layrnorm`` is theirs.

Source: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision",
2021 (arXiv:2103.00020).
"""

import math

import torch
from torch import Tensor, nn

from bytemlperf.zoo.architectures.initialise_torch import Draw, constant, normal
from bytemlperf.zoo.architectures.published_torch import leave_out

DEFINITION_VERSION = "1"
"""Changes whenever the graph or a parameter name of this file changes."""

NORM_EPSILON = 1e-5

VOCABULARY = 49_408
"""Tokens; the last two open and close a text."""

CONTEXT = 77
"""Tokens of a text."""

FIRST_SCALE = math.log(1 / 0.07)
"""Logarithm of what random weights scale similarities by. Source: the paper's initial temperature."""

POSITIONS = (r"(text|vision)_model\.embeddings\.position_ids",)
"""The numbers 0, 1, 2 and so on, which older files carry and the definition does without."""

_POSITION_STD = 0.01
"""Standard deviation of random position embeddings of texts. Source: CLIP's own initialisation."""


class _Attention(nn.Module):
    """Attend from each position to all, or to those before it."""

    def __init__(self, channels: int, heads: int, *, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.k_proj = nn.Linear(channels, channels)
        self.v_proj = nn.Linear(channels, channels)
        self.q_proj = nn.Linear(channels, channels)
        self.out_proj = nn.Linear(channels, channels)

    def forward(self, features: Tensor) -> Tensor:
        """Map [batch, length, channels] to the same shape."""
        B, L, C = features.shape
        query, key, value = (  # each [batch, heads, length, channels / heads]
            layer(features).view(B, L, self.heads, C // self.heads).transpose(1, 2)
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        scores = query @ key.transpose(2, 3) * (C // self.heads) ** -0.5  # [batch, heads, length, length]
        if self.causal:
            later = torch.ones(L, L, dtype=torch.bool, device=features.device).triu(1)
            scores = scores.masked_fill(later, torch.finfo(scores.dtype).min)
        mixed = (scores.softmax(dim=-1) @ value).transpose(1, 2).reshape(B, L, C)
        output: Tensor = self.out_proj(mixed)
        return output


class _Mlp(nn.Module):
    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, inner)
        self.fc2 = nn.Linear(inner, channels)

    def forward(self, features: Tensor) -> Tensor:
        """Map [..., channels] to the same shape, by the quick form of GELU."""
        inner = self.fc1(features)
        output: Tensor = self.fc2(inner * torch.sigmoid(1.702 * inner))
        return output


class EncoderLayer(nn.Module):
    """Mix positions, then channels; each behind a norm and beside a shortcut."""

    def __init__(self, channels: int, inner: int, heads: int, *, causal: bool) -> None:
        super().__init__()
        self.self_attn = _Attention(channels, heads, causal=causal)
        self.layer_norm1 = nn.LayerNorm(channels, eps=NORM_EPSILON)
        self.mlp = _Mlp(channels, inner)
        self.layer_norm2 = nn.LayerNorm(channels, eps=NORM_EPSILON)

    def forward(self, features: Tensor) -> Tensor:
        """Map [batch, length, channels] to the same shape."""
        features = features + self.self_attn(self.layer_norm1(features))
        output: Tensor = features + self.mlp(self.layer_norm2(features))
        return output


class _Encoder(nn.Module):
    def __init__(self, channels: int, inner: int, heads: int, layers: int, *, causal: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(channels, inner, heads, causal=causal) for _ in range(layers))

    def forward(self, features: Tensor) -> Tensor:
        """Map [batch, length, channels] to the same shape."""
        for layer in self.layers:
            features = layer(features)
        return features


class _TextEmbeddings(nn.Module):
    def __init__(self, channels: int, vocabulary: int, context: int) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(vocabulary, channels)
        self.position_embedding = nn.Embedding(context, channels)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Map [batch, length] to [batch, length, channels]."""
        embedded: Tensor = self.token_embedding(input_ids) + self.position_embedding.weight[: input_ids.shape[1]]
        return embedded

    def draws(self) -> dict[str, Draw]:
        """Draw the positions of random weights smaller than the tokens."""
        return {"position_embedding.weight": normal(_POSITION_STD)}


class TextTransformer(nn.Module):
    """Encode texts; what a text means is read off its last token."""

    def __init__(self, channels: int, inner: int, heads: int, layers: int, *, vocabulary: int, context: int) -> None:
        super().__init__()
        self.embeddings = _TextEmbeddings(channels, vocabulary, context)
        self.encoder = _Encoder(channels, inner, heads, layers, causal=True)
        self.final_layer_norm = nn.LayerNorm(channels, eps=NORM_EPSILON)

    def forward(self, input_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Map [batch, length] to [batch, length, channels] and, at each text's end, [batch, channels]."""
        hidden = self.final_layer_norm(self.encoder(self.embeddings(input_ids)))
        # The closing token has the highest id of all.
        end = input_ids.to(torch.int32).argmax(dim=-1)  # [batch]
        pooled = hidden.gather(1, end[:, None, None].expand(-1, 1, hidden.shape[2]))[:, 0]
        return hidden, pooled


class TextEncoder(nn.Module):
    """The text transformer alone, as Stable Diffusion uses it."""

    def __init__(self, text_model: TextTransformer) -> None:
        super().__init__()
        self.text_model = text_model

    def forward(self, input_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Encode texts.

        Args:
            input_ids: int32 or int64 [batch, 77], ids of tokens.

        Returns:
            last_hidden_state: float32 [batch, 77, channels].
            pooler_output: float32 [batch, channels], at the token of the highest id.
        """
        encoded: tuple[Tensor, Tensor] = self.text_model(input_ids)
        return encoded


class _VisionEmbeddings(nn.Module):
    def __init__(self, channels: int, image_size: int, patch_size: int) -> None:
        super().__init__()
        positions = (image_size // patch_size) ** 2 + 1
        self.class_embedding = nn.Parameter(torch.zeros(channels))
        self.patch_embedding = nn.Conv2d(3, channels, patch_size, patch_size, bias=False)
        self.position_embedding = nn.Embedding(positions, channels)

    def forward(self, image: Tensor) -> Tensor:
        """Map [batch, 3, height, width] to [batch, 1 + patches, channels]."""
        patches = self.patch_embedding(image).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(image.shape[0], 1, -1)
        return torch.cat([first, patches], dim=1) + self.position_embedding.weight

    def draws(self) -> dict[str, Draw]:
        """Draw the place of the class of random weights."""
        return {"class_embedding": normal(self.class_embedding.numel() ** -0.5)}


class VisionTransformer(nn.Module):
    """Encode images; what an image shows is read off a position of its own."""

    def __init__(self, channels: int, inner: int, heads: int, layers: int, *, image_size: int, patch_size: int) -> None:
        super().__init__()
        self.embeddings = _VisionEmbeddings(channels, image_size, patch_size)
        self.pre_layrnorm = nn.LayerNorm(channels, eps=NORM_EPSILON)
        self.encoder = _Encoder(channels, inner, heads, layers, causal=False)
        self.post_layernorm = nn.LayerNorm(channels, eps=NORM_EPSILON)

    def forward(self, image: Tensor) -> Tensor:
        """Map [batch, 3, height, width] to [batch, channels]."""
        hidden = self.encoder(self.pre_layrnorm(self.embeddings(image)))
        pooled: Tensor = self.post_layernorm(hidden[:, 0])
        return pooled


class Clip(nn.Module):
    """Say how well each image fits each text."""

    def __init__(self, text_model: TextTransformer, vision_model: VisionTransformer, *, widths: tuple[int, int, int]):
        super().__init__()
        text_width, vision_width, shared_width = widths
        self.logit_scale = nn.Parameter(torch.tensor(FIRST_SCALE))
        self.text_model = text_model
        self.vision_model = vision_model
        self.visual_projection = nn.Linear(vision_width, shared_width, bias=False)
        self.text_projection = nn.Linear(text_width, shared_width, bias=False)

    def forward(self, image: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """Compare images with texts.

        Args:
            image: float32 [batch, 3, image_size, image_size], normalised.
            text: int64 [texts, 77], ids of tokens.

        Returns:
            logits_per_image: float32 [batch, texts].
            logits_per_text: float32 [texts, batch].
        """
        images = self.visual_projection(self.vision_model(image))  # [batch, shared]
        texts = self.text_projection(self.text_model(text)[1])  # [texts, shared]
        images = images / images.norm(dim=-1, keepdim=True)
        texts = texts / texts.norm(dim=-1, keepdim=True)
        logits_per_image: Tensor = images @ texts.T * self.logit_scale.exp()
        return logits_per_image, logits_per_image.T

    def draws(self) -> dict[str, Draw]:
        """Set the scale of random weights."""
        return {"logit_scale": constant(FIRST_SCALE)}


def build(
    *,
    image_size: int = 224,
    patch_size: int = 32,
    vision_width: int = 768,
    vision_layers: int = 12,
    vision_heads: int = 12,
    text_width: int = 512,
    text_layers: int = 12,
    text_heads: int = 8,
    shared_width: int = 512,
    vocabulary: int = VOCABULARY,
    context: int = CONTEXT,
) -> Clip:
    """Return the two encoders and their comparison in evaluation mode; the defaults are ViT-B/32.

    Args:
        image_size: Side of the image.
        patch_size: Side of a patch; divides the image's.
        vision_width: Channels of the image encoder.
        vision_layers: Of the image encoder.
        vision_heads: Of the image encoder.
        text_width: Channels of the text encoder.
        text_layers: Of the text encoder.
        text_heads: Of the text encoder.
        shared_width: Of the space in which images and texts are compared.
        vocabulary: Number of tokens.
        context: Tokens of a text.

    Raises:
        ValueError: Heads do not divide the channels, or patches not the image.
    """
    _check_divides(patch_size, image_size, "patch_size", "image_size")
    _check_divides(vision_heads, vision_width, "vision_heads", "vision_width")
    vision = VisionTransformer(
        vision_width, 4 * vision_width, vision_heads, vision_layers, image_size=image_size, patch_size=patch_size
    )
    text = _text_transformer(text_width, text_layers, text_heads, vocabulary, context)
    clip = Clip(text, vision, widths=(text_width, vision_width, shared_width))
    leave_out(clip, POSITIONS)
    return clip.eval()


def build_text_encoder(
    *, width: int = 768, layers: int = 12, heads: int = 12, vocabulary: int = VOCABULARY, context: int = CONTEXT
) -> TextEncoder:
    """Return a text encoder in evaluation mode; the defaults are that of ViT-L/14.

    Args:
        width: Channels.
        layers: Number of layers.
        heads: Of the attention.
        vocabulary: Number of tokens.
        context: Tokens of a text.

    Raises:
        ValueError: The heads do not divide the channels.
    """
    encoder = TextEncoder(_text_transformer(width, layers, heads, vocabulary, context))
    leave_out(encoder, POSITIONS)
    return encoder.eval()


def _text_transformer(width: int, layers: int, heads: int, vocabulary: int, context: int) -> TextTransformer:
    _check_divides(heads, width, "text_heads", "text_width")
    return TextTransformer(width, 4 * width, heads, layers, vocabulary=vocabulary, context=context)


def _check_divides(divisor: int, number: int, divisor_name: str, number_name: str) -> None:
    if number % divisor:
        raise ValueError(f"{divisor_name}={divisor} does not divide {number_name}={number}")
