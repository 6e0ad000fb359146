"""Whether a file fits its model: names and shapes of weights, inputs and outputs of a graph."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs

from bytemlperf.conversion.definition import definition
from bytemlperf.conversion.signature import argument_names
from bytemlperf.conversion.weight_files import weight_shapes
from bytemlperf.errors import ArtifactError, SpecError
from bytemlperf.fetch import cache_dir, kept
from bytemlperf.spec import Axis, Format, digest
from bytemlperf.zoo.obtained import built

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from bytemlperf.artifact import ModelArtifact
    from bytemlperf.conversion.signature import FileTensor, Signature
    from bytemlperf.spec import ModelSpec, Recipe, TensorSpec

_LISTED = 4
_COUNTER = "num_batches_tracked"
"""What batch normalisation counts while it is trained. Old checkpoints lack it, and torch does without."""


def check_weights(recipe: Recipe, artifact: ModelArtifact, cache: Path | None) -> None:
    """See that a safetensors file holds exactly the weights of a recipe's module, each of its shape, as many as stated.

    Names that the module itself passes over (its `unused_weights`) may be there too.

    What was seen once of a file is kept in the cache, so that torch is needed once.

    Raises:
        ArtifactError: If the file cannot be read, or names are missing, unknown or of another shape.
        SpecError: If the spec states another number of parameters than the module has.
    """
    assert artifact.path is not None
    source = artifact.path

    def make(path: Path) -> None:
        from bytemlperf.conversion.torch_state import state_shapes, unused_weights

        _check_count(artifact.spec, recipe)
        expected, found = state_shapes(lambda: built(recipe)), weight_shapes(source)
        if found.keys() - expected.keys():
            unused = unused_weights(lambda: built(recipe))
            found = {name: shape for name, shape in found.items() if not _is_unused(name, unused)}
        _compare(artifact, expected, found)
        path.write_text("the names and shapes of these weights are the recipe's\n", encoding="utf-8")

    stated = artifact.spec.parameters
    key = digest({"weights": artifact.sha256, "definition": definition(recipe), "parameters": stated})
    kept(cache_dir(cache) / "fitting" / key, "seen", make, about={"model": artifact.name})


def check_signature(spec: ModelSpec, path: Path, form: Format) -> None:
    """See that a model's file has the inputs and outputs of its spec; formats that say nothing of them pass.

    Raises:
        ArtifactError: If the file cannot be read, or a name, type or fixed length differs.
    """
    if form is Format.ONNX:
        from bytemlperf.conversion import onnx_file

        _compare_signature(spec, path, onnx_file.read_signature(path))
    elif form is Format.SAVED_MODEL:
        from bytemlperf.conversion import tf_saved_model

        found = tf_saved_model.read_signature(path, tf_saved_model.signature_of(path, spec))
        _compare_signature(_with_argument_names(spec, found), path, found)


def _check_count(spec: ModelSpec, recipe: Recipe) -> None:
    from bytemlperf.conversion.torch_state import parameter_count

    if spec.parameters is None:
        return
    found = parameter_count(lambda: built(recipe))
    if found != spec.parameters:
        raise SpecError(
            f"the spec of {spec.name} states another number of parameters than its architecture has",
            where="$.parameters",
            got=spec.parameters,
            expected=str(found),
            remedy="correct parameters= in the spec, or its recipe; None states nothing",
        )


def _is_unused(name: str, patterns: Iterable[str]) -> bool:
    return any(re.fullmatch(pattern, name) for pattern in patterns)


def _compare(
    artifact: ModelArtifact, expected: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]
) -> None:
    missing = [name for name in expected if name not in found and not name.endswith(_COUNTER)]
    unknown = [name for name in found if name not in expected]
    other = [
        f"{name} {list(found[name])} where {list(shape)} is expected"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
    kinds = {"missing": missing, "unknown": unknown, "of another shape": other}
    problems = [f"{len(names)} {kind}: {_some(names)}" for kind, names in kinds.items() if names]
    if problems:
        raise ArtifactError(
            f"the weights in {artifact.origin} are not those of {artifact.name}: {'; '.join(problems)}",
            remedy="give weights whose names and shapes are the recipe's",
        )


def _compare_signature(spec: ModelSpec, path: Path, signature: Signature) -> None:
    problems = [
        *_differences("input", spec.inputs, signature.inputs),
        *_differences("output", spec.outputs, signature.outputs),
    ]
    if problems:
        raise ArtifactError(
            f"{path.name} is not a file of {spec.name}: {_some(problems)}",
            remedy="give a file whose inputs and outputs are the spec's, or correct original_name in the spec",
        )


def _with_argument_names(spec: ModelSpec, signature: Signature) -> ModelSpec:
    """Name the spec's tensors as a SavedModel's signature does."""

    def named(specs: Iterable[TensorSpec], tensors: Iterable[FileTensor]) -> list[TensorSpec]:
        known = {each.name for each in tensors}
        return [attrs.evolve(each, original_name=argument_names([each.file_name], known).pop()) for each in specs]

    return attrs.evolve(
        spec, inputs=named(spec.inputs, signature.inputs), outputs=named(spec.outputs, signature.outputs)
    )


def _differences(kind: str, specs: Iterable[TensorSpec], tensors: Iterable[FileTensor]) -> list[str]:
    found = {each.name: each for each in tensors}
    expected = {each.file_name: each for each in specs}
    missing = [f"{kind} {name!r} is missing" for name in expected if name not in found]
    # An output that nobody asked for can be left alone; an input that nobody fills cannot.
    unknown = [f"{kind} {name!r} is unknown" for name in found if name not in expected and kind == "input"]
    both = [(expected[name], found[name]) for name in expected if name in found]
    return [*missing, *unknown, *(problem for spec, tensor in both for problem in _misfits(kind, spec, tensor))]


def _misfits(kind: str, spec: TensorSpec, tensor: FileTensor) -> list[str]:
    problems = []
    if tensor.dtype is not spec.dtype:
        problems.append(f"{kind} {tensor.name!r} is {tensor.dtype} where {spec.dtype} is expected")
    dims = tensor.dims
    fixed = zip(dims or (), spec.shape, strict=False)
    if dims is not None and (
        len(dims) != len(spec.shape)
        or any(isinstance(dim, int) and not isinstance(length, Axis) and dim != length for dim, length in fixed)
    ):
        problems.append(f"{kind} {tensor.name!r} is {list(dims)} where {list(map(str, spec.shape))} is expected")
    return problems


def _some(items: list[str]) -> str:
    rest = f" and {len(items) - _LISTED} more" if len(items) > _LISTED else ""
    return ", ".join(items[:_LISTED]) + rest
