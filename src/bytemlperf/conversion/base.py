"""Find the way from an artifact's format to one that a backend takes, and go it once."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final

import attrs

from bytemlperf.conversion.definition import definition
from bytemlperf.conversion.weight_files import artifact_digest
from bytemlperf.errors import ConversionError, WeightsUnavailableError
from bytemlperf.fetch import kept, kept_by_content
from bytemlperf.registry import load
from bytemlperf.spec import Format, digest, to_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bytemlperf.artifact import ModelArtifact


@attrs.frozen(kw_only=True)
class Converter:
    """One step from format to format.

    Attributes:
        sources: Formats that it reads.
        target: Format that it writes.
        file_name: Name of the file that it writes.
        version: Of its own code; another one makes kept files anew.
        packages: Distributions whose versions decide the content of the file.
        writer: `package.module:function` that takes an artifact and the path to write; loaded when needed.
    """

    sources: frozenset[Format]
    target: Format
    file_name: str
    version: str
    packages: tuple[str, ...]
    writer: str


_TORCH: Final = frozenset({Format.TORCH, Format.TORCH_MODULE})

CONVERTERS: Final = (
    Converter(
        sources=_TORCH,
        target=Format.ONNX,
        file_name="model.onnx",
        version="1",
        packages=("torch", "onnx", "onnxscript"),
        writer="bytemlperf.conversion.torch_onnx:write_onnx",
    ),
    Converter(
        sources=_TORCH,
        target=Format.TORCHSCRIPT,
        file_name="model.pt",
        version="1",
        packages=("torch",),
        writer="bytemlperf.conversion.torch_script:write_torchscript",
    ),
    Converter(
        sources=_TORCH,
        target=Format.STABLEHLO,
        file_name="model.stablehlo",
        version="1",
        packages=("torch", "torch-mlir"),
        writer="bytemlperf.conversion.torch_stablehlo:write_stablehlo",
    ),
)
"""Every step there is; where a backend takes several targets, the first is gone."""


def targets(source: Format) -> frozenset[Format]:
    """Return the formats that an artifact of `source` can be brought to, its own among them."""
    return frozenset({source, *(each.target for each in CONVERTERS if source in each.sources)})


def convert(artifact: ModelArtifact, formats: frozenset[Format], *, folder: Path) -> ModelArtifact:
    """Bring an artifact to one of the formats that a backend takes.

    An artifact that has one of them is given back as it is. Converted files are kept in `folder`
    by what decides them: the artifact's digest, recipe and tensors, the version of the conversion
    and of the frameworks. A kept file whose digest is not the recorded one is made anew. A live
    module is always converted anew: no digest covers its code.

    Args:
        artifact: What the zoo gave.
        formats: What the backend takes.
        folder: Store of converted files; made where it does not exist.

    Returns:
        An artifact with `derived_from` set where something was converted; its names are the original's.

    Raises:
        ConversionError: If no way leads to any of the formats (the message says what is possible),
            or the way cannot be gone.
        ArtifactError: If the artifact itself cannot be read.
    """
    if artifact.format in formats:
        return artifact
    return _converted(artifact, _way(artifact, formats), folder)


def prepare(artifact: ModelArtifact, formats: frozenset[Format]) -> None:
    """Import what `convert` will need, so that its time is not the time of an import.

    Raises:
        ConversionError: As `convert`.
    """
    if artifact.format not in formats:
        converter = _way(artifact, formats)
        load(converter.writer, what=f"conversion to {converter.target}")


def _way(artifact: ModelArtifact, formats: frozenset[Format]) -> Converter:
    converter = next((each for each in CONVERTERS if artifact.format in each.sources and each.target in formats), None)
    if converter is None:
        possible = ", ".join(sorted(targets(artifact.format)))
        raise ConversionError(
            f"no conversion leads from {artifact.format} to what the backend takes",
            got=artifact.name,
            expected=f"a backend that takes one of: {possible}",
            remedy=f"this one takes: {', '.join(sorted(formats)) or 'nothing'}",
        )
    return converter


def _converted(artifact: ModelArtifact, converter: Converter, folder: Path) -> ModelArtifact:
    source = None if artifact.format is Format.TORCH_MODULE else _digest(artifact)

    def write(path: Path) -> None:
        writer: Callable[[ModelArtifact, Path], None] = load(converter.writer, what=f"conversion to {converter.target}")
        writer(artifact, path)

    about = _about(artifact, converter)
    if source is None:
        made = kept_by_content(folder, converter.file_name, write, about=about, failing=ConversionError)
    else:
        home = folder / _key(artifact, source, converter)
        made = kept(home, converter.file_name, write, about={**about, "weights": source}, failing=ConversionError)
    return attrs.evolve(
        artifact,
        format=converter.target,
        path=made.path,
        sha256=made.sha256,
        derived_from=source or artifact.sha256 or None,
        module=None,
    )


def _about(artifact: ModelArtifact, converter: Converter) -> dict[str, str]:
    recipe = artifact.spec.recipe
    return {
        "model": artifact.name,
        "format": str(converter.target),
        "definition": "" if recipe is None else recipe.version,
        "conversion": converter.version,
        **{name: _installed(name) or "not installed" for name in converter.packages},
    }


def _digest(artifact: ModelArtifact) -> str:
    if artifact.path is None:
        raise WeightsUnavailableError(f"the artifact of {artifact.name} has no file", expected="a path")
    return artifact.sha256 or artifact_digest(artifact.path)


def _key(artifact: ModelArtifact, source: str, converter: Converter) -> str:
    return digest(
        {
            "artifact": source,
            "definition": None if artifact.spec.recipe is None else definition(artifact.spec.recipe),
            "precision": artifact.spec.precision,
            "inputs": to_json(artifact.spec.inputs),
            "batch_sizes": list(artifact.spec.batch_sizes) if converter.target is Format.STABLEHLO else None,
            "outputs": to_json(artifact.spec.outputs),
            "target": converter.target,
            "converter": converter.version,
            "packages": {name: _installed(name) for name in converter.packages},
        }
    )


def _installed(distribution: str) -> str | None:
    """Return a version; None for an extra that is missing, of which the writer's import then says so."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
