"""ByteMLPerf's workload files of language models: read into our jobs, written back as they were.

The original starts a server anew for each combination of ranks, batch size and prompt length, and lets as many clients
as the batch is large ask it again and again for a time. Here a batch size is so many requests under way at a time
(`ClosedLoop`), prompts are seeded tokens of exactly that length and no word repeated, and the time is that of each row.

Files of the first half of 2024 have no sections: all stands at the top, and timed answers have the length of those to
the questions. They are read and written back likewise.

Source: ByteMLPerf at a30b4f9, byte_infer_perf/llm_perf, folder workloads, and core/perf_engine.py; files without
sections at 161ecd7.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Final

import attrs

from bytemlperf.errors import SpecError
from bytemlperf.scenarios import ClosedLoop
from bytemlperf.spec.fields import as_tuple, at_least
from bytemlperf.spec.reading import Json
from bytemlperf.spec.recipe import ConfigValue
from bytemlperf.workload.foreign import Document, ForeignSource
from bytemlperf.workload.job import Job
from bytemlperf.workload.prompts import Lengths
from bytemlperf.workload.workload import Check, DatasetRequest

LLM_KEYS: Final = ("model", "test_accuracy", "test_perf", "min_tp_size", "accuracy_config", "perf_config")
"""What a workload file of a language model holds; all of them are required."""
ACCURACY_KEYS: Final = ("dataset", "min_new_tokens", "max_new_tokens")
"""What its `accuracy_config` holds."""
PERF_KEYS: Final = ("tp_sizes", "batch_sizes", "input_tokens", "output_tokens", "perf_time")
"""What its `perf_config` holds."""
FLAT_KEYS: Final = (
    "model", "test_accuracy", "test_perf", "min_tp_size", "min_new_tokens", "max_new_tokens", "tp_sizes", "batch_sizes",
    "input_tokens", "dataset", "perf_time", "clients",
)  # fmt: skip
"""What a file without sections holds; `min_tp_size` and `clients` may be missing."""
QUESTIONS: Final = 52
"""Questions of the original's file."""
QUERIES_A_SECOND: Final = 10
"""Bound of the requests of each client of a row, which its time ends: an answer takes longer than 0.1 s."""
RANKS: Final = "tensor_parallel"
"""Option of a backend by which a model is divided among so many ranks."""


@attrs.frozen(kw_only=True)
class LanguageWorkload:
    """What a workload file of ByteMLPerf asks of a language model.

    Attributes:
        task: Name of the model.
        accuracy: Whether the 52 questions are asked.
        performance: Whether requests are timed.
        min_ranks: Fewest ranks that have room for the model; the questions are asked with so many.
        ranks: Ranks among which the model is divided, a job each.
        batch_sizes: Requests under way at a time, a row each.
        input_tokens: Tokens of a prompt, a job each.
        output_tokens: Tokens of an answer.
        seconds: Time of a row.
        questions: Data set of the questions, as the file names it.
        min_new_tokens: Fewest tokens of an answer to a question.
        max_new_tokens: Most tokens of it.
    """

    task: str
    accuracy: bool
    performance: bool
    min_ranks: int = attrs.field(default=1, validator=at_least(1))
    ranks: tuple[int, ...] = attrs.field(converter=as_tuple)
    batch_sizes: tuple[int, ...] = attrs.field(converter=as_tuple)
    input_tokens: tuple[int, ...] = attrs.field(converter=as_tuple)
    output_tokens: int = attrs.field(validator=at_least(1))
    seconds: int = attrs.field(validator=at_least(1))
    questions: str
    min_new_tokens: int = attrs.field(default=1, validator=at_least(1))
    max_new_tokens: int = attrs.field(default=512, validator=at_least(1))

    def timed_jobs(self, *, backend: str = "torch", weights: str = "pinned", seed: int = 0) -> tuple[Job, ...]:
        """Return the jobs of its timed runs: one for each number of ranks and each length of prompts.

        Numbers of ranks below the smallest that has room are left out, as in the original. One rank needs no option of
        the backend; more are asked by `tensor_parallel`.

        Args:
            backend: What runs it.
            weights: As `run`.
            seed: As `run`.
        """
        if not self.performance:
            return ()
        scenarios = tuple(
            ClosedLoop(clients=size, queries=QUERIES_A_SECOND * size * self.seconds, max_duration_s=float(self.seconds))
            for size in self.batch_sizes
        )
        return tuple(
            Job(
                task=self.task,
                backend=backend,
                weights=weights,
                seed=seed,
                prompts=Lengths(input=length, output=self.output_tokens),
                scenarios=scenarios,
                checks=[Check.COMPILE, Check.PERFORMANCE],
                options={} if ranks == 1 else {RANKS: ranks},
            )
            for ranks in self.ranks
            if ranks >= self.min_ranks
            for length in self.input_tokens
        )

    def question_job(
        self,
        path: str,
        *,
        backend: str = "torch",
        weights: str = "pinned",
        stop: tuple[int, ...] = (),
        tokenizer: str | None = None,
    ) -> Job | None:
        """Return the job that asks the questions and holds tokens and logits against the reference's; None without.

        Args:
            path: CSV of the questions, which the original ships.
            backend: What runs it.
            weights: As `run`.
            stop: Token ids that end an answer; the original takes the tokenizer's. Without, each has
                `max_new_tokens`.
            tokenizer: Folder or file of the model's tokenizer; None looks beside the questions and the weights.
        """
        if not self.accuracy:
            return None
        return Job(
            task=self.task,
            backend=backend,
            weights=weights,
            asks="generate",
            dataset=_questions(path, tokenizer),
            prompts=Lengths(output=(self.min_new_tokens, self.max_new_tokens), stop=stop),
            checks=[Check.NUMERIC],
            numeric_samples=QUESTIONS,
            options=self._fewest_ranks,
        )

    def perplexity_job(
        self, path: str, *, backend: str = "torch", weights: str = "pinned", tokenizer: str | None = None
    ) -> Job | None:
        """Return the job that scores the questions' own tokens: the perplexity of each; None without questions.

        Args:
            path: As `question_job`.
            backend: What runs it.
            weights: As `run`.
            tokenizer: As `question_job`.
        """
        if not self.accuracy:
            return None
        return Job(
            task=self.task,
            backend=backend,
            weights=weights,
            asks="score",
            dataset=_questions(path, tokenizer, score_prompts=True),
            checks=[Check.ACCURACY],
            options=self._fewest_ranks,
        )

    @property
    def _fewest_ranks(self) -> dict[str, ConfigValue]:
        return {} if self.min_ranks == 1 else {RANKS: self.min_ranks}


