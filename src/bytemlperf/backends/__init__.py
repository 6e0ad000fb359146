"""What a backend author imports, and the backends that come with the package.

A backend is two methods: `compile` a model, `predict` a batch. Everything else has a correct default.
"""

from bytemlperf.backends.base import AnyBackend, AsyncBackend, Backend, Cancel, Phased
from bytemlperf.backends.compiled import CompiledModel, CompileInfo, CompileOptions, Device, Segment, WeightsChange
from bytemlperf.registry import backends as _registry
from bytemlperf.sample import Batch, Chunk, Reply

get = _registry.get
names = _registry.names

__all__ = [
    "AnyBackend",
    "AsyncBackend",
    "Backend",
    "Batch",
    "Cancel",
    "Chunk",
    "CompileInfo",
    "CompileOptions",
    "CompiledModel",
    "Device",
    "Phased",
    "Reply",
    "Segment",
    "WeightsChange",
    "get",
    "names",
]
