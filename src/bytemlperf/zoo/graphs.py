"""The recorded graphs of the catalog's ONNX models: a library's upgrade cannot change a benchmark unseen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files

import attrs


@attrs.frozen(kw_only=True)
class RecordedGraph:
    """What a model's exported graph was when its definition was recorded.

    Attributes:
        sha256: Digest of the graph without its weights.
        version: Of the definition.
        exporter: Versions of the libraries that exported it.
    """

    sha256: str
    version: str
    exporter: Mapping[str, str]


def recorded_graphs() -> Mapping[str, RecordedGraph]:
    """Return the recorded graph of each model that has one, by task name.

    The record is made by `benchmarks/record_graphs.py` and changes only with a definition's version.
    """
    text = files("bytemlperf.zoo").joinpath("graphs.json").read_text(encoding="utf-8")
    return {name: RecordedGraph(**fields) for name, fields in json.loads(text).items()}
