"""What the generation engine makes of a machine: decode, prefill and batched decode against the machine's own limits.

    python benchmarks/generation_marks.py llama2-7b-torch-fp16 --layers 4
    python benchmarks/generation_marks.py llama2-7b-torch-fp16 chatglm2-6b-torch-fp16
    python benchmarks/generation_marks.py --transformers

For each model, with random weights and a prompt of 128 tokens, in turn with the limits themselves:

- decode: bytes of the weights that a token needs (all but the table of the embedding) over the time of a token, as a
  share of the bandwidth at which both cores read a large buffer;
- prefill: operations of the linear layers over the time to the first token, as a share of a float32 matrix product;
- batch: tokens/s of 8 answers that decode together, over those of one alone.

The marks to reach are llama.cpp's with F16 weights on two cores: 65 %, 84 % and 4.3 times. `--layers` takes fewer
layers of the model's own shapes. `--transformers` compares with that library's `generate` on small models, with the
same weights and threads, in turn.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import attrs
import numpy as np
import torch

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends import CompiledModel
from bytemlperf.backends.torch_generation.backend import GenerationOptions, Serving, TorchGenerationBackend
from bytemlperf.sample import Batch, Generation, Outputs
from bytemlperf.spec import ModelSpec, Recipe
from bytemlperf.zoo import get, resolve
from bytemlperf.zoo.architectures import gpt2_torch, llama_torch
from bytemlperf.zoo.architectures.initialise_torch import initialise

MARKS = {"decode": 0.65, "prefill": 0.84, "batch": 4.3}
PROMPT = 128
TOGETHER = 8
TOLERANCE = 1e-4
"""How far logits of the same weights may be apart, in the largest of them."""
PIECES = TOGETHER * PROMPT // 32
"""Tokens that the first of the answers gives while the others' prompts are read in pieces of 32."""
SMALL_LLAMA = {
    "vocab_size": 32_000,
    "hidden_size": 1_024,
    "intermediate_size": 2_816,
    "num_hidden_layers": 16,
    "num_attention_heads": 16,
    "max_position_embeddings": 1_024,
    "rms_norm_eps": 1e-5,
}


class Answer:
    """A reply that keeps when each token came, in seconds."""

    def __init__(self) -> None:
        self.cancelled = False
        self.asked, self.stamps = time.perf_counter(), list[float]()
        self._ended = threading.Event()
        self._error: BaseException | None = None

    def chunk(self, outputs: Outputs, tokens: int | Callable[[], int] = 1) -> None:  # noqa: ARG002 - the engine's side of a reply
        """Stamp a token."""
        self.stamps.append(time.perf_counter())

    def done(
        self,
        outputs: Outputs | None = None,  # noqa: ARG002
        tokens: int | None = None,  # noqa: ARG002
        reported: Mapping[str, float] | None = None,  # noqa: ARG002
    ) -> None:
        """End."""
        self._ended.set()

    def fail(self, error: BaseException) -> None:
        """End with an error."""
        self._error = error
        self._ended.set()

    def wait(self) -> Answer:
        """Wait for the end."""
        self._ended.wait()
        if self._error is not None:
            raise self._error
        return self


class Engine:
    """A compiled model and its questions."""

    def __init__(self, artifact: ModelArtifact, folder: Path, *, length: int) -> None:
        self._backend = TorchGenerationBackend()
        options = GenerationOptions(slots=TOGETHER, max_length=length, cache_bytes=2**33, work_dir=folder)
        self._compiled: CompiledModel[Serving] = self._backend.compile(artifact, options)
        self._drawn = np.random.default_rng(0)

    def ask(self, count: int, tokens: int) -> list[Answer]:
        """Ask `count` prompts at once, and wait for all answers."""
        high = self._compiled.handle.shape.vocabulary
        answers = []
        for _ in range(count):
            prompt = self._drawn.integers(0, high, (1, PROMPT))
            answers.append(Answer())
            ask = Generation(max_new_tokens=tokens)
            self._backend.submit(self._compiled, Batch(inputs={"tokens": prompt}, size=1, ask=ask), answers[-1])
        return [each.wait() for each in answers]

    def close(self) -> None:
        """Let go of the model."""
        self._backend.release(self._compiled)


def prefill_s(answers: Sequence[Answer]) -> float:
    """Return the time to the first token of one answer alone."""
    return answers[0].stamps[0] - answers[0].asked


def decode_rate(answers: Sequence[Answer]) -> float:
    """Return tokens/s while all of the answers decode."""
    first, last = max(each.stamps[0] for each in answers), min(each.stamps[-1] for each in answers)
    return sum(first < stamp <= last for each in answers for stamp in each.stamps) / (last - first)


