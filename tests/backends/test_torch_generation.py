"""The generation engine: whatever else is under way, a request's tokens are those that it gets alone."""

import copy
import gc
import threading
import time
import weakref

import numpy as np
import pytest
import torch
from tests.zoo.architectures.language import filled

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends.torch_generation.backend import GenerationOptions, TorchGenerationBackend
from bytemlperf.backends.torch_generation.requests import Request
from bytemlperf.errors import BackendUnavailableError, CancelledError, CompileError, InputMismatchError, PredictError
from bytemlperf.sample import Batch, Generation
from bytemlperf.spec import Format, Framework, ModelSpec, TensorSpec
from bytemlperf.zoo.architectures import chatglm2_torch, gpt2_torch, llama_torch

VOCABULARY = 97
LLAMA = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}


def module_of(**changes):
    return filled(llama_torch.build(**{**LLAMA, **changes}))


@pytest.fixture(scope="module")
def llama():
    return module_of()


def spec(**fields):
    return ModelSpec(
        name="tiny-llama",
        framework=Framework.TORCH,
        format=Format.TORCH_MODULE,
        inputs=(TensorSpec(name="tokens", shape=("batch", 8), dtype="int64", high=VOCABULARY),),
        outputs=(TensorSpec(name="logits", shape=("batch", 8, VOCABULARY), dtype="float32"),),
        **fields,
    )


class Heard:
    """A reply that keeps what it is told."""

    def __init__(self):
        self.cancelled = False
        self.tokens, self.logits, self.total, self.error, self.ends = [], [], None, None, 0
        self.reported, self._cancel = None, None
        self._asked, self._ended = threading.Event(), threading.Event()

    def chunk(self, outputs, tokens=1):
        assert tokens == 1
        self.tokens.append(int(outputs["tokens"][0, 0]))
        if "logits" in outputs:
            self.logits.append(outputs["logits"][0, 0])

    def done(self, outputs=None, tokens=None, reported=None):
        self.total, self.ends, self.reported = tokens, self.ends + 1, reported
        self._ended.set()

    def fail(self, error):
        self.error, self.ends = error, self.ends + 1
        self._ended.set()

    def wait(self):
        assert self._ended.wait(60)
        return self

    def asked(self, cancel):
        self._cancel = cancel
        self._asked.set()
        return self

    def cancel(self):
        assert self._asked.wait(60)
        cancel, self._cancel = self._cancel, None  # else the reply would hold itself
        cancel()
        cancel()


class Doing(Heard):
    """Does something once, when three tokens have come: on the engine's thread, in the middle of decoding."""

    def __init__(self, what):
        super().__init__()
        self._what = what

    def chunk(self, outputs, tokens=1):
        super().chunk(outputs, tokens)
        if len(self.tokens) == 3:
            self._what(self)


class Served:
    """A compiled model and how it is asked."""

    def __init__(self, module, **options):
        self.backend = TorchGenerationBackend()
        artifact = ModelArtifact(
            spec=spec(precision=options.pop("of", "float32")), format=Format.TORCH_MODULE, module=module
        )
        self.compiled = self.backend.compile(artifact, GenerationOptions(**options))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.backend.release(self.compiled)
        self.backend.release(self.compiled)

    def ask(self, prompt, *, heard=None, **ask):
        heard = heard or Heard()
        batch = Batch(inputs={"tokens": np.array([prompt])}, size=1, ask=Generation(**{"max_new_tokens": 6, **ask}))
        return heard.asked(self.backend.submit(self.compiled, batch, heard))

    @property
    def under_way(self):
        """What is left after all were answered: an engine frees a row just after its last answer."""
        ends = time.monotonic() + 30
        while (left := self.compiled.handle.engine.under_way) and time.monotonic() < ends:
            time.sleep(0.001)
        return left


def prompts(count, seed=0):
    drawn = np.random.default_rng(seed)
    return [drawn.integers(0, VOCABULARY, drawn.integers(1, 24)).tolist() for _ in range(count)]


