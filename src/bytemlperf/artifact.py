"""What the zoo hands over: a model's files or recipe, with where they come from and their digest."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import attrs

from bytemlperf.spec import Format, ModelSpec
from bytemlperf.spec.fields import choice


class Provenance(StrEnum):
    """Where an artifact's weights come from; random weights never give an accuracy figure."""

    PRETRAINED = "pretrained"
    RANDOM = "random"
    LOCAL = "local"
    VENDOR = "vendor"


@attrs.frozen(kw_only=True)
class ModelArtifact:
    """A model ready to be compiled.

    Attributes:
        spec: What it is.
        format: Form of `path`.
        path: The file or folder; for `Format.TORCH` the safetensors file whose module
            `spec.recipe` builds; None only for a live module.
        sha256: Digest of the content (of the file, or of a folder's files in order).
        provenance: Where the weights come from.
        origin: Where exactly: a repository and commit, a path's name, a seed.
        derived_from: sha256 of the artifact that this one was converted from.
        module: A live module of the caller (`Format.TORCH_MODULE`); never leaves the process.
    """

    spec: ModelSpec
    format: Format = attrs.field(converter=choice(Format))
    path: Path | None = attrs.field(default=None, converter=attrs.converters.optional(Path))
    sha256: str = ""
    provenance: Provenance = attrs.field(default=Provenance.LOCAL, converter=choice(Provenance))
    origin: str = ""
    derived_from: str | None = None
    module: object = attrs.field(default=None, repr=False, eq=False)

    @property
    def name(self) -> str:
        """The task name of its spec."""
        return self.spec.name
