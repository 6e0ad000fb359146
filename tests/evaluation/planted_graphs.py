"""Faults in the middle of a model, planted by someone who had not read the checks: of a compiler, or of a kernel.

Each edit is a function of an ONNX model, whole or cut: where it does not find what it spoils, it leaves it alone.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from onnx import TensorProto, helper, numpy_helper
from tests.evaluation.planted import Planted
from torch.utils._python_dispatch import TorchDispatchMode

from bytemlperf.backends.torch import TorchBackend


class Edited(Planted):
    """Runs a graph that was changed before.

    Args:
        edit: What changes it.
    """

    name = "edited"

    def __init__(self, edit, **claims):
        super().__init__(**claims)
        self.edit = edit

    def spoil(self, model, options):
        self.edit(model)


def changed(model, function, *names):
    """Replace weights by a function of them, those of some names."""
    for weight in model.graph.initializer:
        if weight.name in names:
            array = np.ascontiguousarray(function(numpy_helper.to_array(weight).copy()))
            weight.CopyFrom(numpy_helper.from_array(array, weight.name))


def swapped(array, one, other, axis=0):
    order = np.arange(array.shape[axis])
    order[[one, other]] = order[[other, one]]
    return np.take(array, order, axis)


def channels(layer):
    """Make an edit: two channels of what a layer makes are exchanged, its bias too."""
    return lambda model: changed(
        model, lambda array: swapped(array, 3, 7), f"{layer}.weight", f"{layer}.weight_bias", f"{layer}.bias"
    )


def channels_taken(layer):
    """Make an edit: two channels of what a layer takes are exchanged."""
    return lambda model: changed(model, lambda array: swapped(array, 10, 20, axis=1), f"{layer}.weight")


def bias(layer):
    return lambda model: changed(model, lambda array: swapped(array, 0, 5), f"{layer}.weight_bias")


def one_weight(layer):
    def spoilt(array):
        array[7, 3, 1, 1] += np.abs(array).max() / 10
        return array

    return lambda model: changed(model, spoilt, f"{layer}.weight")


def both(*edits):
    def edit(model):
        for each in edits:
            each(model)

    return edit


def of_the_whole(edit):
    """Make an edit that only a pass over the whole graph makes, its head included."""
    return lambda model: edit(model) if any(node.op_type == "Gemm" for node in model.graph.node) else None


def all_weights(function):
    """Make an edit of all weights."""

    def edit(model):
        changed(
            model, function, *(each.name for each in model.graph.initializer if each.data_type == TensorProto.FLOAT)
        )

    return edit


def in_float16(array):
    return array.astype(np.float16).astype(np.float32)


def in_tf32(array):
    return (array.view(np.uint32) & 0xFFFFE000).view(np.float32)


def in_int8(array):
    if array.ndim < 2:
        return array
    scale = np.abs(array).reshape(len(array), -1).max(1).reshape(-1, *[1] * (array.ndim - 1)) / np.float32(127)
    return np.round(array / scale) * scale


def pruned(array):
    return np.where(np.abs(array) < np.quantile(np.abs(array), 0.2), np.float32(0), array)


def number(model, name, value):
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return name


def behind(model, node, *nodes):
    """Put nodes behind another one."""
    at = list(model.graph.node).index(node) + 1
    for offset, each in enumerate(nodes):
        model.graph.node.insert(at + offset, each)


def through_half(*, scale, saturates=False):
    """Make an edit: what the third convolution makes is scaled, kept in float16, and scaled back."""

    def edit(model):
        convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
        if len(convolutions) < 3:
            return
        node = convolutions[2]
        made, node.output[0] = node.output[0], "spoilt.raw"
        up, down = number(model, "spoilt.up", np.float32(scale)), number(model, "spoilt.down", np.float32(1 / scale))
        chain = [helper.make_node("Mul", ["spoilt.raw", up], ["spoilt.large"])]
        last = "spoilt.large"
        if saturates:
            bounds = [number(model, f"spoilt.{sign}", np.float32(sign * 65504)) for sign in (-1, 1)]
            chain.append(helper.make_node("Clip", [last, *bounds], ["spoilt.clipped"]))
            last = "spoilt.clipped"
        chain += [
            helper.make_node("Cast", [last], ["spoilt.half"], to=TensorProto.FLOAT16),
            helper.make_node("Cast", ["spoilt.half"], ["spoilt.wide"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["spoilt.wide", down], [made]),
        ]
        behind(model, node, *chain)

    return edit


def turned_shortcut(model):
    """The shortcut of the second Add arrives with its channels turned by one."""
    adds = [node for node in model.graph.node if node.op_type == "Add"]
    if len(adds) < 2:
        return
    order = number(model, "spoilt.order", np.roll(np.arange(24), 1))
    taken, adds[1].input[1] = adds[1].input[1], "spoilt.turned"
    at = list(model.graph.node).index(adds[1])
    model.graph.node.insert(at, helper.make_node("Gather", [taken, order], ["spoilt.turned"], axis=1))


def wrongly_fused(model):
    """The second Add and Relu are fused in the wrong order: what is added is added behind the Relu."""
    made = {name: node for node in model.graph.node for name in node.output}
    pairs = [
        (made[node.input[0]], node)
        for node in model.graph.node
        if node.op_type == "Relu" and made[node.input[0]].op_type == "Add"
    ]
    if len(pairs) < 2:
        return
    add, relu = pairs[1]
    result, relu.output[0], relu.input[0] = relu.output[0], "spoilt.relu", add.input[0]
    behind(model, relu, helper.make_node("Add", ["spoilt.relu", add.input[1]], [result]))


def heads(model):
    """Two heads of the second layer's attention are exchanged before they are joined."""
    attended = [node for node in model.graph.node if node.op_type == "Transpose" and "attention" in node.input[0]]
    if len(attended) < 2:
        return
    node = attended[1]
    made, node.output[0] = node.output[0], "spoilt.raw"
    order = number(model, "spoilt.order", np.array([2, 1, 0, 3]))
    behind(model, node, helper.make_node("Gather", ["spoilt.raw", order], [made], axis=2))


class Kernels(TorchBackend):
    """Torch, some of whose kernels are wrong.

    Args:
        kernel: Makes, for each query, what is done to the result of a kernel: f(name, what it took, result).
    """

    name = "kernels"

    def __init__(self, kernel):
        self.kernel = kernel

    def predict(self, compiled, batch):
        with _Wrong(self.kernel()):
            return super().predict(compiled, batch)


class _Wrong(TorchDispatchMode):
    def __init__(self, kernel):
        super().__init__()
        self.kernel = kernel

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return self.kernel(str(func), args, func(*args, **(kwargs or {})))


def swapped_convolution():
    """The kernel for 24 to 48 channels gives two of them in the wrong order."""

    def kernel(name, args, result):
        if "conv" not in name or tuple(args[1].shape) != (48, 24, 3, 3):
            return result
        order = list(range(48))
        order[3], order[7] = 7, 3
        return result[:, order]

    return kernel


def swapped_heads():
    """The second attention of a query gives two heads in the wrong order."""
    count = itertools.count(1)

    def kernel(name, args, result):
        if "scaled_dot_product" not in name or next(count) != 2:
            return result
        return (result[0][:, [2, 1, 0, 3]], *result[1:]) if isinstance(result, tuple) else result[:, [2, 1, 0, 3]]

    return kernel


def products_in_bfloat16():
    def kernel(name, args, result):
        is_product = any(word in name for word in ("conv", "linear", "mm"))
        return result.to(torch.bfloat16).float() if is_product and result.dtype == torch.float32 else result

    return kernel