def _questions(path: str, tokenizer: str | None, **further: bool) -> DatasetRequest:
    options = {"path": path, **({} if tokenizer is None else {"tokenizer": tokenizer}), **further}
    return DatasetRequest(name="multiple-choice", options=options)


@attrs.frozen(kw_only=True)
class ForeignLanguageWorkload:
    """A workload file of ByteMLPerf for a language model.

    Attributes:
        workload: What it asks for, in our words.
        document: The file as it was read.
        warnings: What a person should know of the reading.
    """

    workload: LanguageWorkload
    document: Document
    warnings: tuple[str, ...] = ()

    @property
    def extras(self) -> Mapping[str, Json]:
        """Members that neither the original nor we know, those of the two sections with their path."""
        if _is_flat(self.document):
            return self.document.unknown(FLAT_KEYS)
        found = dict(self.document.unknown(LLM_KEYS))
        for key, known in (("accuracy_config", ACCURACY_KEYS), ("perf_config", PERF_KEYS)):
            section = _section(self.document, key)
            found |= {f"{key}.{name}": value for name, value in section.unknown(known).items()}
        return found


def read_language_workload(source: ForeignSource) -> ForeignLanguageWorkload:
    """Read a workload file of ByteMLPerf for a language model.

    Args:
        source: The file, or what it holds.

    Raises:
        SpecError: If something is missing or wrong; the message names the file and the path.

    Example:
        >>> read = read_language_workload({"model": "llama2-7b-torch-fp16", "test_accuracy": True, "test_perf": True,
        ...     "min_tp_size": 1, "accuracy_config": {"dataset": "llm_perf/datasets/merged_52_test.csv",
        ...     "min_new_tokens": 1, "max_new_tokens": 512}, "perf_config": {"tp_sizes": [1, 2], "batch_sizes": [1, 8],
        ...     "input_tokens": [1024, 2048], "output_tokens": 200, "perf_time": 100}})
        >>> [(job.options, job.prompts.input) for job in read.workload.timed_jobs()][:2]
        [({}, (1024, 1024)), ({}, (2048, 2048))]
    """
    document = Document.load(source)
    flat = _is_flat(document)
    asked, timed = _section(document, "accuracy_config"), _section(document, "perf_config")
    workload = LanguageWorkload(
        task=document.task_name("model"),
        accuracy=document.flag("test_accuracy"),
        performance=document.flag("test_perf"),
        min_ranks=1 if flat and "min_tp_size" not in document.fields else document.whole("min_tp_size"),
        ranks=timed.wholes("tp_sizes"),
        batch_sizes=timed.wholes("batch_sizes"),
        input_tokens=timed.wholes("input_tokens"),
        output_tokens=timed.whole("max_new_tokens" if flat else "output_tokens"),
        seconds=timed.whole("perf_time"),
        questions=asked.text("dataset"),
        min_new_tokens=max(1, asked.whole("min_new_tokens", low=0 if flat else 1)),
        max_new_tokens=asked.whole("max_new_tokens"),
    )
    if workload.min_new_tokens > workload.max_new_tokens:
        asked.refuse("more tokens at least than at most", "$.min_new_tokens", got=workload.min_new_tokens)
    read = ForeignLanguageWorkload(workload=workload, document=document)
    return attrs.evolve(read, warnings=_warnings(read))


