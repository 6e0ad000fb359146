"""A model as data: what ByteMLPerf's model zoo says of one, and where its weights are."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from enum import StrEnum

import attrs

from bytemlperf.errors import SpecError
from bytemlperf.spec.cost import ModelCost
from bytemlperf.spec.fields import as_dict, as_float, as_tuple, choice
from bytemlperf.spec.recipe import Recipe
from bytemlperf.spec.tensor import DType, Format, TensorSpec, as_dtype, as_format, optional_dtype


class Domain(StrEnum):
    """What a model works on."""

    CV = "cv"
    NLP = "nlp"
    REC = "rec"
    MM = "mm"
    OTHER = "other"


class Purpose(StrEnum):
    """ByteMLPerf's classes: regular is mandatory for admission, popular chosen, sota looks ahead."""

    REGULAR = "regular"
    POPULAR = "popular"
    SOTA = "sota"
    CUSTOM = "custom"


class Framework(StrEnum):
    """The framework in which a model is defined."""

    TORCH = "torch"
    TENSORFLOW = "tensorflow"
    ONNX = "onnx"
    STABLEHLO = "stablehlo"


class SourceKind(StrEnum):
    """Where a source is: on the Hugging Face hub, at a URL, in an installed package, or in an archive at a URL."""

    HUB = "hub"
    URL = "url"
    PACKAGE = "package"
    ARCHIVE = "archive"
    HUB_DATASET = "hub-dataset"


def _as_domain(value: str | Domain) -> Domain:
    return choice(Domain)(value)


def _as_purpose(value: str | Purpose) -> Purpose:
    return choice(Purpose)(value)


def _as_framework(value: str | Framework) -> Framework:
    return choice(Framework)(value)


def _as_source_kind(value: str | SourceKind) -> SourceKind:
    return choice(SourceKind)(value)


@attrs.frozen(kw_only=True)
class Source:
    """A place where a model's weights are published.

    Attributes:
        kind: Where it is.
        location: Repository id, URL, or `package:path`.
        revision: Commit or tag that is pinned; None where none is known.
        files: Files that are needed.
        sha256: Digest of each file that is known, by file.
        licence: SPDX id or a short name.
        verified: Whether we have seen exactly this content ourselves.
    """

    kind: SourceKind = attrs.field(converter=_as_source_kind)
    location: str
    revision: str | None = None
    files: tuple[str, ...] = attrs.field(default=(), converter=as_tuple)
    sha256: Mapping[str, str] = attrs.field(factory=dict, converter=as_dict)
    licence: str = "unknown"
    verified: bool = False


@attrs.frozen(kw_only=True)
class ReferenceAccuracy:
    """A published accuracy of a checkpoint.

    Attributes:
        metric: Name of the metric (`top1`).
        value: In the metric's own unit.
        source: Who published it, and for which data.
    """

    metric: str
    value: float
    source: str


@attrs.frozen(kw_only=True)
class AccuracyTarget:
    """What accuracy must hold: a share of the reference's, or a bound.

    Attributes:
        metric: Name of the figure (`top1`).
        share: Of the reference, above 0 and at most 1: 0.99 and 0.999 are MLPerf's two qualities. Where less is better
            (perplexity), the figure may be the reference divided by it. None where `bound` is given.
        bound: In the figure's own unit: at least, or at most where less is better. None where `share` is given.
        precision: Holds for this precision alone; None for any.
        source: Who says so.

    Raises:
        SpecError: Unless just one of share and bound is given, in its range.

    Source:
        MLPerf inference rules, "Benchmarks": quality targets of 99 % and 99.9 % of the reference in float32.
    """

    metric: str
    share: float | None = attrs.field(default=None, converter=as_float)
    bound: float | None = attrs.field(default=None, converter=as_float)
    precision: DType | None = attrs.field(default=None, converter=optional_dtype)
    source: str = ""

    def __attrs_post_init__(self) -> None:
        """Hold share and bound against each other."""
        given = [each for each in (self.share, self.bound) if each is not None]
        whole = len(given) == 1 and isinstance(given[0], float) and math.isfinite(given[0])
        if not whole or (self.share is not None and not 0 < self.share <= 1):
            raise SpecError(
                f"no target of {self.metric!r}",
                where="$.share",
                got=f"share={self.share!r}, bound={self.bound!r}",
                expected="either a share above 0 and at most 1, or a finite bound",
            )


def _task_name(_: ModelSpec, __: attrs.Attribute[str], value: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", str(value)):
        raise SpecError(
            "a task's name cannot be part of a file name", got=value, expected="letters, digits, '.', '_', '-'"
        )


def _distinct(
    spec: ModelSpec, attribute: attrs.Attribute[tuple[TensorSpec, ...]], value: tuple[TensorSpec, ...]
) -> None:
    names = [tensor.name for tensor in value]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise SpecError(f"{attribute.name} of {spec.name} name a tensor twice", got=sorted(twice))


@attrs.frozen(kw_only=True)
class ModelSpec:
    """A model and the task it is benchmarked on.

    Attributes:
        name: Task name as ByteMLPerf writes it: `resnet50-torch-fp32`.
        model: Model name without framework and precision: `resnet50`.
        domain: What it works on.
        purpose: ByteMLPerf's class.
        framework: Framework of the definition.
        format: Format in which the zoo hands it over.
        precision: Type of the weights as published.
        inputs: In the order of the definition's arguments.
        outputs: In the order of the definition's results.
        dataset: Name of its evaluation data; None where it has none.
        metrics: Names of its accuracy metrics.
        preprocessing: Named preprocessing that the checkpoint was trained for.
        recipe: How to build its module; None for a model that is only a file.
        twin: Task of the same weights in another framework (an independent reference).
        sources: Where its weights are published, in order of preference.
        batch_sizes: ByteMLPerf's batch sizes for it.
        parameters: Number of trained numbers, which must be the architecture's; None where not counted.
        cost: What it costs to run; None where not counted, or where the catalog keeps it apart (see `zoo.cost`).
        reference_accuracy: What was published for the checkpoint.
        accuracy_targets: What must hold of it; 99 % of the reference where a metric has none.
        description: One sentence for a person.
    """

    name: str = attrs.field(validator=_task_name)
    model: str = attrs.field(default=attrs.Factory(lambda self: self.name, takes_self=True))
    domain: Domain = attrs.field(default=Domain.OTHER, converter=_as_domain)
    purpose: Purpose = attrs.field(default=Purpose.CUSTOM, converter=_as_purpose)
    framework: Framework = attrs.field(converter=_as_framework)
    format: Format = attrs.field(converter=as_format)
    precision: DType = attrs.field(default=DType.FLOAT32, converter=as_dtype)
    inputs: tuple[TensorSpec, ...] = attrs.field(converter=as_tuple, validator=_distinct)
    outputs: tuple[TensorSpec, ...] = attrs.field(converter=as_tuple, validator=_distinct)
    dataset: str | None = None
    metrics: tuple[str, ...] = attrs.field(default=(), converter=as_tuple)
    preprocessing: str | None = None
    recipe: Recipe | None = None
    twin: str | None = None
    sources: tuple[Source, ...] = attrs.field(default=(), converter=as_tuple)
    batch_sizes: tuple[int, ...] = attrs.field(default=(1,), converter=as_tuple)
    parameters: int | None = None
    cost: ModelCost | None = None
    reference_accuracy: tuple[ReferenceAccuracy, ...] = attrs.field(default=(), converter=as_tuple)
    accuracy_targets: tuple[AccuracyTarget, ...] = attrs.field(default=(), converter=as_tuple)
    description: str = ""
