"""Backends that are wrong as real ones are: a kernel that mixes up channels, buffers that are read too early or late.

They run real ONNX files on ONNX Runtime, so that a prefix of a model meets the same fault as the whole of it. Workers
import them by `tests.evaluation.wrong:Name`.
"""

from __future__ import annotations

import threading
import time

import attrs
import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

from bytemlperf.backends import Backend, CompiledModel, CompileInfo, CompileOptions
from bytemlperf.conversion.torch_module import named_outputs, torch_artifact_module
from bytemlperf.spec import Format


@attrs.frozen(kw_only=True)
class WrongOptions(CompileOptions):
    """Where it goes wrong.

    Attributes:
        at: The tensor whose operator is wrong; empty for none.
    """

    at: str = ""


class Right(Backend):
    """ONNX Runtime without its own optimisations, and a graph that may be changed before."""

    name = "right"
    formats = frozenset({Format.ONNX})
    options_type = WrongOptions
    dynamic_batch = True
    max_in_flight: int | None = 1

    def compile(self, artifact, options):
        model = onnx.load(artifact.path)
        self.spoil(model, options)
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 4
        settings.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(model.SerializeToString(), settings, ["CPUExecutionProvider"])
        info = CompileInfo(precision=options.precision or "fp32", max_in_flight=self.max_in_flight)
        return CompiledModel((session, artifact.spec), info)

    def spoil(self, model, options):
        """Leave the graph alone."""

    def predict(self, compiled, batch):
        session, spec = compiled.handle
        feed = {tensor.file_name: batch.inputs[tensor.name] for tensor in spec.inputs}
        wanted = {each.name for each in session.get_inputs()}
        answers = session.run([tensor.file_name for tensor in spec.outputs], {k: feed[k] for k in feed if k in wanted})
        return {tensor.name: each for tensor, each in zip(spec.outputs, answers, strict=True)}


def replace(model, tensor, *nodes):
    """Let what makes a tensor make `tensor.raw` instead, and put nodes behind it that make the tensor."""
    graph = model.graph
    for index, node in enumerate(graph.node):
        if tensor in node.output:
            node.output[list(node.output).index(tensor)] = f"{tensor}.raw"
            for offset, each in enumerate(nodes, 1):
                graph.node.insert(index + offset, each)
            return


class SwappedChannels(Right):
    """Two channels are exchanged by the operator that makes `at`."""

    def spoil(self, model, options):
        node = next((node for node in model.graph.node if options.at in node.output), None)
        if node is None:  # a prefix that ends before it
            return
        (channels,) = [each.dims[0] for each in model.graph.initializer if each.name == node.input[1]]
        order = np.arange(channels)
        order[[0, -1]] = order[[-1, 0]]
        model.graph.initializer.append(numpy_helper.from_array(order, "wrong.order"))
        replace(
            model, options.at, helper.make_node("Gather", [f"{options.at}.raw", "wrong.order"], [options.at], axis=1)
        )


class SwappedInTheMiddle(SwappedChannels):
    """The same, by the convolution in the middle of the file, whatever it is called there.

    Attributes:
        planted: What that convolution makes.
    """

    planted = ""

    def spoil(self, model, options):
        if not self.planted:
            made = [node.output[0] for node in model.graph.node if node.op_type == "Conv"]
            self.planted = made[len(made) // 2]
        super().spoil(model, attrs.evolve(options, at=self.planted))


class Overflowing(Right):
    """Every result is kept in float16, whose largest number is 65504."""

    def spoil(self, model, options):
        for name in [name for node in model.graph.node for name in node.output]:
            narrow = helper.make_node("Cast", [f"{name}.raw"], [f"{name}.half"], to=TensorProto.FLOAT16)
            wide = helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT)
            replace(model, name, narrow, wide)


class WarmIsWrong(Right):
    """Keeps an engine in the folder for caches; what it reads back has lost the order of two channels."""

    name = "warm-is-wrong"

    def spoil(self, model, options):
        kept = options.work_dir / "engine"
        if kept.exists():
            weights = next(each for each in model.graph.initializer if len(each.dims) == 4)
            array = np.frombuffer(weights.raw_data, np.float32).reshape(weights.dims)[::-1]
            weights.raw_data = array.tobytes()
        kept.touch()


class OneNan(Right):
    """One number of the last output is NaN."""

    def predict(self, compiled, batch):
        outputs = super().predict(compiled, batch)
        name = list(outputs)[-1]
        spoilt = outputs[name].copy()
        spoilt.flat[-1] = np.nan
        return {**outputs, name: spoilt}


class NoPrefixes(Right):
    """Wrong, and refuses every model but the whole one."""

    def compile(self, artifact, options):
        if artifact.spec.outputs[0].name != "logits":
            raise RuntimeError("the graph has unexpected outputs")
        return super().compile(artifact, options)

    def predict(self, compiled, batch):
        return {name: 2 * array for name, array in super().predict(compiled, batch).items()}