class Limits:
    """What the machine itself does, looked at again and again."""

    def __init__(self) -> None:
        self._buffer = torch.ones(2**28)  # 1 GiB
        self._factors = torch.randn(2, 3_072, 3_072)
        self.bandwidths: list[float] = []
        self.products: list[float] = []

    def look(self) -> None:
        """Read a large buffer with all threads, and multiply two matrices in float32."""
        self.bandwidths += [self._buffer.nbytes / _seconds(self._buffer.sum) for _ in range(3)]
        size = self._factors.shape[1]
        self.products += [2 * size**3 / _seconds(lambda: torch.mm(*self._factors)) for _ in range(2)]

    @property
    def bandwidth(self) -> float:
        """Bytes/s, the median."""
        return statistics.median(self.bandwidths)

    @property
    def product(self) -> float:
        """Operations/s, the median."""
        return statistics.median(self.products)


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def weights_of(artifact: ModelArtifact) -> tuple[int, int]:
    """Return the weights that one token multiplies: all, and those of the layers (without the logits')."""
    from bytemlperf.conversion.torch_building import undrawn
    from bytemlperf.conversion.torch_module import build_module

    recipe = artifact.spec.recipe
    assert recipe is not None
    module = undrawn(lambda: build_module(recipe, artifact.name))
    sizes = {name: each.numel() for name, each in module.named_parameters() if each.dim() > 1}
    table = [name for name in sizes if "embed" in name]
    logits = [name for name in sizes if "lm_head" in name or "output_layer" in name]
    multiplied = {name: size for name, size in sizes.items() if name not in table}
    return sum(multiplied.values()), sum(size for name, size in multiplied.items() if name not in logits)


def marks(spec: ModelSpec, *, rounds: int, tokens: int, folder: Path) -> bool:
    """Measure one model and print its shares; tell whether all marks are reached."""
    artifact = resolve(spec, weights="random")
    all_weights, layer_weights = weights_of(artifact)
    engine, limits = Engine(artifact, folder, length=PROMPT + PIECES + tokens), Limits()
    engine.ask(1, 2)
    alone: list[float] = []
    first: list[float] = []
    together: list[float] = []
    for _ in range(rounds):
        limits.look()
        answers = engine.ask(1, tokens)
        first.append(prefill_s(answers))
        alone.append(decode_rate(answers))
        limits.look()
        together.append(decode_rate(engine.ask(TOGETHER, tokens + PIECES)))
    limits.look()
    engine.close()
    one, many, start = statistics.median(alone), statistics.median(together), statistics.median(first)
    read, done = 2 * all_weights * one, 2 * layer_weights * PROMPT / start
    shares = {"decode": read / limits.bandwidth, "prefill": done / limits.product, "batch": many / one}
    print(f"\n{spec.name}, {2 * all_weights / 1e9:.2f} GB of float16 a token, prompt of {PROMPT}, {rounds} rounds")
    bandwidth, product = _range(limits.bandwidths, 1e9), _range(limits.products, 1e9)
    print(f"  machine: reads {bandwidth} GB/s, float32 product {product} GFLOP/s")
    print(f"  decode:  {1e3 / one:8.2f} ms a token, {read / 1e9:6.1f} GB/s       {_share('decode', shares)}")
    print(f"  prefill: {1e3 * start:8.1f} ms,         {done / 1e9:6.1f} GFLOP/s    {_share('prefill', shares)}")
    print(
        f"  batch 8: {many:8.2f} tokens/s, alone {one:6.2f}          {shares['batch']:6.2f} x, mark 4.3 x", flush=True
    )
    return all(shares[name] >= mark for name, mark in MARKS.items())


def _share(name: str, shares: Mapping[str, float]) -> str:
    return f"{100 * shares[name]:6.1f} % of it, mark {100 * MARKS[name]:.0f} %"


def _range(values: Sequence[float], unit: float) -> str:
    low, middle, high = min(values) / unit, statistics.median(values) / unit, max(values) / unit
    return f"{middle:.1f} ({low:.1f} to {high:.1f})"


def with_layers(spec: ModelSpec, layers: int | None) -> ModelSpec:
    """Return the model with fewer layers."""
    recipe = spec.recipe
    if layers is None or recipe is None:
        return spec
    changed = {name: layers for name in recipe.config if name in {"num_hidden_layers", "num_layers"}}
    fewer = Recipe(architecture=recipe.architecture, version=recipe.version, config={**recipe.config, **changed})
    return attrs.evolve(spec, name=spec.name.replace("-torch", f"-{layers}layers-torch"), recipe=fewer, parameters=None)


def small_models() -> dict[str, tuple[torch.nn.Module, Callable[[], torch.nn.Module]]]:
    """Return our small models with random weights, and what makes those of `transformers`, weights not filled."""
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    llama, gpt2 = llama_torch.build(**SMALL_LLAMA), gpt2_torch.build()
    return {
        "LLaMA shape, 270 M": (initialise(llama, 0) or llama, lambda: LlamaForCausalLM(LlamaConfig(**SMALL_LLAMA))),
        "GPT-2, 124 M": (initialise(gpt2, 0) or gpt2, lambda: GPT2LMHeadModel(GPT2Config())),
    }


