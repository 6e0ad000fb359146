"""A language model that is held open, for questions that come from elsewhere than a data set."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.artifact import ModelArtifact
from bytemlperf.errors import UnsupportedAskError
from bytemlperf.evaluation.answers import ask_together
from bytemlperf.evaluation.ready import artifact_for, converted_for, load, opener_of, options_of
from bytemlperf.evaluation.scores import CLIENTS, checked_scores
from bytemlperf.evaluation.session import Session
from bytemlperf.evaluation.workbench import Workbench
from bytemlperf.worker import BackendDescription

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bytemlperf.backends import CompileInfo
    from bytemlperf.evaluation.request import Request
    from bytemlperf.sample import Array, BatchSet
    from bytemlperf.worker import Progress

logger = logging.getLogger(__name__)

_NO_BOUND_S: Final = 1e9
_GENERATED: Final = frozenset({"tokens", "text"})


@attrs.frozen(eq=False)
class Written:
    """What was generated after one prompt.

    Attributes:
        tokens: int64[n]; empty where the engine told only their text.
        text: That text; None where it told tokens.
    """

    tokens: NDArray[np.int64]
    text: str | None = None


@attrs.frozen(kw_only=True, eq=False)
class LanguageModel:
    """A compiled model that answers questions about tokens, each one sample.

    Attributes:
        description: What the backend says of itself.
        artifact: The model, as the zoo gave it.
        bench: Holds it compiled; after a crash the next question is asked of a fresh worker.
        clients: Questions under way at a time, where the backend takes so many.
    """

    description: BackendDescription
    artifact: ModelArtifact
    bench: Workbench
    clients: int

    @property
    def info(self) -> CompileInfo:
        """What the compiler did; it is compiled where it has to be.

        Raises:
            BenchmarkError: If it cannot be compiled.
        """
        return self.bench.compile(1).info

    def scores(self, queries: BatchSet) -> list[Mapping[str, Array]]:
        """Ask how likely tokens are; return `log_likelihood` and `greedy`, [1, columns], of each query.

        Args:
            queries: Each with a `Score`, as `token_queries` makes them.

        Raises:
            UnsupportedAskError: If the backend does not score.
            BenchmarkError: By what else went wrong with the first query that failed.
        """
        self.description.check_asked("score")
        return checked_scores(ask_together(self.bench, queries, step="score", clients=self.clients), queries)

    def answers(self, queries: BatchSet) -> list[Written]:
        """Ask for tokens after prompts; return what was generated after each.

        Args:
            queries: Each with a `Generation`, as `token_queries` makes them.

        Raises:
            UnsupportedAskError: If the backend does not generate.
            BenchmarkError: By what else went wrong with the first query that failed.
        """
        self.description.check_asked("generate")
        answers = ask_together(self.bench, queries, step="generate", clients=self.clients)
        return [_written(answers.parts(query) if query in answers else ()) for query in range(len(queries))]


def _written(parts: Sequence[Mapping[str, Array]]) -> Written:
    foreign = next((part for part in parts if part and not _GENERATED & part.keys()), None)
    if foreign is not None:
        raise UnsupportedAskError(
            "the backend does not generate", got=sorted(foreign), expected=" or ".join(sorted(_GENERATED))
        )
    tokens = [np.zeros(0, np.int64), *(np.ravel(part["tokens"]) for part in parts if "tokens" in part)]
    texts = [np.asarray(part["text"], np.uint8).tobytes() for part in parts if "text" in part]
    text = b"".join(texts).decode(errors="replace") if texts else None
    return Written(tokens=np.concatenate(tokens).astype(np.int64), text=text)


@contextlib.contextmanager
def language_model(
    request: Request, *, clients: int = CLIENTS, progress: Progress | None = None
) -> Iterator[LanguageModel]:
    """Hold a request's model open on its backend, and end what was started with the block.

    What the job asks for does not count, nor its data. A series of questions may take as long as it does: the limits
    `query_s` and `total_s` hold, `step_s` does not.

    Args:
        request: Model, backend and limits.
        clients: Questions under way at a time, where the backend takes so many.
        progress: Hears how far a series is.

    Raises:
        RequestError: If what was asked for cannot be.
        BenchmarkError: If the backend cannot be loaded, or the model cannot be had or converted.
    """
    with tempfile.TemporaryDirectory(prefix="bytemlperf-", ignore_cleanup_errors=True) as scratch:
        session = Session(request, Path(scratch))
        limits = attrs.evolve(session.watch.limits, step_s=_NO_BOUND_S)
        with contextlib.closing(opener_of(session)) as opener:
            description = load(session, opener)
            artifact = artifact_for(session, description)
            options = options_of(session)
            converted = converted_for(session, description, artifact, opener, options)
            with Workbench(
                opener,
                artifact=converted.artifact,
                options=options,
                watch=attrs.evolve(session.watch, limits=limits, progress=progress),
                on_trouble=lambda problem: logger.warning("%s: %s", description.name, problem),
                max_crashes=limits.max_crashes,
            ) as bench:
                yield LanguageModel(description=description, artifact=artifact, bench=bench, clients=clients)
