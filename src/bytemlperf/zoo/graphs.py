"""The recorded graphs of the catalog's models: a library's upgrade cannot change a benchmark unseen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from typing import TYPE_CHECKING, Final

import attrs

from bytemlperf.conversion.definition import definition, source_digest
from bytemlperf.errors import BenchmarkError, UnknownNameError
from bytemlperf.fetch import cache_dir, kept
from bytemlperf.spec import Format, digest
from bytemlperf.spec.fields import as_dict
from bytemlperf.zoo.catalog import get

if TYPE_CHECKING:
    from pathlib import Path

    from bytemlperf.artifact import ModelArtifact
    from bytemlperf.spec import ModelSpec

EXPORTERS: Final[Mapping[Format, tuple[str, ...]]] = {
    Format.ONNX: ("torch", "onnx", "onnxscript"),
    Format.SAVED_MODEL: ("tensorflow",),
    Format.STABLEHLO: ("torch", "torch-mlir"),
    Format.TORCH: ("torch",),
}
"""Distributions whose versions decide a graph, by its format."""

_DIGESTS: Final = (
    "bytemlperf.conversion.onnx_digest",
    "bytemlperf.conversion.stablehlo_digest",
    "bytemlperf.conversion.tf_digest",
    "bytemlperf.conversion.torch_digest",
    "bytemlperf.zoo.graph_digests",
)
"""What computes digests: what another version of it gave is not believed."""


@attrs.frozen(kw_only=True)
class RecordedGraph:
    """What a model's graph was when its definition was recorded.

    Attributes:
        sha256: Digest of the graph without its weights.
        version: Of the definition.
        exporter: Versions of the libraries that exported it.
    """

    sha256: str
    version: str
    exporter: Mapping[str, str] = attrs.field(converter=as_dict)


def recorded_graphs() -> Mapping[str, RecordedGraph]:
    """Return the recorded graph of each model of the catalog, by task name.

    The record is made by `benchmarks/record_graphs.py` and changes only with a definition's version.
    """
    text = files("bytemlperf.zoo").joinpath("graphs.json").read_text(encoding="utf-8")
    return {name: RecordedGraph(**fields) for name, fields in json.loads(text).items()}


def exporter(form: Format) -> dict[str, str]:
    """Return the installed versions of the libraries that decide a graph."""
    return {name: _installed(name) for name in EXPORTERS[form]}


def graph_change(
    artifact: ModelArtifact, *, recorded: Mapping[str, RecordedGraph] | None = None, cache: Path | None = None
) -> str | None:
    """Tell that the libraries of this machine make another graph of a model than the recorded one.

    None where nothing is to be told: the same libraries as those of the record give the same graph, as our tests see,
    and nothing is exported. Others are made to export the definition anew, once; what they gave is kept in the cache.
    Models that are not the catalog's, and files that somebody brought, are not compared.

    Args:
        artifact: As the zoo gave it.
        recorded: The record; None for the catalog's.
        cache: Cache folder; see `fetch.cache_dir`.
    """
    known = (recorded_graphs() if recorded is None else recorded).get(artifact.name)
    if known is None or not _is_the_catalogs(artifact, known):
        return None
    now = exporter(artifact.spec.format)
    if now == dict(known.exporter):
        return None
    try:
        found = _digest(artifact.spec, now, cache)
    except BenchmarkError as error:
        return f"the graph of {artifact.name} cannot be compared with the recorded one: {error}"
    if found == known.sha256:
        return None
    return (
        f"the graph of {artifact.name} is not the one that was recorded for version {known.version} of its definition: "
        f"it is made by {_listed(now)}, the recorded one by {_listed(known.exporter)}; figures of the two are of "
        "different programs"
    )


def _is_the_catalogs(artifact: ModelArtifact, known: RecordedGraph) -> bool:
    """Whether an artifact was made of weights by the very definition that was recorded."""
    spec = artifact.spec
    try:
        same = all(getattr(spec, field) == getattr(get(spec.name), field) for field in ("recipe", "inputs", "outputs"))
    except (BenchmarkError, UnknownNameError):
        return False
    made_here = artifact.format is Format.TORCH or artifact.derived_from is not None
    is_known = spec.recipe is not None and spec.recipe.version == known.version
    return same and made_here and is_known and artifact.format is spec.format


def _digest(spec: ModelSpec, now: Mapping[str, str], cache: Path | None) -> str:
    """Return the digest of a model's graph, computed once and kept."""

    def make(path: Path) -> None:
        from bytemlperf.zoo.graph_digests import graph_digest

        path.write_text(graph_digest(spec), encoding="utf-8")

    assert spec.recipe is not None
    code = [source_digest(f"{name}:") for name in _DIGESTS]
    key = digest({"graph": spec.name, "definition": definition(spec.recipe), "exporter": dict(now), "code": code})
    entry = kept(cache_dir(cache) / "fitting" / key, "graph", make, about={"model": spec.name})
    return entry.path.read_text(encoding="utf-8")


def _listed(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {installed}" for name, installed in versions.items())


def _installed(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"
