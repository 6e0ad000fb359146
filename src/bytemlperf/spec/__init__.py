"""What a model is, as data: names, tensors, sources of weights. No I/O, no framework, no numpy."""

from bytemlperf.spec.cost import ModelCost
from bytemlperf.spec.model import (
    AccuracyTarget,
    Domain,
    Framework,
    ModelSpec,
    Purpose,
    ReferenceAccuracy,
    Source,
    SourceKind,
)
from bytemlperf.spec.reading import canonical_json, digest, from_json, to_json
from bytemlperf.spec.recipe import Recipe
from bytemlperf.spec.tensor import Axis, DType, Format, TensorSpec

__all__ = [
    "AccuracyTarget",
    "Axis",
    "DType",
    "Domain",
    "Format",
    "Framework",
    "ModelCost",
    "ModelSpec",
    "Purpose",
    "Recipe",
    "ReferenceAccuracy",
    "Source",
    "SourceKind",
    "TensorSpec",
    "canonical_json",
    "digest",
    "from_json",
    "to_json",
]
