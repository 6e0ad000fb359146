"""The digest of the graph that a TensorFlow definition gives, without its weights."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from collections.abc import Iterator

_FOR_PEOPLE = "_user_specified_name"


def function_graph_digest(module: Any) -> str:  # noqa: ANN401 - a tf.Module with a `serve`; TensorFlow ships no types
    """Return a sha256 over the concrete function of a module's `serve`.

    Operators, their attributes and connections, names and types of inputs and outputs, and names, types and shapes of
    variables count; of constants (whole numbers, and single numbers) also the values. Names of nodes do not.
    """
    concrete = module.serve.get_concrete_function()
    digest = hashlib.sha256()
    for line in _lines(concrete):
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()


def _lines(concrete: Any) -> Iterator[str]:  # noqa: ANN401 - a ConcreteFunction
    graph = concrete.graph.as_graph_def()
    numbers = {node.name: number for number, node in enumerate(graph.node)}
    named = {tensor.op.name: tensor.op.name for tensor in concrete.inputs} | _variables(concrete)
    for name, tensor in sorted(concrete.structured_outputs.items()):
        yield f"output {name} {tensor.dtype.name} {tensor.shape} {numbers[tensor.op.name]}"
    for node in graph.node:
        given = [_edge(each, numbers) for each in node.input]
        attributes = sorted(f"{key}={_text(key, node.attr[key])}" for key in node.attr if key != _FOR_PEOPLE)
        yield f"node {named.get(node.name, '')} {node.op} {given} {attributes}"
    for function in sorted(graph.library.function, key=lambda each: str(each.signature.name)):
        yield f"function {function.SerializeToString(deterministic=True).hex()}"


def _variables(concrete: Any) -> dict[str, str]:  # noqa: ANN401 - a ConcreteFunction
    """Return what stands behind the nodes through which a function reads its variables."""
    known = {id(each.handle): f"{each.name} {each.dtype.name} {list(each.shape)}" for each in concrete.variables}
    return {inner.op.name: known[id(outer)] for outer, inner in concrete.graph.captures if id(outer) in known}


def _edge(name: str, numbers: dict[str, int]) -> str:
    """Name an input by the place of the node that gives it: `^name` is control, `name:1` its second output."""
    plain, colon, output = name.lstrip("^").partition(":")
    return f"{'^' if name.startswith('^') else ''}{numbers[plain]}{colon}{output}"


def _text(key: str, attribute: Any) -> str:  # noqa: ANN401 - an AttrValue
    if key != "value" or not attribute.HasField("tensor"):
        serialised: bytes = attribute.SerializeToString(deterministic=True)
        return serialised.hex()
    array = tf.make_ndarray(attribute.tensor)
    plain = not array.ndim or not np.issubdtype(array.dtype, np.floating)
    return f"{array.dtype}{list(array.shape)} {array.tobytes().hex() if plain else ''}"
