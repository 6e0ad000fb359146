"""The digest of the graph that a model's definition gives, without its weights."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from bytemlperf.errors import SpecError
from bytemlperf.registry import load
from bytemlperf.spec import Format
from bytemlperf.zoo.obtained import built, torch_recipe

if TYPE_CHECKING:
    from bytemlperf.spec import ModelSpec


def graph_digest(spec: ModelSpec) -> str:
    """Return the digest of the graph that a model's definition gives on this machine, with the libraries that are here.

    ONNX and StableHLO are exported into a folder that is thrown away, with the weights that the module itself comes
    with: an exporter joins constants that are equal, so that trained ones may give another file. The graph in torch is
    that of torch.export, that in TensorFlow its function's.

    Raises:
        SpecError: If the model has no recipe.
        BackendUnavailableError: If an extra that exports it is missing.
        ArtifactError: If it cannot be exported or traced.
    """
    recipe = torch_recipe(spec)
    if spec.recipe is None or recipe is None:
        raise SpecError(f"the graph of {spec.name} has no digest: its spec has no recipe")
    if spec.format is Format.TORCH:
        from bytemlperf.conversion.torch_digest import recipe_graph_digest

        return recipe_graph_digest(spec, recipe)
    if spec.format is Format.SAVED_MODEL:
        from bytemlperf.conversion.tf_digest import function_graph_digest

        return function_graph_digest(_without_weights(spec))
    with tempfile.TemporaryDirectory(prefix="bytemlperf-") as folder:
        return _of_file(spec.format, _exported(spec, Path(folder)))


def _of_file(form: Format, path: Path) -> str:
    if form is Format.ONNX:
        from bytemlperf.conversion import onnx_digest

        return onnx_digest.graph_digest(path)
    from bytemlperf.conversion.stablehlo_digest import module_digest

    return module_digest(path)


def _exported(spec: ModelSpec, folder: Path) -> Path:
    assert spec.recipe is not None
    module, path = built(spec.recipe), folder / "model"
    if spec.format is Format.ONNX:
        from bytemlperf.conversion.torch_onnx import export_onnx

        export_onnx(module, spec, path)
    else:
        from bytemlperf.conversion.torch_stablehlo import export_stablehlo

        export_stablehlo(module, attrs.evolve(spec, batch_sizes=(1,)), path)
    return path


def _without_weights(spec: ModelSpec) -> Any:  # noqa: ANN401 - a tf.Module; TensorFlow ships no types
    """Build a module of TensorFlow on zeros."""
    import numpy as np

    from bytemlperf.conversion.torch_state import state_shapes

    recipe = torch_recipe(spec)
    assert spec.recipe is not None
    assert recipe is not None
    shapes = state_shapes(lambda: built(recipe))
    zeros = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    return load(spec.recipe.architecture, what="the architecture")(zeros, **spec.recipe.config)
