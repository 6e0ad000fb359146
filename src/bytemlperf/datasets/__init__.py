"""Evaluation data: labelled samples in a fixed order, with ids and a fingerprint.

Data sets have names, by which `open_dataset` opens them; `ArrayLoader` takes arrays that somebody has already.
`batches`, `waves` and `performance_set` make of samples what an engine takes.
"""

from bytemlperf.datasets.arrays import ArrayLoader
from bytemlperf.datasets.base import DatasetLoader, DatasetOptions
from bytemlperf.datasets.batching import batches, bytes_per_sample, performance_set, waves
from bytemlperf.datasets.opening import open_dataset
from bytemlperf.datasets.prompts import Prompts, TextPrompts
from bytemlperf.datasets.scored import token_queries
from bytemlperf.datasets.subset import Subset
from bytemlperf.registry import datasets as _registry

get = _registry.get
names = _registry.names

__all__ = [
    "ArrayLoader",
    "DatasetLoader",
    "DatasetOptions",
    "Prompts",
    "Subset",
    "TextPrompts",
    "batches",
    "bytes_per_sample",
    "get",
    "names",
    "open_dataset",
    "performance_set",
    "token_queries",
    "waves",
]
