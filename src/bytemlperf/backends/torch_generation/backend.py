"""The backend that serves language models with torch; `torch` hands generation to it."""

from __future__ import annotations

import os
from typing import ClassVar

import attrs
import torch

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends.base import AsyncBackend, Cancel
from bytemlperf.backends.compiled import CONTEXT, LENGTH, TP_SIZE, CompiledModel, CompileInfo, CompileOptions
from bytemlperf.backends.torch_generation.building import built
from bytemlperf.backends.torch_generation.cache import Rows
from bytemlperf.backends.torch_generation.engine import Engine
from bytemlperf.backends.torch_generation.place import Place
from bytemlperf.backends.torch_generation.ranked import Ranked
from bytemlperf.backends.torch_generation.requests import requested
from bytemlperf.causal import CausalShape
from bytemlperf.errors import BackendUnavailableError, OutOfDeviceMemoryError, PredictError
from bytemlperf.sample import Batch, Reply
from bytemlperf.spec import Format
from bytemlperf.spec.fields import as_float, at_least, positive


@attrs.frozen(kw_only=True)
class GenerationOptions(CompileOptions):
    """How requests are served.

    Attributes:
        slots: Most requests that are computed at a time; further ones wait.
        cache_bytes: Bound of the memory for keys and values.
        max_length: Most tokens of a prompt and its answer together; 0 for what the model and `cache_bytes` allow.
        prefill_piece: Tokens of a prompt that are read in one step while others decode.
        prefill_whole: The same while nobody decodes.
        threads: Of torch; 0 leaves them as they are, or shares them out among ranks on this machine.
        tensor_parallel: Ranks among which the model's heads and inner widths are divided; each is a process and, but
            on the CPU, has a device of its own: the one that was asked for, and those that follow it.
        rank_timeout_s: Seconds after which a rank that does not take part is given up.
    """

    slots: int = attrs.field(default=8, validator=at_least(1))
    cache_bytes: int = attrs.field(default=2 * 2**30, validator=at_least(1))
    max_length: int = attrs.field(default=0, validator=at_least(0))
    prefill_piece: int = attrs.field(default=32, validator=at_least(1))
    prefill_whole: int = attrs.field(default=512, validator=at_least(1))
    threads: int = attrs.field(default=0, validator=at_least(0))
    tensor_parallel: int = attrs.field(default=1, validator=at_least(1))
    rank_timeout_s: float = attrs.field(default=60.0, converter=as_float, validator=positive())


@attrs.define(eq=False, kw_only=True)
class Serving:
    """A running engine; emptied by release.

    Attributes:
        engine: None once released.
        shape: What a prompt has to fit.
        length: Most positions of a request.
        threads_before: What torch's thread count goes back to.
        ranked: The other processes that it takes, if it does.
    """

    engine: Engine | None
    shape: CausalShape
    length: int
    threads_before: int | None = None
    ranked: Ranked | None = None


