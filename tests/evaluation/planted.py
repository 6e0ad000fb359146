"""Faults that were planted by someone who had not read the checks: right answers, spoilt on their way out or in.

Each is a function of the outputs of a sound backend, of what was asked and of the number of the call, from 1 on.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
import time

import attrs
import numpy as np
from tests.evaluation.wrong import Right

from bytemlperf.backends import CompiledModel, Device


class Planted(Right):
    """Right answers, of which a fault makes others."""

    name = "planted"
    max_in_flight = None

    def __init__(self, fault=lambda outputs, batch, call: outputs, *, dynamic=True, **claims):
        """Take the fault, and what the compiler is to claim."""
        self.fault, self.dynamic_batch, self.claims = fault, dynamic, claims
        self.calls, self.lock, self.inside = itertools.count(1), threading.Lock(), 0

    def compile(self, artifact, options):
        compiled = super().compile(artifact, options)
        return CompiledModel(compiled.handle, attrs.evolve(compiled.info, **self.claims))

    def predict(self, compiled, batch):
        return self.fault(dict(self.compute(compiled, batch)), batch, next(self.calls))

    def compute(self, compiled, batch):
        return super().predict(compiled, batch)

    def devices(self):
        return (Device(id="cpu", name="the only one"),)


def every(function):
    """Make a fault of what is done to every output."""

    def fault(outputs, batch, call):
        return {name: function(array) for name, array in outputs.items()}

    fault.__name__ = function.__name__
    return fault


def digests(batch):
    """Return a byte for each row of a batch that its content decides."""
    rows = [b"".join(array[row].tobytes() for array in batch.inputs.values()) for row in range(batch.size)]
    return [hashlib.sha256(row).digest()[0] for row in rows]


# What is not finite.


def nan_every_50th_call(outputs, batch, call):
    if call % 50 == 0:
        next(iter(outputs.values())).flat[0] = np.nan
    return outputs


def nan_for_some_samples(outputs, batch, call):
    for row, digest in enumerate(digests(batch)):
        if digest < 4:
            next(iter(outputs.values()))[row].flat[1] = np.nan
    return outputs


def nan_in_padding(outputs, batch, call):
    for array in outputs.values():
        array[batch.size - batch.padding :] = np.nan
    return outputs


def nan_where_masked(outputs, batch, call):
    hidden = batch.inputs["attention_mask"] == 0
    return {name: np.where(hidden, np.float32(np.nan), array) for name, array in outputs.items()}


@every
def infinite(array):
    array.flat[-1] = np.inf
    return array


# What belongs to other rows or calls.


@every
def rows_in_reverse(array):
    return array[::-1].copy()


@every
def one_row_short(array):
    return array[: max(1, len(array) - 1)]


@every
def in_groups_of_4(array):
    """Rows behind the last whole group are those of the first."""
    whole = len(array) // 4 * 4
    return np.concatenate([array[:whole], array[: len(array) - whole]]) if whole else array


def padding_left_out(outputs, batch, call):
    return {name: array[: batch.size - batch.padding] for name, array in outputs.items()}


def padding_that_bleeds(outputs, batch, call):
    if batch.padding:
        for array in outputs.values():
            array[batch.size - batch.padding - 1] += array[-1] / 2
    return outputs


def late(outputs, batch, call):
    """The copy to the host is started and not waited for."""
    host = {name: np.zeros_like(array) for name, array in outputs.items()}

    def copy():
        time.sleep(0.002)
        for name, array in outputs.items():
            host[name][...] = array

    threading.Thread(target=copy, daemon=True).start()
    return host


def buffers(count):
    """Make a fault: answers lie in so many buffers, in turn."""
    kept, lock = {}, threading.Lock()

    def fault(outputs, batch, call):
        with lock:
            ring = kept.setdefault(batch.size, [{k: v.copy() for k, v in outputs.items()} for _ in range(count)])
            ring.append(ring.pop(0))
            for name, array in outputs.items():
                ring[0][name][...] = array
            return dict(ring[0])

    return fault


def constant():
    kept = {}
    return lambda outputs, batch, call: {k: v.copy() for k, v in kept.setdefault(batch.size, outputs).items()}


def computing_100_times():
    """Make a fault: from then on the last answer is given again."""
    kept = {}

    def fault(outputs, batch, call):
        if call <= 100:
            kept[batch.size] = outputs
        return {name: array.copy() for name, array in kept.get(batch.size, outputs).items()}

    return fault


def drifting(outputs, batch, call):
    """Off by one part in a million more at each call."""
    return {name: array * np.float32(1 + 1e-6 * call) for name, array in outputs.items()}


# Precision, and what leaves the largest value where it is.


def through(dtype):
    return every(lambda array: array.astype(dtype).astype(array.dtype))


@every
def in_bfloat16(array):
    return (array.view(np.uint32) & 0xFFFF0000).view(np.float32)


@every
def in_hundredths(array):
    return np.round(array, 2)


@every
def clipped(array):
    return np.clip(array, -2, 2)


@every
def softmaxed(array):
    shares = np.exp(array - array.max(-1, keepdims=True))
    return shares / shares.sum(-1, keepdims=True)


@every
def one_hot(array):
    return (array == array.max(-1, keepdims=True)).astype(array.dtype)


def times(factor):
    return every(lambda array: array * np.float32(factor))


def noisy(share):
    def fault(outputs, batch, call):
        rng = np.random.default_rng(call)
        noise = {name: 1 + share * rng.standard_normal(array.shape) for name, array in outputs.items()}
        return {name: (array * noise[name]).astype(array.dtype) for name, array in outputs.items()}

    return fault


@every
def without_denormals(array):
    return np.where(np.abs(array) < np.finfo(np.float32).tiny, np.float32(0), array)


# What is no answer, or hardly one.


@every
def byte_swapped(array):
    return array.byteswap()


@every
def torch_tensor(array):
    import torch

    return torch.from_numpy(array)


@every
def strided(array):
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    wide[..., ::2] = array
    return wide[..., ::2]


@every
def read_only(array):
    array.flags.writeable = False
    return array


def one_more(outputs, batch, call):
    return {**outputs, "debug": np.zeros(3, np.float32)}


def renamed(outputs, batch, call):
    return {f"{name}:0": array for name, array in outputs.items()}


def exchanged(outputs, batch, call):
    return dict(zip(outputs, reversed(outputs.values()), strict=True))


def in_another_order(outputs, batch, call):
    return dict(reversed(outputs.items()))


class Inputs(Planted):
    """What is asked is spoilt; the answer to that is right.

    Args:
        fault: What is done to each input, by its name.
    """

    def compute(self, compiled, batch):
        inputs = {name: np.ascontiguousarray(self.fault(name, array)) for name, array in batch.inputs.items()}
        return Right.predict(self, compiled, attrs.evolve(batch, inputs=inputs))

    def predict(self, compiled, batch):
        return self.compute(compiled, batch)


class FirstRowOnly(Planted):
    """One row is computed, and repeated."""

    def compute(self, compiled, batch):
        one = attrs.evolve(batch, inputs={name: array[:1] for name, array in batch.inputs.items()}, size=1, padding=0)
        return {name: np.repeat(each, batch.size, axis=0) for name, each in super().compute(compiled, one).items()}


class ByFirstRow(Planted):
    """Answers are kept, by the first row of what was asked."""

    def __init__(self):
        super().__init__()
        self.kept = {}

    def compute(self, compiled, batch):
        key = (batch.size, *(array[0].tobytes() for array in batch.inputs.values()))
        if key not in self.kept:
            self.kept[key] = super().compute(compiled, batch)
        return {name: array.copy() for name, array in self.kept[key].items()}


class Overwriting(Planted):
    """Writes to what it is asked when it has answered."""

    def compute(self, compiled, batch):
        outputs = super().compute(compiled, batch)
        for array in batch.inputs.values():
            array[...] = 0
        return outputs


class Crowded(Planted):
    """Right, unless two calls are inside at the same time.

    Args:
        fault: What comes then.
    """

    def predict(self, compiled, batch):
        with self.lock:
            self.inside += 1
            crowd = self.inside
        outputs = self.compute(compiled, batch)
        time.sleep(0.002)
        with self.lock:
            crowd = max(crowd, self.inside)
            self.inside -= 1
        return self.fault(dict(outputs), batch, 0) if crowd > 1 else outputs


class OneScratch(Planted):
    """One scratch memory for what is asked: two calls at once mix their questions."""

    def __init__(self, **claims):
        super().__init__(**claims)
        self.scratch = {}

    def compute(self, compiled, batch):
        made = {name: np.empty_like(array) for name, array in batch.inputs.items()}
        kept = self.scratch.setdefault(batch.size, made)
        for name, array in batch.inputs.items():
            kept[name][...] = array
        time.sleep(0.002)
        return super().compute(compiled, attrs.evolve(batch, inputs=dict(kept)))
