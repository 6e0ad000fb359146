"""The model that lm-evaluation-harness sees."""

from __future__ import annotations

import contextlib
import logging
import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Self

import lm_eval.models  # noqa: F401 - lm-eval's own models are registered first: a register that is not empty is not filled
import numpy as np
from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs, postprocess_generated_text
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from bytemlperf.api import BackendLike, TaskLike, make_request
from bytemlperf.datasets.scored import token_queries
from bytemlperf.errors import SpecError
from bytemlperf.evaluation.languagemodel import language_model
from bytemlperf.evaluation.scores import CLIENTS
from bytemlperf.lm_eval.opening import length_of, limits_of, task_of, worker_of
from bytemlperf.lm_eval.progress import Bar
from bytemlperf.lm_eval.requests import (
    ANSWERS_IN_A_WAVE,
    SCORES_IN_A_WAVE,
    fitted,
    generation,
    joined,
    score_queries,
    waves,
)
from bytemlperf.lm_eval.texts import Texts
from bytemlperf.spec import to_json
from bytemlperf.spec.recipe import ConfigValue
from bytemlperf.worker import Worker
from bytemlperf.workload import Limits

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance

    from bytemlperf.sample import Generation

logger = logging.getLogger(__name__)

NAME: Final = "bytemlperf"
"""Of this model in lm-evaluation-harness' register."""


