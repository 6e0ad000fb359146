"""Facts without which figures mean nothing: model, data, backend, parts of the run."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs

from bytemlperf.artifact import Provenance
from bytemlperf.backends.compiled import Device
from bytemlperf.errors import SpecError
from bytemlperf.fetch import is_index, weight_map
from bytemlperf.spec import Format
from bytemlperf.spec.fields import as_dict, as_tuple, at_least, choice
from bytemlperf.worker import Isolation

if TYPE_CHECKING:
    from pathlib import Path

    from bytemlperf.artifact import ModelArtifact


def _as_isolation(value: str | Isolation) -> Isolation:
    return choice(Isolation)(value)


def _as_format(value: str | Format) -> Format:
    return choice(Format)(value)


def _as_formats(value: tuple[str | Format, ...]) -> tuple[Format, ...]:
    return tuple(_as_format(each) for each in as_tuple(value))


def _as_provenance(value: str | Provenance) -> Provenance:
    return choice(Provenance)(value)


def utc_text(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    """Refuse text that is no time of day in UTC, as `2026-01-31T12:00:00Z` is.

    Raises:
        SpecError: If it is none.
    """
    try:
        told = dt.datetime.fromisoformat(value)
    except (TypeError, ValueError):
        told = None
    if told is None or told.utcoffset() != dt.timedelta(0):
        raise SpecError("no time in UTC", where=f"$.{attribute.name}", got=value, expected="'2026-01-31T12:00:00Z'")


@attrs.frozen(kw_only=True)
class ArtifactFacts:
    """Which model was measured, exactly.

    Attributes:
        name: Its task name.
        format: The form in which the backend got it.
        sha256: Digest of its content.
        provenance: Where the weights come from.
        origin: Where exactly: a repository and commit, a file's name, a seed.
        derived_from: Digest of the artifact that it was converted from; None if it was not.
        definition: Architecture and version of its definition; None for a model that is only a file.
        parameters: Number of trained numbers; None where not counted.
        files: Size in bytes of each file, by name.
    """

    name: str
    format: Format = attrs.field(converter=_as_format)
    sha256: str = ""
    provenance: Provenance = attrs.field(converter=_as_provenance)
    origin: str = ""
    derived_from: str | None = None
    definition: str | None = None
    parameters: int | None = attrs.field(default=None, validator=at_least(0, optional=True))
    files: Mapping[str, int] = attrs.field(factory=dict, converter=as_dict)


def artifact_facts(artifact: ModelArtifact) -> ArtifactFacts:
    """Describe an artifact; its files are named below its own folder, and only measured, not read."""
    recipe = artifact.spec.recipe
    return ArtifactFacts(
        name=artifact.name,
        format=artifact.format,
        sha256=artifact.sha256,
        provenance=artifact.provenance,
        origin=artifact.origin,
        derived_from=artifact.derived_from,
        definition=None if recipe is None else f"{recipe.architecture} version {recipe.version}",
        parameters=artifact.spec.parameters,
        files={} if artifact.path is None else _sizes(artifact.path),
    )


def _sizes(path: Path) -> Mapping[str, int]:
    if path.is_dir():
        files = sorted(each for each in path.rglob("*") if each.is_file())
        return {each.relative_to(path).as_posix(): each.stat().st_size for each in files}
    named = sorted(set(weight_map(path).values())) if is_index(path.name) else []
    files = [path, *(path.parent / name for name in named)]
    return {each.name: each.stat().st_size for each in files if each.is_file()}


@attrs.frozen(kw_only=True)
class DatasetFacts:
    """Which data was used, exactly.

    Attributes:
        name: Its registered name.
        fingerprint: Digest over samples and labels.
        samples: How many of them were used.
        preprocessing: Named preprocessing; None where there was none.
    """

    name: str
    fingerprint: str = ""
    samples: int = attrs.field(validator=at_least(0))
    preprocessing: str | None = None


@attrs.frozen(kw_only=True)
class BackendFacts:
    """Which backend ran, and where.

    Attributes:
        name: Its own name.
        reference: How it was found: a registered name, or `package.module:Class`.
        version: Versions of SDK, driver and firmware, as it tells them.
        formats: Formats that it takes.
        devices: What it sees.
        isolation: Where it ran.
        tried_on: Devices on which its authors really ran it.
    """

    name: str
    reference: str
    version: str = "unknown"
    formats: tuple[Format, ...] = attrs.field(default=(), converter=_as_formats)
    devices: tuple[Device, ...] = attrs.field(default=(), converter=as_tuple)
    isolation: Isolation = attrs.field(converter=_as_isolation)
    tried_on: tuple[str, ...] = attrs.field(default=(), converter=as_tuple)


@attrs.frozen(kw_only=True)
class Part:
    """One stretch of a run; a resumed run has several.

    Attributes:
        id: What rows name it by.
        started_utc: When it began.
        fingerprint: Of its environment.
    """

    id: str
    started_utc: str = attrs.field(validator=utc_text)
    fingerprint: str = ""


@attrs.frozen(kw_only=True)
class ReportWarning:
    """Something that does not stop a run and that a reader must know.

    Attributes:
        code: Short stable text, such as `unstable`.
        message: One sentence for a person.
        step: The step that it is about; empty for the whole run.
    """

    code: str
    message: str
    step: str = ""
