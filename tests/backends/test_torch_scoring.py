"""Scores and outputs of the generation engine, against torch's own cross entropy in float64."""

import copy

import numpy as np
import pytest
import torch
from tests.backends.test_torch_generation import MODELS, VOCABULARY, Heard, Served, prompts

from bytemlperf.errors import InputMismatchError, SpecError
from bytemlperf.sample import Batch, Forward, Score


class Whole(Heard):
    """A reply that keeps an answer that comes whole."""

    def done(self, outputs=None, tokens=None, reported=None):
        self.outputs = {name: each.copy() for name, each in outputs.items()}
        super().done(outputs, tokens, reported)


def asked(served, tokens, ask):
    heard = Whole()
    batch = Batch(inputs={"tokens": np.atleast_2d(np.array(tokens))}, size=1, ask=ask)
    return heard.asked(served.backend.submit(served.compiled, batch, heard))


@torch.no_grad()
def likelihoods(module, tokens):
    """Log-likelihood of each token but the first, and whether it is the likeliest."""
    ids = torch.tensor(tokens)
    logits = copy.deepcopy(module).double()(ids[None])[0, :-1]
    likely = -torch.nn.functional.cross_entropy(logits, ids[1:], reduction="none")
    return likely.numpy(), (logits.argmax(-1) == ids[1:]).numpy()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("piece", [3, 64])
def test_scores_are_torchs_cross_entropy_while_others_decode(name, piece):
    module = MODELS[name]()
    with Served(module, slots=3, prefill_piece=piece, prefill_whole=piece) as served:
        tokens = prompts(8, seed=3)[0] + prompts(8, seed=4)[1] + [5, 6, 7]
        length = len(tokens)
        spans, further = ((1, length), (2, 3), (length - 2, length)), ((7,), (7, 8, 9), (50, 51))
        greedy = served.ask(prompts(1)[0], max_new_tokens=20)
        served.ask(prompts(2)[1], max_new_tokens=3)  # ends while the score is read, whose row moves then
        heard = asked(served, tokens, Score(spans=spans, continuations=further)).wait()
        again = asked(served, tokens, Score(continuations=further)).wait()
        alone = served.ask(prompts(1)[0], max_new_tokens=20).wait()
        assert greedy.wait().tokens == alone.tokens, "a score leaves what others do as it is"
    likely, first = likelihoods(module, tokens)
    wanted = [(likely[a - 1 : b - 1].sum(), first[a - 1 : b - 1].all()) for a, b in spans]
    for each in further:
        more, best = likelihoods(module, [*tokens, *each])
        wanted.append((more[length - 1 :].sum(), best[length - 1 :].all()))
    assert heard.outputs["log_likelihood"].dtype == np.float64
    np.testing.assert_allclose(heard.outputs["log_likelihood"], [[value for value, _ in wanted]], rtol=1e-5)
    assert heard.outputs["greedy"].tolist() == [[bool(best) for _, best in wanted]]
    np.testing.assert_allclose(again.outputs["log_likelihood"], heard.outputs["log_likelihood"][:, 3:], rtol=1e-5)
    assert heard.reported["prefill_model_ms"] > 0 == heard.reported["decode_model_ms"]
    assert min(heard.reported.values()) >= 0


def test_outputs_are_the_modules_own():
    module, rows = MODELS["llama"](), np.random.default_rng(0).integers(0, VOCABULARY, (3, 9))
    with Served(module) as served:
        heard = asked(served, rows, Forward()).wait()
    with torch.no_grad():
        expected = module(torch.tensor(rows)).numpy()
    np.testing.assert_allclose(heard.outputs["logits"], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("tokens", "ask", "words"),
    [
        ([1, 2, 3], Score(spans=[(1, 4)]), "beyond its text"),
        ([1, 2, 3], Score(continuations=[(VOCABULARY,)]), "unknown token"),
        ([1] * 64, Score(continuations=[(1, 2)]), "longer than the cache"),
        ([-1, 2], Forward(), "unknown token"),
        ([1] * 65, Forward(), "longer than the cache"),
    ],
)
def test_what_cannot_be_scored_is_refused(tokens, ask, words):
    with Served(MODELS["llama"]()) as served, pytest.raises(InputMismatchError, match=words):
        asked(served, tokens, ask)


@pytest.mark.parametrize(
    "wrong", [{}, {"spans": [(0, 1)]}, {"spans": [(2, 2)]}, {"spans": [(1, 2, 3)]}, {"continuations": [()]}]
)
def test_a_score_has_something_to_score(wrong):
    with pytest.raises(SpecError):
        Score(**wrong)


def test_a_score_that_nobody_waits_for_frees_the_engine():
    with Served(MODELS["llama"](), prefill_piece=1, prefill_whole=1) as served:
        heard = asked(served, [1] * 60, Score(spans=[(1, 60)]))
        heard.cancel()
        heard.wait()
        assert asked(served, [1, 2], Score(spans=[(1, 2)])).wait().error is None
        assert served.under_way == 0
