"""The catalog of models, and what turns a spec, a file or a live module into an artifact.

No framework is loaded before a function needs it; listing names loads nothing at all.

Example:
    >>> from bytemlperf import zoo
    >>> zoo.get("resnet50-torch-fp32").parameters
    25557032
"""

from bytemlperf.zoo.catalog import get, names
from bytemlperf.zoo.derivation import from_module, from_onnx, from_saved_model
from bytemlperf.zoo.graphs import graph_change
from bytemlperf.zoo.overview import Cached, cached, cost, layers
from bytemlperf.zoo.resolution import resolve

__all__ = [
    "Cached",
    "cached",
    "cost",
    "from_module",
    "from_onnx",
    "from_saved_model",
    "get",
    "graph_change",
    "layers",
    "names",
    "resolve",
]