class TorchGenerationBackend(AsyncBackend[GenerationOptions, Serving]):
    """Prefill, decode and stream on any device of torch, score and forward; tried on the CPU only.

    On the CPU float16 weights stay as they are and are multiplied with float32 activations: plain torch is far slower
    there, and less exact. Elsewhere all is computed in the precision of the weights.
    """

    name: ClassVar[str] = "torch-generation"
    formats: ClassVar[frozenset[Format]] = frozenset({Format.TORCH, Format.TORCH_MODULE})
    options_type: ClassVar[type[CompileOptions]] = GenerationOptions
    dynamic_batch: ClassVar[bool] = True
    tried_on: ClassVar[tuple[str, ...]] = ("cpu",)

    def compile(self, artifact: ModelArtifact, options: GenerationOptions) -> CompiledModel[Serving]:
        """Build the module, reserve the cache, start the engine.

        Raises:
            BackendUnavailableError: If torch does not have the device.
            CompileError: If the model is no `CausalModel`, or the cache has no room for a request.
            OutOfDeviceMemoryError: If the device has too little memory.
        """
        device = _device(options)
        threads = _threads(options, device)
        before = torch.get_num_threads() if threads else None
        if threads:
            torch.set_num_threads(threads)
        try:
            return _started(artifact, options, device, threads_before=before)
        except (torch.OutOfMemoryError, MemoryError) as error:
            _put_back(before)
            raise OutOfDeviceMemoryError("the model and its cache do not fit", got=str(error)[:500]) from error
        except BaseException:
            _put_back(before)
            raise

    def submit(self, compiled: CompiledModel[Serving], batch: Batch, reply: Reply) -> Cancel | None:
        """Queue one prompt, one text to be scored, or rows whose logits are asked for.

        Each token is handed on by the engine's thread when it is chosen; a score and logits come whole.

        Raises:
            InputMismatchError: If the batch is no one prompt, is empty or too long, or holds an unknown token.
            PredictError: If the model was released.
        """
        serving = compiled.handle
        if serving.engine is None:
            raise PredictError("the compiled model was released", remedy="compile it again")
        request, engine = requested(batch, serving.shape, serving.length, reply), serving.engine
        engine.add(request)
        return lambda: engine.give_up(request)

    def release(self, compiled: CompiledModel[Serving]) -> None:
        """Stop the engine, let go of model and cache, and put the thread count back."""
        serving = compiled.handle
        engine, serving.engine = serving.engine, None
        if engine is not None:
            engine.stop()
        ranked, serving.ranked = serving.ranked, None
        if ranked is not None:
            ranked.close()
        before, serving.threads_before = serving.threads_before, None
        _put_back(before)

    def version(self) -> str:
        """Return torch's version."""
        return f"torch {torch.__version__}"


def _started(
    artifact: ModelArtifact, options: GenerationOptions, device: torch.device, *, threads_before: int | None
) -> CompiledModel[Serving]:
    ranked = Ranked(artifact, options, device) if options.tensor_parallel > 1 else None
    part = built(artifact, options, device) if ranked is None else ranked.part
    shape = part.module.shape
    rows = (
        ranked.rows
        if ranked is not None
        else Rows(shape, rows=options.slots, length=part.length, dtype=part.activations, device=device)
    )
    model = part.module if ranked is None else ranked.model
    engine = Engine(
        model, rows, count=options.slots, piece=options.prefill_piece, whole=options.prefill_whole, device=device
    )
    serving = Serving(engine=engine, shape=shape, length=part.length, threads_before=threads_before, ranked=ranked)
    settings = {"slots": options.slots, LENGTH: part.length, CONTEXT: shape.context, "products": part.products}
    info = CompileInfo(
        precision=options.precision or artifact.spec.precision,
        devices=_devices(device, options.tensor_parallel),
        max_in_flight=None,
        optimizations={
            **settings,
            "activations": str(part.activations)[6:],
            "threads": torch.get_num_threads(),
            **({TP_SIZE: 1} if ranked is None else ranked.facts),
        },
    )
    return CompiledModel(serving, info)


def _devices(first: torch.device, ranks: int) -> tuple[str, ...]:
    if first.type == "cpu" or ranks == 1:
        return (str(first),)
    return tuple(f"{first.type}:{(first.index or 0) + rank}" for rank in range(ranks))


def _threads(options: GenerationOptions, device: torch.device) -> int:
    """Return the threads of each rank; 0 to leave them."""
    shared = options.tensor_parallel > 1 and device.type == "cpu" and Place.told(os.environ) is None
    if options.threads or not shared:
        return options.threads
    return max(1, torch.get_num_threads() // options.tensor_parallel)


def _put_back(threads: int | None) -> None:
    if threads is not None:
        torch.set_num_threads(threads)


def _device(options: GenerationOptions) -> torch.device:
    if len(options.devices) > 1:
        raise BackendUnavailableError("one engine takes one device", got=list(options.devices))
    try:
        device = torch.device(options.devices[0] if options.devices else "cpu")
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise BackendUnavailableError("torch does not have the device", got=list(options.devices)) from error
    return device