@register_model(NAME)
class BackendLM(TemplateLM):  # type: ignore[misc]
    """Any of our backends that answers `score` or `generate`, as a model of lm-evaluation-harness.

    Requests go the way of `run`: to a worker process, many under way at a time, so that an engine joins them. What goes
    wrong there is raised as a `BenchmarkError`; the next request is asked of a fresh worker. Texts are cut from the
    left and scored in windows as lm-evaluation-harness' own models do, so that figures are the same.

    Args:
        model: As the task of `run`: a name, a spec, an artifact, a job; or the path of a job's `.json`.
        backend: As `run`; None for the job's, or else `cpu`.
        weights: As `run`.
        tokenizer: Folder of the tokenizer's files, or one of them; None looks among the files of the model's sources.
        options: As `run`: fields of the backend's options class.
        precision: As `run`.
        device: In the framework's own words, such as `cuda:0`.
        seed: Of random weights and of draws; each request has a stream of its own.
        max_length: Most tokens of a text with its answer; None for what the backend tells.
        max_gen_toks: Most tokens of an answer where a task does not say.
        num_concurrent: Requests under way at a time, where the backend takes so many.
        begin: Tokens that go before a text, with spaces between; empty for none, None for those that the model's makers
            put there.
        end: Name of the token that ends a text; None for what the tokenizer's files say.
        prefix_token_id: Id of the token before a text that stands alone; None for the one that goes before every text,
            or else the one that ends them.
        limits: As `run`, or its fields; `step_s` does not count.
        worker: As `run`.
        pass_env: Names of environment variables that the worker gets besides, such as that of a server's key.
        batch_size: lm-evaluation-harness' own argument; says nothing, for an engine joins what is under way.
        max_batch_size: The same.

    Raises:
        RequestError: If what is asked for cannot be; a backend or a limit that has not enough room for the model's
            context is among it, unless `max_length` says that less is meant.
        BenchmarkError: If the backend, the model or the tokenizer cannot be had, or the model cannot be compiled.

    Example:
        ::

            with BackendLM("llama2-7b-torch-fp16", backend="torch", tokenizer="path/of/its/folder") as model:
                results = lm_eval.simple_evaluate(model=model, tasks=["hellaswag"])
    """

    def __init__(
        self,
        model: TaskLike,
        *,
        backend: BackendLike | None = None,
        weights: str | None = None,
        tokenizer: str | None = None,
        options: Mapping[str, ConfigValue] | None = None,
        precision: str | None = None,
        device: str | None = None,
        seed: int | None = None,
        max_length: int | None = None,
        max_gen_toks: int = 256,
        num_concurrent: int = CLIENTS,
        begin: str | None = None,
        end: str | None = None,
        prefix_token_id: int | None = None,
        limits: Limits | Mapping[str, Any] | None = None,
        worker: Worker | None = None,
        pass_env: str | Sequence[str] = (),
        batch_size: int | str | None = None,  # noqa: ARG002 - lm-eval gives it to every model
        max_batch_size: int | None = None,  # noqa: ARG002 - the same
    ) -> None:
        """Load backend, model and tokenizer, and compile."""
        super().__init__()
        request = make_request(
            task_of(model),
            backend=backend,
            dataset=None,
            worker=worker_of(worker, pass_env),
            fields={
                "asks": "score",
                "weights": weights,
                "options": options,
                "precision": precision,
                "devices": None if device is None else (device,),
                "seed": seed,
                "limits": limits_of(limits),
            },
        )
        self.max_gen_toks = max_gen_toks
        self._seed, self._drawn = request.job.seed, 0
        self._texts = Texts(request.spec, tokenizer, begin=begin, end=end, alone=prefix_token_id)
        self._bar = Bar()
        with contextlib.ExitStack() as stack:
            held = language_model(request, clients=num_concurrent, progress=self._bar)
            self._model = stack.enter_context(held)
            self.max_length = length_of(self._model, max_length)
            self._closing = weakref.finalize(self, stack.pop_all().close)

    @property
    def eot_token_id(self) -> int:
        """Id of the token that ends a text."""
        return self._texts.end

    @property
    def prefix_token_id(self) -> int:
        """Id of the token before a text that stands alone."""
        return self._texts.alone

    @property
    def tokenizer_name(self) -> str:
        """What tells requests of this tokenizer from those of another, where lm-evaluation-harness keeps them."""
        return self._texts.name

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: object) -> list[int]:  # noqa: FBT001 - lm-eval's own signature
        """Return a text's token ids, with what goes before it unless `add_special_tokens` is False."""
        return self._texts.encode(string, begin=add_special_tokens is not False)

    def loglikelihood_rolling(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[float]:  # noqa: FBT001, FBT002 - as above
        """Return the log-likelihood of each whole text, in windows of the model's context.

        Raises:
            BenchmarkError: If the backend does not score, or by what went wrong there.
        """
        windows = [self._windows(request.args[0]) for request in requests]
        asked = [(None, *window) for each in windows for window in each]
        scored = iter(self._loglikelihood_tokens(asked, disable_tqdm=disable_tqdm))
        sums = [sum((next(scored)[0] for _ in each), start=0.0) for each in windows]
        for request, value in zip(requests, sums, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, value)
        return sums

    def generate_until(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[str]:  # noqa: FBT001, FBT002 - as above
        """Return what is generated after each context, up to the first of its stop strings.

        Raises:
            BenchmarkError: If the backend does not generate, or by what went wrong there.
            SpecError: If a task generates in a way that backends are not asked for, or leaves no room for a context.
        """
        asked = [self._asked(*request.args) for request in requests]
        found: list[str] = []
        with self._bar.shown("generate_until", len(asked), hidden=disable_tqdm):
            for part in waves(len(asked), ANSWERS_IN_A_WAVE):
                queries = token_queries(
                    [np.array(row) for row, _, _ in asked[part]], [ask for _, ask, _ in asked[part]]
                )
                for request, (_, _, until), written in zip(
                    requests[part], asked[part], self._model.answers(queries), strict=True
                ):
                    text = postprocess_generated_text(self._texts.text_of(written), until, think_end_token=None)
                    self.cache_hook.add_partial("generate_until", request.args, text)
                    found.append(text)
        return found

    def apply_chat_template(self, chat_history: Sequence[Mapping[str, str]], add_generation_prompt: bool = True) -> str:  # noqa: ARG002, FBT001, FBT002 - as above
        """Refuse: tokenizers are read here without their chat templates.

        Raises:
            SpecError: Always.
        """
        raise SpecError("chat templates are not applied here", remedy="leave out apply_chat_template")

    def get_model_info(self) -> dict[str, Any]:
        """Return what lm-evaluation-harness writes beside its results: model, weights, backend, precision."""
        held = self._model
        return {
            NAME: {
                "model": held.artifact.name,
                "weights": {"provenance": str(held.artifact.provenance), "sha256": held.artifact.sha256},
                "backend": held.description.name,
                "version": held.description.version,
                "compiled": to_json(held.info),
                "max_length": self.max_length,
            }
        }

    def close(self) -> None:
        """End the worker; twice is harmless. It also ends with this object, and with the program."""
        self._closing()

    def __enter__(self) -> Self:
        """Use the model in a `with` block that closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    @property
    def _reads(self) -> int:
        """Tokens that are read at most to predict another: a server wants room for that one, and for one more."""
        return self.max_length - 2 if self._model.description.remote else self.max_length

    def _loglikelihood_tokens(
        self,
        requests: Sequence[tuple[tuple[str, str] | None, Sequence[int], Sequence[int]]],
        disable_tqdm: bool = False,  # noqa: FBT001, FBT002 - as above
    ) -> list[tuple[float, bool]]:
        pairs = [fitted(context, continuation, reads=self._reads) for _, context, continuation in requests]
        cut = sum(len(kept) < len(context) for (kept, _), (_, context, _) in zip(pairs, requests, strict=True))
        if cut:
            logger.warning("%d of %d contexts were cut from the left to %d tokens", cut, len(pairs), self._reads)
        groups, found = joined(pairs), [(0.0, False)] * len(pairs)
        with self._bar.shown("loglikelihood", len(groups), hidden=disable_tqdm):
            for part in waves(len(groups), SCORES_IN_A_WAVE):
                wave = groups[part]
                for group, answer in zip(wave, self._model.scores(score_queries(wave)), strict=True):
                    likely, greedy = answer["log_likelihood"][0].tolist(), answer["greedy"][0].tolist()
                    for place, *told in zip(group.places, likely, greedy, strict=True):
                        found[place] = (told[0], told[1])
                        if requests[place][0] is not None:
                            self.cache_hook.add_partial("loglikelihood", requests[place][0], found[place])
        return found

    def _windows(self, text: str) -> list[tuple[list[int], list[int]]]:
        ids = self.tok_encode(text)
        told = get_rolling_token_windows(ids, self.prefix_token_id, self._reads, context_len=1)
        return [make_disjoint_window(each) for each in told]

    def _asked(self, context: str, settings: Mapping[str, Any]) -> tuple[list[int], Generation, list[str]]:
        """Return the tokens of a context, what is asked after them, and the strings that end the answer."""
        told = dict(normalize_gen_kwargs(settings, self.max_gen_toks))
        until = handle_stop_sequences(told.pop("until"), eos=self._texts.end_name)
        room = self.max_length - told["max_gen_toks"]
        if room < 1:
            raise SpecError(
                "an answer leaves no room for its context",
                where="max_gen_toks",
                got=told["max_gen_toks"],
                expected=f"less than max_length, {self.max_length}",
            )
        ids = self.tok_encode(context) or [self.prefix_token_id]
        if len(ids) > room:
            logger.warning("a context of %d tokens was cut from the left to %d", len(ids), room)
        self._drawn += 1
        return ids[-room:], generation(told, seed=self._seed + self._drawn, stop=self._texts.stop_ids(until)), until
