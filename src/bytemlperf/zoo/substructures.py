"""Parts of models as benchmarks of their own: blocks of transformers, convolutions, recurrent layers.

ByteMLPerf announces them and ships none: lengths are its own, shapes are those of well-known models.
Each is there in torch and as ONNX, under one table: `transformer-encoder-128-torch-fp32`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from bytemlperf.spec import Format, Framework, ModelSpec, Recipe, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LENGTHS: Final = (64, 128, 256, 384, 512)
"""Positions of the transformers' blocks."""

WIDTH: Final = 768
"""Channels of the transformers' blocks: BERT-base's."""

GROUPED: Final = ((128, 56), (256, 28), (512, 14), (1024, 7))
"""Channels, in 32 groups, and sides of 3x3 convolutions. Source: ResNeXt-50 32x4d (arXiv:1611.05431), one a stage."""

DEPTHWISE: Final = ((144, 56), (192, 28), (384, 14), (960, 7))
"""Channels and sides of 3x3 convolutions. Source: MobileNetV2 (arXiv:1801.04381), one a resolution."""

POINTWISE: Final = ((24, 144, 56), (32, 192, 28), (64, 384, 14), (160, 960, 7))
"""Channels in and out and sides. Source: MobileNetV2, the expansions before the convolutions above."""

RECURRENT: Final = ((128, 64), (512, 64), (1024, 64))
"""Numbers of a step, and of the state, and steps; 1,024 is the width of GNMT (arXiv:1609.08144)."""

BATCH_SIZES: Final = (1, 4, 8, 16, 32)

_ARCHITECTURES: Final = "bytemlperf.zoo.architectures"


def _row(
    model: str,
    *,
    architecture: str,
    inputs: tuple[TensorSpec, ...],
    output: TensorSpec,
    parameters: int,
    description: str,
    config: Mapping[str, int],
) -> ModelSpec:
    return ModelSpec(
        name=f"{model}-torch-fp32",
        model=model,
        framework=Framework.TORCH,
        format=Format.TORCH,
        inputs=inputs,
        outputs=(output,),
        recipe=Recipe(architecture=f"{_ARCHITECTURES}.{architecture}", version="1", config=config),
        batch_sizes=BATCH_SIZES,
        parameters=parameters,
        description=description,
    )


def _transformers() -> Iterator[ModelSpec]:
    config = {"channels": WIDTH, "heads": 12, "inner": 4 * WIDTH}
    attention = 4 * (WIDTH + 1) * WIDTH + 2 * WIDTH  # and the norm behind it
    feed_forward = 8 * WIDTH**2 + 5 * WIDTH + 2 * WIDTH
    for length in LENGTHS:
        hidden = _float("hidden_states", length, WIDTH)
        yield _row(
            f"transformer-encoder-{length}",
            architecture="transformer_torch:build_encoder",
            inputs=(hidden,),
            output=_float("output", length, WIDTH),
            parameters=attention + feed_forward,
            description=f"One encoder block of BERT-base's width over {length} positions.",
            config=config,
        )
        yield _row(
            f"transformer-decoder-{length}",
            architecture="transformer_torch:build_decoder",
            inputs=(hidden, _float("memory", length, WIDTH)),
            output=_float("output", length, WIDTH),
            parameters=2 * attention + feed_forward,
            description=f"One decoder block of BERT-base's width over {length} positions, which attends to as many.",
            config=config,
        )


def _convolutions() -> Iterator[ModelSpec]:
    for channels, side in GROUPED:
        yield _convolution(f"conv-group-{channels}x{side}", channels, channels, side, kernel=3, groups=32)
    for channels, side in DEPTHWISE:
        yield _convolution(f"conv-depthwise-{channels}x{side}", channels, channels, side, kernel=3, groups=channels)
    for entering, channels, side in POINTWISE:
        yield _convolution(f"conv-pointwise-{channels}x{side}", entering, channels, side, kernel=1, groups=1)


def _convolution(model: str, entering: int, channels: int, side: int, *, kernel: int, groups: int) -> ModelSpec:
    kinds = f"{kernel}x{kernel} convolution of {entering} to {channels} channels in {groups} groups"
    return _row(
        model,
        architecture="layers_torch:build_convolution",
        inputs=(_float("features", entering, side, side),),
        output=_float("output", channels, side, side),
        parameters=channels * (entering // groups * kernel**2 + 1),
        description=f"One {kinds} over {side}x{side} places.",
        config={"in_channels": entering, "channels": channels, "kernel": kernel, "groups": groups},
    )


def _recurrent() -> Iterator[ModelSpec]:
    for kind, gates in (("gru", 3), ("lstm", 4)):
        for width, steps in RECURRENT:
            yield _row(
                f"{kind}-{width}x{steps}",
                architecture=f"layers_torch:build_{kind}",
                inputs=(_float("sequence", steps, width),),
                output=_float("output", steps, width),
                parameters=gates * (2 * width**2 + 2 * width),
                description=f"One {kind.upper()} layer of {width} numbers over {steps} steps.",
                config={"input_size": width, "hidden_size": width},
            )


def _float(name: str, *axes: int) -> TensorSpec:
    return TensorSpec(name=name, shape=("batch", *axes), dtype="float32")


def _in_onnx(spec: ModelSpec) -> ModelSpec:
    name = f"{spec.model}-onnx-fp32"
    return attrs.evolve(spec, name=name, framework=Framework.ONNX, format=Format.ONNX, twin=spec.name)


def _all() -> Iterator[ModelSpec]:
    for spec in (*_transformers(), *_convolutions(), *_recurrent()):
        onnx = _in_onnx(spec)
        yield attrs.evolve(spec, twin=onnx.name)
        yield onnx


ROWS: Final[Mapping[str, ModelSpec]] = {spec.name: spec for spec in _all()}
"""Every one of them, by task name."""


def __getattr__(name: str) -> ModelSpec:
    """Return a row by its name as an entry point writes it: `GRU_128X64_TORCH_FP32`."""
    try:
        return _BY_REFERENCE[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None


_BY_REFERENCE: Final = {name.upper().replace("-", "_"): spec for name, spec in ROWS.items()}
