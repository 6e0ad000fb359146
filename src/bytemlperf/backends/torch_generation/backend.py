"""The backend that serves language models with torch; `torch` hands generation to it."""

from __future__ import annotations

from typing import ClassVar, Final

import attrs
import torch

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends.base import AsyncBackend, Cancel
from bytemlperf.backends.compiled import CompiledModel, CompileInfo, CompileOptions
from bytemlperf.backends.torch_generation.cache import Rows, bytes_of
from bytemlperf.backends.torch_generation.engine import Engine
from bytemlperf.backends.torch_generation.half import keep_half
from bytemlperf.backends.torch_generation.requests import requested
from bytemlperf.causal import CausalModel, CausalShape
from bytemlperf.conversion.torch_module import torch_artifact_module
from bytemlperf.errors import (
    BackendUnavailableError,
    CompileError,
    OutOfDeviceMemoryError,
    PredictError,
)
from bytemlperf.sample import Batch, Reply
from bytemlperf.spec import DType, Format
from bytemlperf.spec.fields import at_least

_FLOATS: Final = {
    DType.FLOAT32: torch.float32,
    DType.FLOAT16: torch.float16,
    DType.BFLOAT16: torch.bfloat16,
    DType.FLOAT64: torch.float64,
}


@attrs.frozen(kw_only=True)
class GenerationOptions(CompileOptions):
    """How requests are served.

    Attributes:
        slots: Most requests that are computed at a time; further ones wait.
        cache_bytes: Bound of the memory for keys and values.
        max_length: Most tokens of a prompt and its answer together; 0 for what the model and `cache_bytes` allow.
        prefill_piece: Tokens of a prompt that are read in one step while others decode.
        prefill_whole: The same while nobody decodes.
        threads: Of torch; 0 leaves them as they are.
    """

    slots: int = attrs.field(default=8, validator=at_least(1))
    cache_bytes: int = attrs.field(default=2 * 2**30, validator=at_least(1))
    max_length: int = attrs.field(default=0, validator=at_least(0))
    prefill_piece: int = attrs.field(default=32, validator=at_least(1))
    prefill_whole: int = attrs.field(default=512, validator=at_least(1))
    threads: int = attrs.field(default=0, validator=at_least(0))


@attrs.define(eq=False, kw_only=True)
class Serving:
    """A running engine; emptied by release.

    Attributes:
        engine: None once released.
        shape: What a prompt has to fit.
        length: Most positions of a request.
        threads_before: What torch's thread count goes back to.
    """

    engine: Engine | None
    shape: CausalShape
    length: int
    threads_before: int | None = None


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
        precision = options.precision or artifact.spec.precision
        if precision not in _FLOATS:
            raise CompileError("torch does not generate in this precision", got=str(precision))
        before = torch.get_num_threads() if options.threads else None
        if options.threads:
            torch.set_num_threads(options.threads)
        try:
            return _started(artifact, options, precision, device, threads_before=before)
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
        before, serving.threads_before = serving.threads_before, None
        _put_back(before)

    def version(self) -> str:
        """Return torch's version."""
        return f"torch {torch.__version__}"


def _started(
    artifact: ModelArtifact,
    options: GenerationOptions,
    precision: DType,
    device: torch.device,
    *,
    threads_before: int | None,
) -> CompiledModel[Serving]:
    module = torch_artifact_module(artifact).eval().to(device=device, dtype=_FLOATS[precision])
    if not isinstance(module, CausalModel):
        raise CompileError("the model does not generate", got=artifact.name, expected="a CausalModel")
    kept = device.type == "cpu" and precision is DType.FLOAT16
    product = keep_half(module, options.work_dir / "kernels") if kept else "torch"
    held = torch.float32 if kept else _FLOATS[precision]
    length = _length(module.shape, held, options)
    rows = Rows(module.shape, rows=options.slots, length=length, dtype=held, device=device)
    engine = Engine(
        module, rows, count=options.slots, piece=options.prefill_piece, whole=options.prefill_whole, device=device
    )
    serving = Serving(engine=engine, shape=module.shape, length=length, threads_before=threads_before)
    settings = {"slots": options.slots, "length": length, "products": product, "activations": str(held)[6:]}
    info = CompileInfo(
        precision=precision,
        devices=(str(device),),
        max_in_flight=None,
        optimizations={**settings, "threads": torch.get_num_threads()},
    )
    return CompiledModel(serving, info)


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


def _length(shape: CausalShape, dtype: torch.dtype, options: GenerationOptions) -> int:
    """Return the positions of a row."""
    room = options.cache_bytes // (bytes_of(shape, dtype) * options.slots)
    wanted = min(options.max_length or shape.context, shape.context)
    if room < 2 or (options.max_length and room < wanted):  # noqa: PLR2004 - a prompt and an answer
        raise CompileError(
            "the cache has no room",
            where="$.options.cache_bytes",
            got=f"{room} positions for each of {options.slots} slots in {options.cache_bytes:,} bytes",
            expected=f"{options.max_length or 2}",
            remedy="raise cache_bytes, or lower slots or max_length",
        )
    return min(room, wanted)
