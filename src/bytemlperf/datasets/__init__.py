"""Evaluation data: labelled samples in a fixed order, with ids and a fingerprint."""

from bytemlperf.datasets.base import DatasetLoader, DatasetOptions

__all__ = ["DatasetLoader", "DatasetOptions"]