class Previous(Right):
    """Hands out the answer to the batch before, where it was asked another one before."""

    def compile(self, artifact, options):
        self.last = None
        return super().compile(artifact, options)

    def predict(self, compiled, batch):
        answer, self.last = self.last, super().predict(compiled, batch)
        return answer or self.last


@attrs.frozen(kw_only=True)
class TiredOptions(WrongOptions):
    """When it goes wrong, and whose answer it hands out then.

    Attributes:
        after: Right answers to begin with.
        hands_out: `previous`, `cached` (the last right one), `mixed` (rows in the opposite order), `nan` or `short`.
    """

    after: int = 0
    hands_out: str = "previous"


class Tired(Right):
    """Right as long as it is checked, and wrong under load: after so many answers it hands out others."""

    options_type = TiredOptions

    def compile(self, artifact, options):
        self.count, self.last, self.options = 0, None, options
        return super().compile(artifact, options)

    def predict(self, compiled, batch):
        own = super().predict(compiled, batch)
        self.count += 1
        before, self.last = self.last, own
        if self.count <= self.options.after:
            self.kept = own
            return own
        return {
            "previous": lambda: before or own,
            "cached": lambda: self.kept,
            "mixed": lambda: {name: array[::-1].copy() for name, array in own.items()},
            "nan": lambda: {name: np.full_like(array, np.nan) for name, array in own.items()},
            "short": lambda: {name: array[:, :1] for name, array in own.items()},
        }[self.options.hands_out]()


class TiredOfOneSize(Tired):
    """The same, of an engine that takes one batch size."""

    dynamic_batch = False


class Raced(Right):
    """One buffer for all answers, read after the lock on it was given back: right for one client alone."""

    max_in_flight = None

    def compile(self, artifact, options):
        self.buffer, self.lock, self.inside = None, threading.Lock(), 0
        return super().compile(artifact, options)

    def predict(self, compiled, batch):
        with self.lock:
            self.inside += 1
            self.buffer = super().predict(compiled, batch)
        time.sleep(0.005)
        with self.lock:
            self.inside -= 1
            return {name: array.copy() for name, array in self.buffer.items()}


class BatchDependent(Right):
    """Every answer has something of the batch's mean in it, as a normalisation in training mode does."""

    def predict(self, compiled, batch):
        outputs = super().predict(compiled, batch)
        return {name: array + 0.01 * array.mean(axis=0, keepdims=True) for name, array in outputs.items()}


class Turned(Right):
    """Takes height for width in what it is given."""

    def predict(self, compiled, batch):
        turned = {name: np.ascontiguousarray(np.swapaxes(array, 2, 3)) for name, array in batch.inputs.items()}
        return super().predict(compiled, attrs.evolve(batch, inputs=turned))


class WrongStem(Right):
    """The operator that makes `at` adds 1; a graph of nothing but an Identity is refused."""

    def spoil(self, model, options):
        if all(node.op_type == "Identity" for node in model.graph.node):
            raise RuntimeError("there is nothing to compute")
        model.graph.initializer.append(numpy_helper.from_array(np.ones((), np.float32), "wrong.one"))
        replace(model, options.at, helper.make_node("Add", [f"{options.at}.raw", "wrong.one"], [options.at]))


class LargeBatches(Right):
    """Right for small batches; the tail of a large one is computed from stale memory."""

    def predict(self, compiled, batch):
        outputs = super().predict(compiled, batch)
        if batch.size < 8:
            return outputs
        return {name: np.concatenate([array[:-2], array[:2]]) for name, array in outputs.items()}


class WrongType(Right):
    """Answers rounded to whole numbers."""

    def predict(self, compiled, batch):
        return {name: array.astype(np.int64) for name, array in super().predict(compiled, batch).items()}


class Reversed(Right):
    """Classes in the opposite order."""

    def predict(self, compiled, batch):
        return {name: array[:, ::-1].copy() for name, array in super().predict(compiled, batch).items()}


class SwappedTorch(Backend):
    """Runs torch recipes; the channels of what the submodule `at` gives are in the opposite order."""

    name = "swapped-torch"
    formats = frozenset({Format.TORCH})
    options_type = WrongOptions
    dynamic_batch = True

    def compile(self, artifact, options):
        module = torch_artifact_module(artifact)
        if options.at and options.at in dict(module.named_modules()):
            module.get_submodule(options.at).register_forward_hook(lambda _, __, result: result.flip(1))
        return CompiledModel((module, artifact.spec), CompileInfo(precision="fp32"))

    def predict(self, compiled, batch):
        module, spec = compiled.handle
        with torch.inference_mode():
            result = module(*(torch.tensor(batch.inputs[tensor.name]) for tensor in spec.inputs))
        return {name: each.numpy() for name, each in named_outputs(result, spec.outputs).items()}
