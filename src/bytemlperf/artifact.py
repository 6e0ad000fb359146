"""What the zoo hands over: a model's files or recipe, with where they come from and their digest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

import attrs

from bytemlperf.errors import ArtifactError
from bytemlperf.spec import Format, ModelSpec
from bytemlperf.spec.fields import choice
from bytemlperf.spec.tensor import as_format


class Provenance(StrEnum):
    """Where an artifact's weights come from; random weights never give an accuracy figure."""

    PRETRAINED = "pretrained"
    RANDOM = "random"
    LOCAL = "local"
    VENDOR = "vendor"


def _as_provenance(value: str | Provenance) -> Provenance:
    return choice(Provenance)(value)


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
    format: Format = attrs.field(converter=as_format)
    path: Path | None = attrs.field(default=None, converter=attrs.converters.optional(Path))
    sha256: str = ""
    provenance: Provenance = attrs.field(default=Provenance.LOCAL, converter=_as_provenance)
    origin: str = ""
    derived_from: str | None = None
    module: object = attrs.field(default=None, repr=False, eq=False)

    @property
    def name(self) -> str:
        """The task name of its spec."""
        return self.spec.name


def digest_of(path: Path) -> str:
    """Return the sha256 of a file's content, or of a folder's files with their names, in hexadecimal.

    A folder's digest is that of one line for each file below it, in the order of their paths:
    the file's own sha256 and its path from the folder. Times, owners and empty folders count for nothing.

    Raises:
        ArtifactError: If nothing is there, or the folder holds no file.
    """
    if path.is_file():
        return _file_digest(path)
    names = sorted(each.relative_to(path).as_posix() for each in path.rglob("*") if each.is_file())
    if not names:
        raise ArtifactError("there is no model's file", where=str(path), expected="a file, or a folder with files")
    return digest_of_files({name: _file_digest(path / name) for name in names})


def digest_of_files(sha256: Mapping[str, str]) -> str:
    """Return the digest of a folder whose files have these digests, by their path in it; see `digest_of`."""
    lines = "".join(f"{sha256[name]}  {name}\n" for name in sorted(sha256))
    return hashlib.sha256(lines.encode()).hexdigest()


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
