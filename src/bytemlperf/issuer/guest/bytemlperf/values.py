"""Values that come from the harness: the model, its tensors, batches, what is asked."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field

from bytemlperf.errors import SpecError


class Format:
    """Names of the formats in which a model is handed over."""

    TORCH = "torch"
    TORCH_MODULE = "torch_module"
    TORCHSCRIPT = "torchscript"
    ONNX = "onnx"
    SAVED_MODEL = "saved_model"
    STABLEHLO = "stablehlo"


@dataclass(frozen=True)
class Axis:
    """An axis whose length is a multiple of the batch size."""

    name: str = "batch"
    times: int = 1


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a model."""

    name: str = ""
    original_name: str = None
    shape: tuple = ()
    dtype: str = ""
    valid: str = None
    high: int = None

    @property
    def batch_axis(self):
        """Position of the axis that grows with the batch."""
        return next((i for i, axis in enumerate(self.shape) if isinstance(axis, Axis)), None)

    @property
    def file_name(self):
        """The name in the model's file."""
        return self.original_name or self.name

    def sized(self, batch_size):
        """Return the shape at a batch size."""
        return tuple(axis.times * batch_size if isinstance(axis, Axis) else axis for axis in self.shape)


@dataclass(frozen=True)
class Recipe:
    """How to build a model's module."""

    architecture: str = ""
    version: str = "1"
    config: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """A place where weights are published."""

    kind: str = ""
    location: str = ""
    revision: str = None
    files: tuple = ()
    sha256: dict = field(default_factory=dict)
    licence: str = "unknown"
    verified: bool = False


@dataclass(frozen=True)
class ReferenceAccuracy:
    """A published accuracy."""

    metric: str = ""
    value: float = 0.0
    source: str = ""


@dataclass(frozen=True)
class AccuracyTarget:
    """What accuracy must hold."""

    metric: str = ""
    share: float = None
    bound: float = None
    precision: str = None
    source: str = ""


@dataclass(frozen=True)
class ModelSpec:
    """A model and the task it is benchmarked on."""

    name: str = ""
    model: str = ""
    domain: str = "other"
    purpose: str = "custom"
    framework: str = ""
    format: str = ""
    precision: str = "float32"
    inputs: tuple = ()
    outputs: tuple = ()
    dataset: str = None
    metrics: tuple = ()
    preprocessing: str = None
    recipe: Recipe = None
    twin: str = None
    sources: tuple = ()
    batch_sizes: tuple = (1,)
    parameters: int = None
    cost: object = None
    reference_accuracy: tuple = ()
    accuracy_targets: tuple = ()
    description: str = ""


@dataclass(frozen=True)
class ModelArtifact:
    """A model ready to be compiled."""

    spec: ModelSpec = None
    format: str = ""
    path: str = None
    sha256: str = ""
    provenance: str = "local"
    origin: str = ""
    derived_from: str = None
    module: object = None

    @property
    def name(self):
        """The task name of its spec."""
        return self.spec.name


@dataclass(frozen=True)
class Forward:
    """Ask for the model's outputs."""


def _refuse(right, name, value, expected):
    if not right:
        raise SpecError("value out of range", where="$." + name, got=value, expected=expected)


def _is_whole(value, least):
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True)
class Generation:
    """Ask a language model for new tokens; what cannot be is a SpecError."""

    max_new_tokens: int = 1
    min_new_tokens: int = 0
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0
    stop: tuple = ()
    logits: bool = False

    def __post_init__(self):
        """Refuse what is out of its range."""
        for name, least in (("max_new_tokens", 1), ("min_new_tokens", 0), ("top_k", 0), ("seed", 0)):
            value = getattr(self, name)
            _refuse(_is_whole(value, least), name, value, "a whole number >= %d" % least)
        for token in self.stop:
            _refuse(_is_whole(token, 0), "stop", token, "a whole number >= 0")
        warm = _is_number(self.temperature) and self.temperature >= 0
        _refuse(warm, "temperature", self.temperature, "a number >= 0")
        _refuse(_is_number(self.top_p) and 0 < self.top_p <= 1, "top_p", self.top_p, "a number above 0, at most 1")
        _refuse(isinstance(self.logits, bool), "logits", self.logits, "true or false")
        fits = self.min_new_tokens <= self.max_new_tokens
        _refuse(fits, "min_new_tokens", self.min_new_tokens, "at most max_new_tokens, %d" % self.max_new_tokens)


@dataclass(frozen=True)
class Score:
    """Ask a language model for log-likelihoods of spans of its input, and of what may continue it."""

    spans: tuple = ()
    continuations: tuple = ()

    def __post_init__(self):
        """Refuse what has no answer."""
        _refuse(self.spans or self.continuations, "spans", self.spans, "a span or a continuation")
        for span in self.spans:
            _refuse(len(span) == 2 and 1 <= span[0] < span[1], "spans", span, "1 <= first < last + 1")  # noqa: PLR2004
        for each in self.continuations:
            _refuse(len(each) > 0, "continuations", each, "a token")


@dataclass(frozen=True, eq=False)
class Batch:
    """What a backend is asked: arrays by canonical name."""

    inputs: dict = field(default_factory=dict)
    size: int = 0
    padding: int = 0
    ask: object = field(default_factory=Forward)


@dataclass(frozen=True, eq=False)
class Chunk:
    """A part of an answer."""

    outputs: dict
    tokens: int = 1


@dataclass(frozen=True)
class CalibrationSet:
    """Samples for quantisation, as .npy files."""

    path: str = ""
    ids: tuple = ()
    sha256: str = ""

    def batches(self, size):
        """Yield inputs of up to `size` samples, memory-mapped and read-only."""
        import numpy as np

        names = sorted(name for name in os.listdir(self.path) if name.endswith(".npy"))
        arrays = {name[:-4]: np.load(os.path.join(self.path, name), mmap_mode="r") for name in names}
        for start in range(0, len(self.ids), size):
            yield {name: array[start : start + size] for name, array in arrays.items()}