def small_artifact(module: torch.nn.Module, precision: str) -> ModelArtifact:
    """Return a live module as an artifact."""
    spec = ModelSpec(
        name="small-torch",
        framework="torch",
        format="torch_module",
        precision=precision,
        inputs=get("gpt2-torch-fp32").inputs,
        outputs=get("gpt2-torch-fp32").outputs,
    )
    return ModelArtifact(spec=spec, format=spec.format, module=module)


def library_times(model: torch.nn.Module, count: int, tokens: int) -> tuple[float, float]:
    """Return seconds of the library to the first tokens of `count` prompts, and to all tokens."""
    vocabulary = model.config.vocab_size
    prompts = torch.randint(0, vocabulary, (count, PROMPT))
    fixed = {"do_sample": False, "use_cache": True, "eos_token_id": None, "pad_token_id": 0}

    def generate(new: int) -> float:
        with torch.inference_mode():
            return _seconds(
                lambda: model.generate(
                    prompts, attention_mask=torch.ones_like(prompts), min_new_tokens=new, max_new_tokens=new, **fixed
                )
            )

    return generate(1), generate(tokens)


def engine_times(engine: Engine, count: int, tokens: int) -> tuple[float, float]:
    """Return the same of our engine: to the last prompt's first token, and to the last token."""
    answers = engine.ask(count, tokens)
    begun = answers[0].asked
    return max(each.stamps[0] for each in answers) - begun, max(each.stamps[-1] for each in answers) - begun


def beside_transformers(*, rounds: int, tokens: int, folder: Path) -> None:
    """Print what `transformers` takes over what the engine takes, for each small model and precision."""
    import transformers

    transformers.logging.set_verbosity_error()
    print(f"\ntransformers {transformers.__version__} over the engine, same weights, {torch.get_num_threads()} threads")
    print(f"{'':28} {'prefill ms':>22} {'decode ms/token':>22} {'batch 8 tokens/s':>22} {'8 whole, tokens/s':>22}")
    for (name, (module, make)), precision in itertools.product(small_models().items(), ("float32", "float16")):
        half = getattr(torch, precision)
        theirs = make().eval()
        _load(theirs, module)
        theirs = theirs.to(half)
        engine = Engine(small_artifact(module.to(half), precision), folder, length=PROMPT + PIECES + tokens)
        found = _in_turn(engine, theirs, rounds=rounds, tokens=tokens)
        engine.close()
        module.float()
        times, rates = [_pair(*each, less=True) for each in found[:2]], [_pair(*each, less=False) for each in found[2:]]
        print(f"{name + ', ' + precision:28} " + " ".join([*times, *rates]))
        sys.stdout.flush()


def _load(theirs: torch.nn.Module, module: torch.nn.Module) -> None:
    """Give the library's model our weights; it puts a prefix before the names of some, and ties others."""
    ours, names = module.state_dict(), set(theirs.state_dict())
    renamed = {name if name in names else f"transformer.{name}": each for name, each in ours.items()}
    told = theirs.load_state_dict(renamed, strict=False)
    assert not told.unexpected_keys, told
    assert set(told.missing_keys) <= {"lm_head.weight"}, told
    tokens = torch.arange(16)[None]
    with torch.inference_mode():
        difference = (theirs(tokens).logits - module(tokens)).abs().max() / module(tokens).abs().max()
    assert float(difference) < TOLERANCE, difference


def _in_turn(engine: Engine, theirs: torch.nn.Module, *, rounds: int, tokens: int) -> list[tuple[float, float]]:
    """Return prefill, decode, batched decode and the whole of 8 requests, of the library and of ours; medians."""
    ways: dict[str, Callable[[int], tuple[float, float]]] = {
        "theirs": lambda count: library_times(theirs, count, tokens),
        "ours": lambda count: engine_times(engine, count, tokens),
    }
    found: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            (first, all_one), (start, all_many) = way(1), way(TOGETHER)
            rate = _rate(engine, tokens) if name == "ours" else TOGETHER * (tokens - 1) / (all_many - start)
            one = (all_one - first) / (tokens - 1)
            if number:  # the first round warms up
                found[name].append((first * 1e3, one * 1e3, rate, TOGETHER * tokens / all_many))
    medians = {name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in found.items()}
    return list(zip(medians["theirs"], medians["ours"], strict=True))


def _rate(engine: Engine, tokens: int) -> float:
    return decode_rate(engine.ask(TOGETHER, tokens + PIECES))


def _pair(theirs: float, ours: float, *, less: bool) -> str:
    return f"{theirs:8.2f} {ours:6.2f} {theirs / ours if less else ours / theirs:5.2f} x"


def main() -> int:
    """Measure and print; the exit code is 1 where a mark is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--layers", type=int)
    parser.add_argument("--tokens", type=int, default=33)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--transformers", action="store_true")
    chosen = parser.parse_args()
    reached = True
    with TemporaryDirectory() as folder:
        for name in chosen.models:
            spec = with_layers(get(name), chosen.layers)
            reached &= marks(spec, rounds=chosen.rounds, tokens=chosen.tokens, folder=Path(folder))
        if chosen.transformers:
            beside_transformers(rounds=chosen.rounds, tokens=chosen.tokens, folder=Path(folder))
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
