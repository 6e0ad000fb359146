"""Small torch models that tests of conversions and backends share; recipes name `tests.tiny_models:build_conv`."""

from __future__ import annotations

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from bytemlperf.artifact import ModelArtifact, Provenance, digest_of
from bytemlperf.spec import DType, Format, Framework, ModelSpec, Recipe, TensorSpec

DEFINITION_VERSION = "1"


class Conv(nn.Module):
    """A convolution, a normalisation with statistics, a head: what vision models are made of."""

    def __init__(self, channels: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, channels, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(channels, 10)

    def forward(self, image: Tensor) -> Tensor:
        features = torch.relu(self.bn(self.conv(image)))
        return self.head(self.dropout(features.mean(dim=(2, 3))))


class WideAndDeep(nn.Module):
    """26 ids for each sample in one long axis, a mask, an unbatched input, and outputs of three types by name."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(50, 4)
        self.head = nn.Linear(26 * 4, 1)

    def forward(self, ids: Tensor, mask: Tensor, scale: Tensor) -> dict[str, Tensor]:
        rows = self.table(ids[:, 1]).reshape(-1, 26 * 4)
        logit = self.head(rows).squeeze(1) * scale.sum()
        kept = mask.sum(dim=1)
        return {"unused": rows, "kept:0": kept, "score:0": torch.sigmoid(logit), "is_long": kept > 3}


def build_conv(*, channels: int = 4) -> Conv:
    return Conv(channels)


def build_nothing() -> str:
    return "no module"


def spec_of_conv(**fields) -> ModelSpec:
    defaults = {
        "name": "conv-torch-fp32",
        "framework": Framework.TORCH,
        "format": Format.TORCH,
        "inputs": (TensorSpec(name="image", shape=("batch", 1, 8, 8), dtype="fp32"),),
        "outputs": (TensorSpec(name="logits", original_name="out.logits:0", shape=("batch", 10), dtype="fp32"),),
        "recipe": Recipe(architecture="tests.tiny_models:build_conv", config={"channels": 4}),
    }
    return ModelSpec(**{**defaults, **fields})


def wide_and_deep_spec() -> ModelSpec:
    return ModelSpec(
        name="widedeep-torch-fp32",
        framework=Framework.TORCH,
        format=Format.TORCH_MODULE,
        inputs=(
            TensorSpec(name="ids", original_name="new_categorical:0", shape=("26*batch", 2), dtype="int64", high=50),
            TensorSpec(name="mask", shape=("batch", 7), dtype="int64"),
            TensorSpec(name="scale", shape=(5,), dtype="fp32"),
        ),
        outputs=(
            TensorSpec(name="score", original_name="score:0", shape=("batch",), dtype="fp32", valid="mask"),
            TensorSpec(name="kept", original_name="kept:0", shape=("batch",), dtype="int64"),
            TensorSpec(name="is_long", shape=("batch",), dtype="bool"),
        ),
    )


def trained_conv(channels: int = 4) -> Conv:
    """A module with statistics that are not the identity's, so that folding them wrongly shows."""
    torch.manual_seed(7)
    module = Conv(channels)
    with torch.no_grad():
        module.bn.running_mean.normal_()
        module.bn.running_var.uniform_(0.5, 2)
        module.bn.weight.normal_()
        module.bn.bias.normal_()
    return module.eval()


def conv_artifact(folder, **fields) -> ModelArtifact:
    """A recipe and a file of weights."""
    path = folder / "weights.safetensors"
    if not path.exists():
        save_file(trained_conv().state_dict(), path)
    return ModelArtifact(
        spec=spec_of_conv(**fields),
        format=Format.TORCH,
        path=path,
        sha256=digest_of(path),
        provenance=Provenance.RANDOM,
        origin="seed 7",
    )


def live(module: nn.Module, spec: ModelSpec | None = None) -> ModelArtifact:
    spec = spec or spec_of_conv(recipe=None, format=Format.TORCH_MODULE)
    return ModelArtifact(spec=spec, format=Format.TORCH_MODULE, module=module)


def wide_and_deep() -> ModelArtifact:
    torch.manual_seed(11)
    return live(WideAndDeep(), wide_and_deep_spec())


def model_spec(inputs: dict[str, tuple], outputs: dict[str, tuple], *, dtype: DType = DType.FLOAT32) -> ModelSpec:
    """A spec of a model without a recipe, all tensors of one type."""
    return ModelSpec(
        name="tiny",
        framework=Framework.TORCH,
        format=Format.TORCH_MODULE,
        inputs=tuple(TensorSpec(name=name, shape=shape, dtype=dtype) for name, shape in inputs.items()),
        outputs=tuple(TensorSpec(name=name, shape=shape, dtype=dtype) for name, shape in outputs.items()),
    )
