"""The model as data."""

from bytemlperf import Format, ModelSpec, Recipe, Source, TensorSpec
from bytemlperf.spec import Framework, SourceKind

NEAREST = ModelSpec(
    name="thirdparty-nearest-torch-fp32",
    framework=Framework.TORCH,
    format=Format.TORCH,
    inputs=(TensorSpec(name="point", shape=("batch", 4), dtype="fp32"),),
    outputs=(TensorSpec(name="scores", shape=("batch", 3), dtype="fp32"),),
    dataset="thirdparty-points",
    metrics=("thirdparty-hits",),
    recipe=Recipe(architecture="thirdparty.network_torch:build", config={"features": 4, "classes": 3}),
    sources=(
        Source(
            kind=SourceKind.PACKAGE,
            location="thirdparty:weights/nearest.safetensors",
            sha256={"nearest.safetensors": "b809bf27d2d2d131883fe654f79b5008bd527392ea08b2ce9e0bbea777bbaa84"},
            licence="Apache-2.0",
            verified=True,
        ),
    ),
    batch_sizes=(1, 5),
)
