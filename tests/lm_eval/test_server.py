"""A server of OpenAI's API under lm-evaluation-harness, against its own model of transformers."""

import numpy as np
import pytest
import torch
from lm_eval.models.huggingface import HFLM
from tests.lm_eval.test_model import LONG, PAIRS, SHORT, relative
from tests.lm_eval.twins import CONTEXT, asked

from bytemlperf.errors import PredictError, SpecError, UnsupportedAskError
from bytemlperf.lm_eval import BackendLM
from bytemlperf.testing.token_server import Script, ServerFault, TokenServer


def scores(model):
    """Log-probability of each token of an echoed prompt by a model of transformers, as a server would tell them."""

    @torch.no_grad()
    def told(ids):
        likely = model(torch.tensor([list(ids)])).logits[0, :-1].double().log_softmax(-1)
        return [None, *likely.gather(1, torch.tensor(list(ids[1:]))[:, None])[:, 0].tolist()]

    return told


def served(plain, server, **given):
    return BackendLM(**plain.ours, backend="openai", options={"url": server.url}, **given)


def test_a_servers_scores_are_those_of_transformers_in_the_room_that_it_leaves(plain):
    """A server wants room for a token that it answers: contexts are shorter by it, as lm-eval's own client has them."""
    theirs = HFLM(pretrained=plain.theirs.model, tokenizer=plain.theirs.tokenizer, max_length=CONTEXT - 2, batch_size=1)
    pairs, texts = asked("loglikelihood", *PAIRS), asked("loglikelihood_rolling", (LONG,), (SHORT,))
    with (
        TokenServer(Script(scores=scores(plain.theirs.model), length=CONTEXT)) as server,
        served(plain, server) as model,
    ):
        found, expected = model.loglikelihood(pairs), theirs.loglikelihood(pairs)
        rolled = [each.loglikelihood_rolling(texts) for each in (model, theirs)]
        longest = max(len(prompt) for each in server.served for prompt in each.body["prompt"])
    assert relative([value for value, _ in found], [value for value, _ in expected]) <= 1e-5
    assert relative(*rolled) <= 1e-5
    assert longest + 1 == CONTEXT


@pytest.mark.parametrize("token_ids", [False, True])
def test_a_server_tells_text_or_tokens(plain, token_ids):
    script = Script(tokens=(0, 1, 2), text=" né;", token_ids=token_ids)
    settings = {"until": [";"], "max_gen_toks": 4, "temperature": 0.7, "top_p": 0.5}
    with TokenServer(script) as server, served(plain, server, max_length=CONTEXT) as model:
        found = model.generate_until(asked("generate_until", (SHORT, settings), (LONG, {"max_gen_toks": 4})))
        text = plain.theirs.tok_decode([0, 1, 2])
        bodies = sorted((each.body for each in server.served), key=lambda body: len(body["prompt"]))
    assert found == ([text.partition(";")[0], text] if token_ids else [" né", " né; né; né;"])
    assert bodies[0]["prompt"] == plain.theirs.tok_encode(SHORT)
    assert bodies[1]["prompt"] == plain.theirs.tok_encode(LONG)[-(CONTEXT - 4) :]
    assert (bodies[0]["max_tokens"], bodies[0]["temperature"], bodies[0]["top_p"]) == (4, 0.7, 0.5)
    assert model.eot_token_id in bodies[0]["stop_token_ids"]


def test_many_requests_are_under_way_at_a_time(plain):
    script = Script(tokens=(1,), first_s=0.05)
    with TokenServer(script) as server, served(plain, server, max_length=CONTEXT, num_concurrent=12) as model:
        model.generate_until(asked("generate_until", *((f"{number}", {"max_gen_toks": 1}) for number in range(24))))
        spans = [(each.asked_ns, each.sent_ns[-1]) for each in server.served]
    most = max(sum(begin <= now < end for begin, end in spans) for now, _ in spans)
    assert 6 < most <= 12


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (Script(), UnsupportedAskError),
        (Script(faults=(ServerFault.STATUS_500,), scores=lambda ids: np.zeros(len(ids)).tolist()), PredictError),
    ],
)
def test_a_server_that_does_not_score_or_fails_is_a_typed_error(plain, script, error):
    with TokenServer(script) as server, served(plain, server, max_length=CONTEXT) as model, pytest.raises(error):
        model.loglikelihood(asked("loglikelihood", ("a", " b")))


def test_how_long_a_text_may_be_has_to_be_said_where_the_server_does_not(plain):
    with TokenServer(Script()) as server, pytest.raises(SpecError, match="is not known; say it: max_length"):
        served(plain, server)


def test_the_servers_key_reaches_the_worker_by_its_name(plain, monkeypatch):
    monkeypatch.setenv("A_KEY_OF_MINE", "secret-17")
    with TokenServer(Script()) as server:
        options = {"url": server.url, "key_env": "A_KEY_OF_MINE"}
        given = {**plain.ours, "backend": "openai", "options": options, "max_length": CONTEXT}
        with BackendLM(**given, pass_env="A_KEY_OF_MINE") as model:
            model.generate_until(asked("generate_until", ("a", {"max_gen_toks": 4})))
            told = str(model.get_model_info())
    assert server.served[0].headers["authorization"] == "Bearer secret-17"
    assert "secret-17" not in told
