"""A small convolutional network with shortcuts, as an ONNX file whose tensors have names that a test can tell."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bytemlperf import zoo

CHANNELS = 6


def residual_model(path, *, blocks=4, scale=1.0, external=False):
    """Write the model: a stem, blocks of two convolutions with a shortcut, pooling and a head.

    Args:
        path: Where to.
        blocks: How many.
        scale: Of the images, within the model; undone at the end, so that only what lies between grows.
        external: Whether weights lie in a file beside the model's.
    """
    rng = np.random.default_rng(4)
    nodes, weights = [], []

    def weight(name, *shape):
        fan = int(np.prod(shape[1:])) or 1
        weights.append(numpy_helper.from_array((rng.standard_normal(shape) / fan**0.5).astype(np.float32), name))
        return name

    def constant(name, value):
        weights.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(kind, inputs, output, **attributes):
        nodes.append(helper.make_node(kind, inputs, [output], name=f"/{output}/{kind}", **attributes))
        return output

    def conv(taken, output, channels):
        return node("Conv", [taken, weight(f"{output}.w", CHANNELS, channels, 3, 3)], output, pads=[1, 1, 1, 1])

    scaled = node("Mul", ["image", constant("scale", np.float32(scale))], "scaled")
    stem = node("Relu", [conv(scaled, "stem", 1)], "stem_relu")
    for index in range(blocks):
        first = node("Relu", [conv(stem, f"block{index}_a", CHANNELS)], f"block{index}_relu")
        second = conv(first, f"block{index}_b", CHANNELS)
        stem = node("Relu", [node("Add", [second, stem], f"block{index}_sum")], f"block{index}_out")
    pooled = node("ReduceMean", [stem, constant("axes", np.array([2, 3]))], "pooled", keepdims=0)
    back = node("Div", [pooled, "scale"], "back")
    node("MatMul", [back, weight("head.w", CHANNELS, 10)], "logits")
    tensors = [("image", ["batch", 1, 8, 8]), ("logits", ["batch", 10])]
    inputs, outputs = ([helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)] for name, shape in tensors)
    graph = helper.make_graph(nodes, "residual", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path, save_as_external_data=external, location="weights.bin", size_threshold=0)
    return path


def residual(folder, **options):
    """An artifact of the model."""
    return zoo.from_onnx(residual_model(folder / "residual.onnx", **options))
