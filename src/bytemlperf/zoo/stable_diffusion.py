"""Stable Diffusion 1.x at 256 x 256 pixels: its four networks, one by one, as ByteMLPerf has them."""

from __future__ import annotations

from typing import Final

from bytemlperf.spec import Domain, Format, Framework, ModelSpec, Purpose, Recipe, Source, SourceKind, TensorSpec


def _row(
    model: str,
    *,
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    architecture: str,
    file: str,
    parameters: int,
    description: str,
) -> ModelSpec:
    return ModelSpec(
        name=f"{model}-onnx-fp32",
        model=model,
        domain=Domain.CV,
        purpose=Purpose.SOTA,
        framework=Framework.ONNX,
        format=Format.ONNX,
        inputs=inputs,
        outputs=outputs,
        recipe=Recipe(architecture=f"bytemlperf.zoo.architectures.{architecture}", version="1"),
        sources=(
            Source(
                kind=SourceKind.HUB,
                location="CompVis/stable-diffusion-v1-4",
                files=(file,),
                licence="CreativeML-OpenRAIL-M",
                verified=False,
            ),
        ),
        batch_sizes=(4, 8, 16, 24),
        parameters=parameters,
        description=description,
    )


_LATENT: Final = ("batch", 4, 32, 32)

CLIP_ONNX_FP32: Final = _row(
    "clip",
    inputs=(TensorSpec(name="input_ids", shape=("batch", 77), dtype="int32", high=49_408),),
    outputs=(
        TensorSpec(name="last_hidden_state", shape=("batch", 77, 768), dtype="float32"),
        TensorSpec(name="pooler_output", shape=("batch", 768), dtype="float32"),
    ),
    architecture="clip_torch:build_text_encoder",
    file="text_encoder/model.safetensors",
    parameters=123_060_480,
    description="Encode the text of a picture that is wanted (the text encoder of CLIP ViT-L/14).",
)

UNET_ONNX_FP32: Final = _row(
    "unet",
    inputs=(
        TensorSpec(name="sample", shape=_LATENT, dtype="float32"),
        # One time for the whole batch, of the 1,000 steps that the model was trained on.
        TensorSpec(name="timestep", shape=(1,), dtype="int64", high=1000),
        TensorSpec(name="encoder_hidden_states", shape=("batch", 77, 768), dtype="float32"),
    ),
    outputs=(TensorSpec(name="out_sample", shape=_LATENT, dtype="float32"),),
    architecture="unet_torch:build",
    file="unet/diffusion_pytorch_model.safetensors",
    parameters=859_520_964,
    description="Estimate the noise in a latent image at one step of diffusion.",
)

VAE_ENCODER_ONNX_FP32: Final = _row(
    "vae-encoder",
    inputs=(TensorSpec(name="sample", shape=("batch", 3, 256, 256), dtype="float32"),),
    # The mean of the distribution: a sample of it would be another one each time.
    outputs=(TensorSpec(name="latent_sample", shape=_LATENT, dtype="float32"),),
    architecture="vae_torch:build_encoder",
    file="vae/diffusion_pytorch_model.safetensors",
    parameters=83_653_863,  # of both halves, which lie in one file; the encoder's are 34,163,664
    description="Encode an image of 256x256 as a latent image.",
)

VAE_DECODER_ONNX_FP32: Final = _row(
    "vae-decoder",
    inputs=(TensorSpec(name="latent_sample", shape=_LATENT, dtype="float32"),),
    # The original names one output by its four symbolic lengths (Convsample_dim_0 to 3), which no graph can have.
    outputs=(TensorSpec(name="sample", shape=("batch", 3, 256, 256), dtype="float32"),),
    architecture="vae_torch:build_decoder",
    file="vae/diffusion_pytorch_model.safetensors",
    parameters=83_653_863,  # of both halves, which lie in one file; the decoder's are 49,490,199
    description="Decode a latent image to an image of 256x256.",
)
