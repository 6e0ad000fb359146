"""Keeps a backend at hand with a model compiled, and takes a fresh worker after a crash."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Self

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends import AnyBackend
from bytemlperf.errors import CompileError, CrashError, FailureCode, RequestError
from bytemlperf.sample import BatchSet
from bytemlperf.worker import (
    BackendDescription,
    Compilation,
    InlineTarget,
    Isolation,
    ProcessTarget,
    Recording,
    Series,
    Target,
    Tuning,
    VendorFigures,
    Watch,
    Worker,
)


class Opener:
    """Makes targets for one backend: a fresh worker each time, or the caller's one instance.

    Args:
        reference: `package.module:Class`; ignored for an instance.
        instance: The caller's own backend, used in this process.
        worker: How to start workers.
        folder: Where workers keep their files.
    """

    def __init__(
        self, *, reference: str, instance: AnyBackend | None = None, worker: Worker | None = None, folder: Path
    ) -> None:
        """Keep what targets are made of."""
        self.reference = reference
        self._instance = instance
        self._worker = worker or Worker()
        self._folder = folder
        self._numbers = itertools.count(1)
        self._spare: Target | None = None

    @property
    def isolation(self) -> Isolation:
        """Whether targets are in this process."""
        return Isolation.INLINE if self._instance is not None else Isolation.WORKER

    def spare(self, watch: Watch) -> Target:
        """Make a target ahead, to be described; the next `open` gives it.

        Raises:
            BenchmarkError: If the backend cannot be loaded, by what went wrong.
        """
        if self._spare is None:
            self._spare = self.open(watch)
        return self._spare

    def close(self) -> None:
        """End a target that was made ahead and never given."""
        spare, self._spare = self._spare, None
        if spare is not None:
            spare.close()

    def open(self, watch: Watch) -> Target:
        """Make a target, or give the one that was made ahead.

        Raises:
            BenchmarkError: If the backend cannot be loaded, by what went wrong.
        """
        spare, self._spare = self._spare, None
        if spare is not None and not (isinstance(spare, ProcessTarget) and not spare.alive):
            return spare
        if self._instance is not None:
            return InlineTarget(self._instance)
        folder = self._folder / f"worker-{next(self._numbers):03d}"
        return ProcessTarget(self.reference, worker=self._worker, folder=folder, watch=watch)


_BROKEN: Final = frozenset({FailureCode.CRASH, FailureCode.TIME_LIMIT})
"""Failures of queries after which a compiled model is not asked again, though its worker may live."""


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Tell what a backend's own code finds wrong with its values as its refusal, and not as a bad request.

    Raises:
        CompileError: For a RequestError in the block.
    """
    try:
        yield
    except RequestError as error:
        raise CompileError("the backend refused what it was given", got=str(error)) from error


class Workbench:
    """One backend with at most one compiled model; use it in a `with` block.

    Args:
        opener: Makes targets.
        artifact: What is compiled.
        options: Fields of the backend's options, without the batch size.
        watch: What may end a step early.
        on_trouble: Hears what went wrong at a worker's end.
        max_crashes: Fresh workers that are taken after crashes.
        tuned: What the backend has chosen among its options, by the batch size that is compiled; may grow.
    """

    def __init__(
        self,
        opener: Opener,
        *,
        artifact: ModelArtifact,
        options: Mapping[str, Any],
        watch: Watch,
        on_trouble: Callable[[str], None],
        max_crashes: int,
        tuned: Mapping[int | None, Tuning] | None = None,
    ) -> None:
        """Open nothing yet."""
        self._opener, self._artifact, self._options, self._watch = opener, artifact, options, watch
        self._tuned = {} if tuned is None else tuned
        self._on_trouble = on_trouble
        self._crashes_left = max_crashes
        self._target: Target | None = None
        self._compiled: tuple[int | None, Compilation] | None = None
        self._has_compiled = False

    def __enter__(self) -> Self:
        """Use the bench."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the target and tell what went wrong at its end."""
        self.close()

    @property
    def description(self) -> BackendDescription:
        """What the backend says of itself."""
        return self.target().description

    def target(self) -> Target:
        """Return a living target.

        Raises:
            CrashError: If workers crashed too often.
        """
        if isinstance(self._target, ProcessTarget) and not self._target.alive:
            self.close()
            self._crashes_left -= 1
        if self._crashes_left < 0:
            raise CrashError("the backend crashed too often; the rest was given up", remedy="raise limits.max_crashes")
        if self._target is None:
            self._target = self._opener.open(self._watch)
        return self._target

    def compile(self, batch_size: int) -> Compilation:
        """Have the model compiled for a batch size, anew only where it must be.

        Raises:
            BenchmarkError: Typed by what went wrong.
        """
        target = self.target()
        wanted = None if target.description.takes_every_batch(self._artifact.format) else batch_size
        if self._compiled is None or self._compiled[0] != wanted:
            self._compiled = None
            self._has_compiled = True
            with refusals():
                self._compiled = (wanted, target.compile(self._artifact, self._asked(wanted), self._watch))
        return self._compiled[1]

    def _asked(self, batch_size: int | None) -> Mapping[str, Any]:
        """Return the options of a compile; engines for one batch size have a cache folder each."""
        chosen = self._tuned[batch_size].changed if batch_size in self._tuned else {}
        folder = Path(self._options["work_dir"])
        if batch_size is not None:
            folder /= f"batch={batch_size}"
        folder.mkdir(parents=True, exist_ok=True)
        return {**self._options, **chosen, "batch_size": batch_size, "work_dir": str(folder)}

    def take(self, artifact: ModelArtifact, *, work_dir: Path, rewrite: bool = False) -> None:
        """Compile another model from now on, in the same process.

        Args:
            artifact: In a format that the backend takes.
            work_dir: For what the backend writes: no engine of another model is to be found there.
            rewrite: Let the backend rewrite it first, as it does with the model that is evaluated.

        Raises:
            BenchmarkError: If the backend cannot rewrite it.
        """
        work_dir.mkdir(parents=True, exist_ok=True)
        self._options = {**self._options, "work_dir": str(work_dir)}
        self._compiled = None
        if rewrite:
            with refusals():
                artifact = self.target().convert(artifact, self._options, self._watch).artifact
        self._artifact = artifact

    def renew(self) -> None:
        """See that the next compile is a cold one: in a target that has compiled nothing yet."""
        if self._has_compiled:
            self.close()

    def issue(self, series: Series) -> Recording:
        """Issue a series at the batch size of its calls, compiled again where a worker or a part of one has died.

        Raises:
            BenchmarkError: If it cannot be compiled; what goes wrong later is in the recording.
        """
        self.compile(series.batches.size if series.batching is None else series.batching.size)
        recording = self.target().issue(series, self._watch)
        if any(failure.code in _BROKEN for failure in recording.failures):
            self._compiled = None  # such as an engine over several processes, of which one is gone
        return recording

    def vendor_benchmark(self, batches: BatchSet) -> VendorFigures:
        """Have the vendor's own tool measure what is compiled for the batches' size.

        Raises:
            BenchmarkError: Typed by what went wrong.
        """
        self.compile(batches.size)
        with refusals():
            return self.target().vendor_benchmark(batches, self._watch)

    def close(self) -> None:
        """End the target; twice is harmless."""
        target, self._target, self._compiled, self._has_compiled = self._target, None, None, False
        problem = target.close() if target is not None else None
        if problem is not None:
            self._on_trouble(problem)
