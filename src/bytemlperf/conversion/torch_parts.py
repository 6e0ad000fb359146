"""Build one rank's part of a torch recipe, and read no more of its weights than that part."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import attrs
import torch
from safetensors import safe_open
from torch import Tensor, nn

from bytemlperf.causal import CausalModel, Shard
from bytemlperf.conversion.torch_building import undrawn
from bytemlperf.conversion.torch_module import FLOAT_DTYPES, build_module, load_weights, read_state, whole_weight
from bytemlperf.errors import ArtifactError, CompileError, SpecError
from bytemlperf.spec import Format

if TYPE_CHECKING:
    from bytemlperf.artifact import ModelArtifact
    from bytemlperf.spec import Recipe

MOST_RANKS_TRIED: Final = 16
"""Up to which number of ranks it is looked for what would fit, where what was asked does not."""


@attrs.frozen(kw_only=True, eq=False)
class Part:
    """What one rank has of a model.

    Attributes:
        module: A `CausalModel` with its own heads only, in evaluation mode.
        bytes_asked: Bytes of weights that were asked of the files; the whole of what is not divided among them.
    """

    module: nn.Module
    bytes_asked: int


def torch_artifact_part(artifact: ModelArtifact, *, rank: int, ranks: int) -> Part:
    """Build a rank's part of a torch artifact on the CPU, with its weights.

    The recipe's function is given `ranks`, and the module's `shards` tell which slices of the files are its own. Above
    1 GiB slices of whole rows are mapped into memory instead of read, as `torch_artifact_module` does it.

    Args:
        artifact: A recipe of a `CausalModel` and safetensors files.
        rank: Whose part, from 0.
        ranks: Among how many the model is divided.

    Raises:
        CompileError: If the artifact is no such recipe, or cannot be divided among that many ranks.
        WeightsUnavailableError: If a file of weights is not there.
        ArtifactError: If the recipe cannot be built, or the weights are not the architecture's.
        SpecError: If the architecture does not take the configuration.
    """
    recipe = artifact.spec.recipe
    if artifact.format is not Format.TORCH or recipe is None:
        raise CompileError(
            "only a recipe with files of weights can be divided among ranks",
            got=str(artifact.format),
            expected="'torch'",
            remedy="give the model as a recipe, or leave out tensor_parallel",
        )
    module = undrawn(lambda: _divided(recipe, artifact.name, ranks))
    if not isinstance(module, CausalModel):
        raise CompileError("the model cannot be divided among ranks", got=artifact.name, expected="a CausalModel")
    unused = tuple(getattr(module, "unused_weights", ()))
    reader = PartReader(module.shards(), rank=rank, ranks=ranks, unused=unused)
    load_weights(module, artifact.path, artifact.name, lambda path: read_state(path, reader.take))
    floats = FLOAT_DTYPES.get(artifact.spec.precision)
    return Part(module=module.eval() if floats is None else module.to(floats).eval(), bytes_asked=reader.bytes_asked)


def _divided(recipe: Recipe, name: str, ranks: int) -> nn.Module:
    try:
        return _build(recipe, name, ranks)
    except (ArtifactError, SpecError) as error:
        whole = _fits(recipe, name, None)
        if not whole:  # the recipe itself is wrong, however many ranks
            raise
        fitting = [count for count in range(2, MOST_RANKS_TRIED + 1) if _fits(recipe, name, count)]
        raise CompileError(
            f"{name} cannot be divided among {ranks} ranks",
            where="$.options.tensor_parallel",
            got=str(error.got),
            expected=f"one of {', '.join(map(str, (1, *fitting)))}" if fitting else "1",
        ) from error


def _build(recipe: Recipe, name: str, ranks: int | None) -> nn.Module:
    config = recipe.config if ranks is None else {**recipe.config, "ranks": ranks}
    return build_module(attrs.evolve(recipe, config=config), name)


def _fits(recipe: Recipe, name: str, ranks: int | None) -> bool:
    try:
        with torch.device("meta"):
            _build(recipe, name, ranks)
    except (ArtifactError, SpecError):
        return False
    return True


class PartReader:
    """Reads a rank's slices of weights, and counts what it asked for.

    Args:
        plan: How weights are divided, by name; others are read whole.
        rank: Whose part.
        ranks: Among how many.
        unused: Patterns of names that the model does without.
    """

    def __init__(self, plan: Mapping[str, Shard], *, rank: int, ranks: int, unused: tuple[str, ...] = ()) -> None:
        self._plan, self._rank, self._ranks, self._unused = plan, rank, ranks, unused
        self.bytes_asked = 0

    def take(self, opened: safe_open, name: str) -> Tensor | None:
        """Return the rank's part of a weight, None of one that the model does without; for `read_state`.

        Raises:
            CompileError: If it cannot be divided.
            ArtifactError: If it has not the length that the plan divides.
        """
        if any(re.fullmatch(pattern, name) for pattern in self._unused):
            return None
        shard = self._plan.get(name)
        tensor = whole_weight(opened, name) if shard is None else self._part(opened, name, shard)
        self.bytes_asked += 0 if tensor is None else tensor.numel() * tensor.itemsize
        return tensor

    def _part(self, opened: safe_open, name: str, shard: Shard) -> Tensor:
        found = opened.get_slice(name)  # type: ignore[no-untyped-call]  # safetensors'
        _check_length(name, tuple(found.get_shape()), shard)
        pieces = [found[(slice(None),) * shard.axis + (piece,)] for piece in _slices(shard, self._rank, self._ranks)]
        return (pieces[0] if len(pieces) == 1 else torch.cat(pieces, shard.axis)).contiguous()


def _slices(shard: Shard, rank: int, ranks: int) -> tuple[slice, ...]:
    try:
        return shard.slices(rank, ranks)
    except SpecError as error:
        raise CompileError("a weight cannot be divided among the ranks", got=str(error)) from error


def _check_length(name: str, shape: tuple[int, ...], shard: Shard) -> None:
    length = sum(shard.blocks) * shard.unit
    if shard.axis >= len(shape) or shape[shard.axis] != length:
        raise ArtifactError(
            f"the weight {name} is not the architecture's",
            got=list(shape),
            expected=f"a length of {length} along axis {shard.axis}",
        )
