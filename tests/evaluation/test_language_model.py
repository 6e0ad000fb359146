"""A language model that is held open and asked, without a data set."""

import numpy as np
import pytest
from tests.evaluation.test_generating import SMALL

from bytemlperf.api import make_request
from bytemlperf.backends import AsyncBackend, CompiledModel, CompileInfo
from bytemlperf.datasets.scored import token_queries
from bytemlperf.errors import InputMismatchError, TimeLimitError, UnsupportedAskError
from bytemlperf.evaluation.languagemodel import language_model
from bytemlperf.sample import Generation, Score
from bytemlperf.spec import Format
from bytemlperf.workload import Limits

ROWS = [np.array([5, 6, 7]), np.array([8])]


def held(backend, limits=None, **given):
    fields = {"asks": "score", "weights": "random", "limits": limits}
    return language_model(make_request(SMALL, backend=backend, dataset=None, worker=None, fields=fields), **given)


def test_scores_and_answers_come_from_one_worker_in_the_order_of_the_questions():
    heard = []
    with held("torch", clients=3, progress=lambda done, total: heard.append((done, total))) as model:
        first = model.answers(token_queries(ROWS, [Generation(max_new_tokens=4)] * 2))
        asks = [Score(continuations=[each.tokens.tolist(), each.tokens.tolist()[:1]]) for each in first]
        scored = model.scores(token_queries(ROWS, asks))
        assert model.info.optimizations["context"] == 64
    assert [len(each.tokens) for each in first] == [4, 4]
    assert all(each.text is None for each in first)
    for each in scored:
        assert each["greedy"].tolist() == [[True, True]]  # what was chosen is the likeliest
        assert each["log_likelihood"][0, 0] < each["log_likelihood"][0, 1] < 0
    assert all(done <= total == 2 for done, total in heard)


class Telling(AsyncBackend):
    """Answers with given parts."""

    formats = frozenset(Format)
    name = "telling"

    def __init__(self, *parts):
        self.parts = parts

    def compile(self, artifact, options):
        return CompiledModel(None, CompileInfo(precision="fp32"))

    def submit(self, compiled, batch, reply):
        for part in self.parts:
            reply.chunk(part, 1)
        reply.done(tokens=len(self.parts))


def bytes_of(text):
    return np.frombuffer(text.encode(), np.uint8)


@pytest.mark.parametrize(
    ("parts", "tokens", "text"),
    [
        ((), [], None),
        (({}, {"tokens": np.array([[4, 5]])}, {"tokens": np.array([6])}), [4, 5, 6], None),
        (({"tokens": np.array([[4]]), "logits": np.zeros((1, 1, 3), np.float32)},), [4], None),
        (({}, {"text": bytes_of("n")}, {"text": bytes_of("é")[:1]}, {"text": bytes_of("é")[1:]}), [], "né"),
    ],
)
def test_an_answer_is_tokens_or_text_in_parts(parts, tokens, text):
    with held(Telling(*parts)) as model:
        (found,) = model.answers(token_queries(ROWS[:1], [Generation(max_new_tokens=4)]))
    assert (found.tokens.tolist(), found.text) == (tokens, text)


def test_an_answer_that_is_neither_is_told():
    with held(Telling({"logits": np.zeros((1, 3, 4))})) as model:
        with pytest.raises(UnsupportedAskError, match=r"does not generate; got \['logits'\]; expected text or tokens"):
            model.answers(token_queries(ROWS[:1], [Generation(max_new_tokens=4)]))
        with pytest.raises(UnsupportedAskError, match="does not score"):
            model.scores(token_queries(ROWS[:1], [Score(continuations=[(1,)])]))


def test_one_wrong_question_is_an_error_and_the_next_are_answered():
    with held("torch") as model:
        with pytest.raises(InputMismatchError, match="unknown token"):
            model.scores(token_queries(ROWS, [Score(continuations=[(each,)]) for each in (3, 64)]))
        assert len(model.scores(token_queries(ROWS, [Score(continuations=[(3,)])] * 2))) == 2


def test_the_whole_times_limit_holds():
    with pytest.raises(TimeLimitError, match="total_s"), held("torch", Limits(total_s=0.01)):
        pass