def write_language_workload(foreign: ForeignLanguageWorkload) -> dict[str, Json]:
    """Return what the file would hold: as it was read, but for what was changed in `workload` since."""
    before, now = read_language_workload(foreign.document.fields).workload, foreign.workload
    written = copy.deepcopy(dict(foreign.document.fields))
    flat = _is_flat(foreign.document)
    if flat and now.output_tokens != now.max_new_tokens:
        raise SpecError(
            "a file without sections has one length of answers",
            where="$.max_new_tokens",
            got=f"output_tokens {now.output_tokens}, max_new_tokens {now.max_new_tokens}",
            expected="the same",
        )
    for path, name in (_FLAT_PLACES if flat else _PLACES).items():
        value = getattr(now, name)
        if value != getattr(before, name):
            section, _, key = path.rpartition(".")
            target = written[section] if section else written
            assert isinstance(target, dict), "read as an object"
            target[key] = list(value) if isinstance(value, tuple) else value
    return written


_PLACES: Final[Mapping[str, str]] = {
    "model": "task",
    "test_accuracy": "accuracy",
    "test_perf": "performance",
    "min_tp_size": "min_ranks",
    "accuracy_config.dataset": "questions",
    "accuracy_config.min_new_tokens": "min_new_tokens",
    "accuracy_config.max_new_tokens": "max_new_tokens",
    "perf_config.tp_sizes": "ranks",
    "perf_config.batch_sizes": "batch_sizes",
    "perf_config.input_tokens": "input_tokens",
    "perf_config.output_tokens": "output_tokens",
    "perf_config.perf_time": "seconds",
}
"""Where a file has what a field says."""
_FLAT_PLACES: Final[Mapping[str, str]] = {
    path.rpartition(".")[2]: name for path, name in _PLACES.items() if name != "output_tokens"
}


def _is_flat(document: Document) -> bool:
    """Whether it is a file of the older layout, without sections."""
    sections = {"accuracy_config", "perf_config"}
    return not sections & document.fields.keys() and "max_new_tokens" in document.fields


def _section(document: Document, key: str) -> Document:
    """Return an object of the file as a document, whose errors name their place in the whole; or the flat file."""
    if _is_flat(document):
        return document
    value = document.value(key)
    if not isinstance(value, dict):
        document.refuse("wrong type", f"$.{key}", got=value, expected="an object")
    return _Section(file=document.file, fields=value, key=key)


@attrs.frozen(kw_only=True)
class _Section(Document):
    """An object inside a file."""

    key: str

    def place(self, path: str) -> str:
        """Return a path from the top of the file."""
        inner = path.removeprefix("$")
        return super().place(f"$.{self.key}{inner}")


def _warnings(read: ForeignLanguageWorkload) -> tuple[str, ...]:
    document, workload = read.document, read.workload
    told = _layout_warnings(document, workload)
    left_out = [ranks for ranks in workload.ranks if ranks < workload.min_ranks]
    if left_out:
        place = _section(document, "perf_config").place("$.tp_sizes")
        told.append(f"{', '.join(map(str, left_out))} ranks are below min_tp_size and left out (at {place})")
    if workload.accuracy:
        place = _section(document, "accuracy_config").place("$.dataset")
        told.append(
            f"the questions have no answers: tokens and logits are compared, no accuracy is measured (at {place})"
        )
    return tuple(told)


def _layout_warnings(document: Document, workload: LanguageWorkload) -> list[str]:
    if not _is_flat(document):
        return [
            *document.unknown_warnings(LLM_KEYS),
            *_section(document, "accuracy_config").unknown_warnings(ACCURACY_KEYS),
            *_section(document, "perf_config").unknown_warnings(PERF_KEYS),
        ]
    told = list(document.unknown_warnings(FLAT_KEYS))
    if "clients" in document.fields:
        told.append(f"not used: a batch size is the number of clients (at {document.place('$.clients')})")
    if workload.min_new_tokens != workload.max_new_tokens:
        place = document.place("$.max_new_tokens")
        told.append(f"timed answers have exactly {workload.max_new_tokens} tokens (at {place})")
    return told