@torch.no_grad()
def greedy(module, prompt, count):
    """One full forward for each token, and how far the best was ahead of the next."""
    ids, margins = list(prompt), []
    for _ in range(count):
        best = module(torch.tensor([ids]))[0, -1].topk(2)
        margins.append(float(best.values[0] - best.values[1]))
        ids.append(int(best.indices[0]))
    return ids[len(prompt) :], min(margins)


MODELS = {
    "llama": module_of,
    "gpt2": lambda: filled(gpt2_torch.build(vocab_size=VOCABULARY, n_positions=64, n_embd=32, n_layer=2, n_head=4)),
    "chatglm2": lambda: filled(
        chatglm2_torch.build(
            padded_vocab_size=VOCABULARY, hidden_size=32, ffn_hidden_size=48, num_layers=2, num_attention_heads=4,
            kv_channels=8, multi_query_group_num=2, seq_length=64,
        )
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_requests_that_come_at_any_time_get_what_they_get_alone(name):
    module, asked = MODELS[name](), prompts(12)
    with Served(module, slots=3, prefill_piece=4) as served:
        together = []
        for number, prompt in enumerate(asked):
            together.append(served.ask(prompt, max_new_tokens=3 + number % 5))
            if number % 4 == 3:
                together[-1].wait()
        for heard in together:
            heard.wait()
    for number, (prompt, heard) in enumerate(zip(asked, together, strict=True)):
        expected, margin = greedy(module, prompt, 3 + number % 5)
        assert margin > 1e-4  # else rounding might decide
        assert (heard.error, heard.tokens, heard.total, heard.ends) == (None, expected, len(expected), 1)


@pytest.mark.parametrize("piece", [1, 5, 64])
def test_a_prompt_read_in_pieces_gives_the_same_tokens(llama, piece):
    prompt = prompts(1, seed=3)[0] * 2
    with Served(llama, prefill_piece=piece, prefill_whole=piece) as served:
        assert served.ask(prompt).wait().tokens == greedy(llama, prompt, 6)[0]


def test_logits_are_those_of_a_full_forward(llama):
    prompt = prompts(1, seed=4)[0]
    with Served(llama) as served:
        heard = served.ask(prompt, logits=True).wait()
    with torch.no_grad():
        full = llama(torch.tensor([prompt + heard.tokens[:-1]]))[0, len(prompt) - 1 :].numpy()
    np.testing.assert_allclose(np.array(heard.logits), full, atol=1e-5 * np.abs(full).max())


def test_half_weights_keep_their_memory_and_their_answers():
    half = module_of(dtype="float16", tie_word_embeddings=True)
    exact = module_of(tie_word_embeddings=True)
    exact.load_state_dict({name: each.float() for name, each in half.state_dict().items()})
    prompt = prompts(1, seed=5)[0]
    with Served(half, of="float16") as served:
        heard = served.ask(prompt, logits=True, max_new_tokens=8).wait()
        assert served.compiled.info.optimizations["activations"] == "float32"
    expected, margin = greedy(exact, prompt, 8)
    assert margin > 1e-4
    assert heard.tokens == expected
    with torch.no_grad():
        full = exact(torch.tensor([prompt + expected[:-1]]))[0, len(prompt) - 1 :].numpy()
    np.testing.assert_allclose(np.array(heard.logits), full, atol=1e-5 * np.abs(full).max())


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("piece", [1, 4, 64])
def test_half_weights_give_the_tokens_of_their_exact_values_however_they_are_read_and_joined(name, piece):
    half, asked = MODELS[name]().half(), prompts(8, seed=18)
    exact = copy.deepcopy(half).float()
    with Served(half, of="float16", slots=3, prefill_piece=piece, prefill_whole=piece) as served:
        together = [served.ask(prompt, max_new_tokens=3 + number % 5) for number, prompt in enumerate(asked)]
        for number, (prompt, heard) in enumerate(zip(asked, together, strict=True)):
            expected, margin = greedy(exact, prompt, 3 + number % 5)
            assert margin > 1e-4  # else rounding might decide
            assert (heard.wait().tokens, heard.error) == (expected, None)


def test_draws_depend_on_the_seed_and_on_nothing_else(llama):
    prompt = prompts(1, seed=6)[0]
    ask = {"temperature": 1.0, "top_k": 20, "top_p": 0.9, "max_new_tokens": 12}
    with Served(llama, slots=4) as served:
        alone = served.ask(prompt, seed=1, **ask).wait().tokens
        others = [served.ask(each, seed=9, **ask) for each in prompts(6, seed=7)]
        again, other = served.ask(prompt, seed=1, **ask), served.ask(prompt, seed=2, **ask)
        assert again.wait().tokens == alone != other.wait().tokens
        for each in others:
            each.wait()


def test_stop_tokens_and_bounds_of_the_length(llama):
    prompt = prompts(1, seed=8)[0]
    tokens, _ = greedy(llama, prompt, 8)
    third = tokens[2]
    first = tokens.index(third) + 1
    with Served(llama) as served:
        assert served.ask(prompt, max_new_tokens=8, stop=(third,)).wait().tokens == tokens[:first]
        assert served.ask(prompt, max_new_tokens=8, stop=(third,), min_new_tokens=5).wait().tokens[:5] == tokens[:5]
        assert served.ask(prompt, max_new_tokens=1).wait().tokens == tokens[:1]


@pytest.mark.parametrize(
    ("prompt", "ask", "words"),
    [
        ([], {}, "empty"),
        ([1, VOCABULARY], {}, f"got {VOCABULARY}|unknown token"),
        ([-1], {}, "unknown token"),
        ([1] * 60, {"max_new_tokens": 5}, "longer than the cache"),
    ],
)
def test_what_is_no_prompt_is_refused_and_others_go_on(llama, prompt, ask, words):
    with Served(llama) as served:
        fine = served.ask([1, 2, 3])
        with pytest.raises(InputMismatchError, match=words):
            served.ask(np.array(prompt, dtype=np.int64), **ask)
        assert fine.wait().error is None
        with pytest.raises(InputMismatchError, match="one at a time"):
            served.backend.submit(served.compiled, Batch(inputs={}, size=1, ask=Generation(max_new_tokens=1)), Heard())


def test_a_prompt_that_fills_the_context(llama):
    with Served(llama) as served:
        prompt = [5] * 60
        assert served.ask(prompt, max_new_tokens=4).wait().tokens == greedy(llama, prompt, 4)[0]


@pytest.mark.parametrize("name", MODELS)
def test_a_request_that_is_given_up_leaves_its_row_to_the_last_which_goes_on_as_before(name):
    module, asked = MODELS[name](), prompts(4, seed=9)
    with Served(module, slots=4) as served:
        given_up = served.ask(asked[0], max_new_tokens=40, heard=Doing(Heard.cancel))
        others = [served.ask(prompt, max_new_tokens=12) for prompt in asked[1:]]
        assert isinstance(given_up.wait().error, CancelledError)
        assert (given_up.tokens, given_up.ends) == (greedy(module, asked[0], 3)[0], 1)
        for prompt, other in zip(asked[1:], others, strict=True):
            expected, margin = greedy(module, prompt, 12)
            assert margin > 1e-4  # else rounding might decide
            assert (other.wait().tokens, other.error) == (expected, None)
        assert served.under_way == 0


class Broken(Heard):
    """A reply that fails at one of its calls."""

    def __init__(self, where):
        super().__init__()
        self._where = where

    def chunk(self, outputs, tokens=1):
        super().chunk(outputs, tokens)
        if self._where == len(self.tokens):
            raise ValueError("no room for a token")

    def done(self, outputs=None, tokens=None, reported=None):
        if self._where == "done":
            raise ValueError("no end")
        super().done(outputs, tokens, reported)

    def fail(self, error):
        super().fail(error)
        if self._where == "fail":
            raise ValueError("no way to fail")


@pytest.mark.parametrize(("where", "words"), [(1, "no room"), (2, "no room"), ("done", "no end")])
def test_a_reply_that_fails_ends_its_own_request_only(llama, where, words):
    with Served(llama, slots=3) as served:
        before = served.ask([1, 2, 3], max_new_tokens=20)
        broken, after = served.ask([4, 5], heard=Broken(where)), served.ask([7, 8])
        assert words in str(broken.wait().error)
        assert broken.ends == 1
        assert before.wait().tokens == greedy(llama, [1, 2, 3], 20)[0]
        assert after.wait().tokens == greedy(llama, [7, 8], 6)[0]
        assert served.under_way == 0


def test_a_reply_that_cannot_even_fail_is_logged_and_the_others_go_on(llama, caplog):
    with Served(Failing(llama)) as served:
        served.ask([4, 13], heard=Broken("fail")).wait()
        assert served.ask([7, 8]).wait().tokens == greedy(llama, [7, 8], 6)[0]
    assert "could not be failed" in caplog.text


class Undecided:
    """A sampler that fails at its second token."""

    def __init__(self):
        self._chosen = 0

    def choose(self, logits):
        self._chosen += 1
        if self._chosen == 2:
            raise ArithmeticError("no choice")
        return int(logits.argmax())

    def ends(self, token, count):
        return False


def test_a_sampler_that_fails_ends_its_own_request_only(llama):
    with Served(llama, slots=3) as served:
        before, undecided = served.ask([1, 2, 3], max_new_tokens=20), Heard()
        request = Request([4, 5], Generation(max_new_tokens=9), undecided, sampler=Undecided())
        served.compiled.handle.engine.add(request)
        assert "no choice" in str(undecided.wait().error)
        assert isinstance(undecided.error, PredictError)
        assert before.wait().tokens == greedy(llama, [1, 2, 3], 20)[0]
        assert served.under_way == 0


class Ending(torch.nn.Module):
    """A model that ends the thread that runs it, by what no step catches."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.combine, self.shape = inner, inner.combine, inner.shape
        self.ends = False

    def __deepcopy__(self, _):
        return self  # what a test holds is what runs

    def hidden(self, tokens, positions=None, cache=None):
        if self.ends:
            raise SystemExit("enough")
        return self.inner.hidden(tokens, positions, cache)

    def logits(self, hidden):
        return self.inner.logits(hidden)

    def forward(self, tokens, positions=None, cache=None):
        return self.logits(self.hidden(tokens, positions, cache))

    def shards(self):
        return {}


def test_an_engine_that_ends_fails_all_that_wait_and_all_that_come(llama):
    module = Ending(llama)
    with Served(module, slots=2) as served:
        doing = Doing(lambda _: setattr(module, "ends", True))
        asked = [served.ask([1, 2], max_new_tokens=50), served.ask([3], max_new_tokens=50, heard=doing)]
        asked += [served.ask([5], max_new_tokens=50) for _ in range(3)]
        for each in asked:
            assert isinstance(each.wait().error, PredictError)
            assert ("enough" in str(each.error), each.ends) == (True, 1)
        assert served.under_way == 0
        with pytest.raises(PredictError, match="enough"):
            served.ask([7])


class Failing(torch.nn.Module):
    """A model that fails on one token, and stands still while its gate is closed."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.combine = inner, inner.combine
        self.gate = threading.Event()
        self.gate.set()

    def __deepcopy__(self, _):
        return self  # what a test holds is what runs

    @property
    def shape(self):
        return self.inner.shape

    def hidden(self, tokens, positions=None, cache=None):
        assert self.gate.wait(60)
        if (tokens == 13).any() and tokens.shape[1] > 1:
            raise RuntimeError("no such thing as 13")
        return self.inner.hidden(tokens, positions, cache)

    def logits(self, hidden):
        return self.inner.logits(hidden)

    def forward(self, tokens, positions=None, cache=None):
        return self.logits(self.hidden(tokens, positions, cache))

    def shards(self):
        return {}


def test_a_request_that_fails_leaves_the_others(llama):
    with Served(Failing(llama)) as served:
        before = served.ask([1, 2, 3], max_new_tokens=20)
        failed, after = served.ask([4, 13]), served.ask([7, 8])
        assert isinstance(failed.wait().error, PredictError)
        assert "13" in str(failed.error)
        assert before.wait().tokens == greedy(llama, [1, 2, 3], 20)[0]
        assert after.wait().tokens == greedy(llama, [7, 8], 6)[0]
        assert served.under_way == 0


@pytest.fixture
def uncollected():
    """What only a collector would free counts as left behind: timed runs hold it off."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("uncollected")
def test_a_thousand_given_up_and_failed_requests_leave_nothing(llama):
    module, left = Failing(llama), []
    with Served(module, slots=4) as served:
        threads = set(threading.enumerate())
        for _ in range(40):
            module.gate.clear()  # so that what is given up at once has not ended before
            failed = [served.ask([4, 13]) for _ in range(9)]
            at_once = [served.ask([1, 2, 3], max_new_tokens=40) for _ in range(8)]
            later = [served.ask([1, 2, 3], max_new_tokens=40, heard=Doing(Heard.cancel)) for _ in range(8)]
            for one in at_once:
                one.cancel()
            module.gate.set()
            assert {type(one.wait().error) for one in failed} == {PredictError}
            assert {type(one.wait().error) for one in (*at_once, *later)} == {CancelledError}
            assert {len(one.tokens) for one in at_once} == {0}
            assert {len(one.tokens) for one in later} == {3}
            assert all(one.ends == 1 for one in (*failed, *at_once, *later))
            for one in failed:
                one.asked(None)  # else the reply would hold itself
            left += [weakref.ref(one) for one in (*failed, *at_once, *later)]
        del failed, at_once, later, one
        assert served.ask([7, 8]).wait().tokens == greedy(llama, [7, 8], 6)[0]
        assert (served.under_way, set(threading.enumerate()) - threads) == (0, set())
        assert (len(left), sum(one() is not None for one in left)) == (1000, 0)


def test_a_cancelled_request_gives_its_slot_to_the_next(llama):
    with Served(llama, slots=1) as served:
        endless = served.ask([1], max_new_tokens=60, heard=Doing(Heard.cancel))
        waits = served.ask([2, 3])
        assert isinstance(endless.wait().error, CancelledError)
        assert endless.tokens == greedy(llama, [1], 3)[0]
        assert waits.wait().tokens == greedy(llama, [2, 3], 6)[0]


def test_release_ends_what_is_under_way(llama):
    served = Served(llama, slots=1)
    heard = [served.ask([1], max_new_tokens=60) for _ in range(3)]
    with served:
        pass
    assert all(one.wait().ends == 1 for one in heard)
    with pytest.raises(PredictError, match="released"):
        served.ask([1])


def test_what_cannot_be_compiled(llama):
    with pytest.raises(CompileError, match="no room"):
        Served(llama, cache_bytes=100)
    with pytest.raises(CompileError, match="no room"):
        Served(llama, cache_bytes=100_000, max_length=64, slots=64)
    with pytest.raises(CompileError, match="CausalModel"):
        Served(torch.nn.Linear(1, 1))
    with pytest.raises(CompileError, match="precision"):
        Served(llama, precision="int8")
    for devices in (("cpu", "cpu"), ("nowhere:0",)):
        with pytest.raises(BackendUnavailableError):
            Served(llama, devices=devices)


def test_threads_are_put_back_also_where_compiling_fails(llama):
    before = torch.get_num_threads()
    with Served(llama, threads=before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with pytest.raises(CompileError, match="no room"):
        Served(llama, threads=before + 1, cache_bytes=100)
    assert torch.get_num_threads() == before
