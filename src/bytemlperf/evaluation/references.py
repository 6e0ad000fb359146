"""What an independent reference answers: made on demand, kept in a store, one model in memory at a time."""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.artifact import digest_of
from bytemlperf.datasets import waves
from bytemlperf.errors import BenchmarkError, CancelledError, HarnessError
from bytemlperf.evaluation.answers import ask_once, over_samples
from bytemlperf.evaluation.keeping import MOST_BYTES
from bytemlperf.evaluation.reference import Reference, choose_reference
from bytemlperf.evaluation.rightoutputs import PLACES, OutputFiles, RightOutputs
from bytemlperf.evaluation.store import FOLDER, ReferenceStore
from bytemlperf.evaluation.subject import Subject
from bytemlperf.evaluation.wide import reduced_spec
from bytemlperf.evaluation.workbench import Opener, Workbench
from bytemlperf.failure import error_of
from bytemlperf.fetch import cache_dir
from bytemlperf.metrics import SampleMetric, Scoring, Units, compare, figures_in_pairs
from bytemlperf.registry import backends
from bytemlperf.sample import Array, BatchSet
from bytemlperf.spec import DType, Format, digest, to_json

if TYPE_CHECKING:
    from bytemlperf.spec.reading import Json

_T = TypeVar("_T")
REFERENCE_BATCH: Final = 8
"""Samples that the reference is asked for at a time."""
WAVE_BYTES: Final = 64 * 2**20
"""Inputs that are prepared for it at a time."""
LOGITS_BYTES: Final = 512 * 2**20
"""Logits in float64 that it gives at a time."""
PAIRED_SAMPLES: Final = 512
"""Samples on which accuracy is judged in pairs, where nothing else is asked for."""
PAIRED_S: Final = 120.0
"""A reference that would take longer for them is only asked where that is wanted."""
STORE_VERSION: Final = "1"
"""Of what is written; another one makes entries anew."""
_PACKAGES: Final = {
    "torch": ("torch",),
    "tensorflow": ("tensorflow",),
    "onnx-reference": ("onnx", "numpy"),
    "onnxruntime": ("onnxruntime",),
}
"""Distributions whose versions decide what a reference answers."""


class References:
    """Everything that one job asks of its reference; close it, or use it in a `with` block.

    Args:
        subject: What is evaluated.
        logits_bytes: Bound of the logits that `logits` asks for at a time.
    """

    def __init__(self, subject: Subject, *, logits_bytes: int = LOGITS_BYTES) -> None:
        """Make nothing yet."""
        self._subject, self._logits_bytes = subject, logits_bytes
        self._chosen: Reference | None = None
        self._open: contextlib.ExitStack = contextlib.ExitStack()
        self._benches: dict[DType | None, Workbench] = {}
        self._numbers = itertools.count(1)

    @property
    def reference(self) -> Reference:
        """How the right outputs are made.

        Raises:
            HarnessError: If nothing here can run a model of this format.
        """
        if self._chosen is None:
            self._chosen = choose_reference(self._subject)
        return self._chosen

    def close(self) -> None:
        """End the reference's process, if there is one: the next model has the memory for itself."""
        self._benches.clear()
        self._open.close()

    def outputs(self) -> RightOutputs:
        """Return the right outputs of the job's numeric samples.

        Raises:
            HarnessError: If the reference fails: that is no failure of the backend under test.
            CancelledError: If the caller asks to stop.
            TimeLimitError: If the whole job's time is used up.
        """
        count = min(self._subject.session.job.numeric_samples, len(self._subject.data.loader))
        return self._told(lambda: self._outputs(self.reference, count))

    def own_errors(self) -> Mapping[str, float]:
        """Return max|d| / max|reference| between the reference in float32 and in float64, by output.

        Nothing where the reference is not made in float64. What a sound implementation in float32 must be allowed is
        some multiple of it.

        Raises:
            HarnessError: As `outputs` does.
        """
        if self.reference.precision is not DType.FLOAT64:
            return {}
        right = self.outputs()
        narrow = attrs.evolve(self.reference, precision=DType.FLOAT32)
        found = self._told(lambda: self._outputs(narrow, right.count))
        every = np.arange(right.count)
        if found.places or right.places:
            return {}
        result = compare(
            found.of(every),
            right.of(every),
            specs=right.specs,
            precision=DType.FLOAT32,
            valid=right.valid(every),
            independent=True,
            reference_name="float64",
        )
        return {name: each.max_rel for name, each in result.outputs.items() if each.max_rel is not None}

    def units(self, metrics: Mapping[str, SampleMetric], asked: int | None) -> Mapping[str, Units]:
        """Return what units bring to each metric by the reference's answers to the first samples.

        Metrics whose figures cannot be paired are left out.

        Args:
            metrics: By name.
            asked: How many samples; None for `PAIRED_SAMPLES`, unless the reference would take longer than `PAIRED_S`
                for them: then there are no units, and a warning.

        Raises:
            HarnessError: As `outputs` does.
        """
        count = min(PAIRED_SAMPLES if asked is None else asked, len(self._subject.data.loader))
        paired = {name: each for name, each in metrics.items() if figures_in_pairs(each)}
        if not paired or count < 1 or not self.reference.independent:
            return {}
        return self._told(lambda: self._units(paired, count, most_s=PAIRED_S if asked is None else None))

    def logits(self, rows: Sequence[NDArray[np.int64]]) -> Iterator[NDArray[np.float64]]:
        """Yield the reference's logits at every position of some rows of tokens, [length, vocabulary] each.

        The model is run at the longest row's length, shorter ones filled up behind: it looks only at what is before.
        As many rows go through it together as have `logits_bytes` of logits, so that a reference which is run layer by
        layer reads each layer once for all of them.

        Raises:
            HarnessError: As `outputs` does.
        """
        spec, longest = self.reference.artifact.spec, max(len(each) for each in rows)
        inputs = tuple(attrs.evolve(each, shape=(each.shape[0], longest)) for each in spec.inputs)
        outputs = tuple(attrs.evolve(each, shape=(each.shape[0], longest, each.shape[2])) for each in spec.outputs)
        artifact = attrs.evolve(self.reference.artifact, spec=attrs.evolve(spec, inputs=inputs, outputs=outputs))
        sized = attrs.evolve(self.reference, artifact=artifact)
        together = max(1, self._logits_bytes // math.prod((*outputs[0].sized(1), np.dtype(np.float64).itemsize)))
        self.close()  # what is open has another length
        with contextlib.closing(self):
            for start in range(0, len(rows), together):
                part = rows[start : start + together]
                found = self._told(partial(self._rows_logits, sized, part, longest))
                for row, each in zip(part, found, strict=True):
                    yield each[: len(row)]

    def _rows_logits(
        self, reference: Reference, rows: Sequence[NDArray[np.int64]], longest: int
    ) -> NDArray[np.float64]:
        """Ask the reference for some rows together; return logits [rows, longest, vocabulary]."""
        spec, bench = reference.artifact.spec, self._bench(reference)
        filled = np.zeros((1, len(rows), longest), np.int64)
        for place, row in zip(filled[0], rows, strict=True):
            place[: len(row)] = row
        asked = BatchSet(
            inputs={spec.inputs[0].name: filled},
            size=len(rows),
            padding=np.zeros(1, np.int64),
            samples=np.arange(len(rows))[None],
        )
        recording = ask_once(bench, asked, step="reference")
        if recording.failures:
            raise error_of(recording.failures[0])
        answer = over_samples(recording.answers, asked, spec.outputs)[spec.outputs[0].name]
        return np.asarray(answer, np.float64)

    def _told(self, make: Callable[[], _T]) -> _T:
        try:
            return make()
        except BenchmarkError as error:
            if isinstance(error, CancelledError) or error.limit == "total_s":
                raise
            failed = HarnessError(f"the reference ({self.reference.name}) failed", got=f"{error.code}: {error}")
            failed.log_tail = error.log_tail
            raise failed from error

    def _outputs(self, reference: Reference, count: int) -> RightOutputs:
        specs = self._subject.original.spec.outputs
        home = self._store.kept(
            {**self._identity(reference, count), "what": "outputs", "kept": str(self._kept_float)},
            lambda folder: self._write_outputs(reference, count, folder),
        )
        places = {spec.name: path for spec in specs if (path := home / f"{spec.name}{PLACES}.npy").exists()}
        masked = {spec.valid for spec in specs if spec.valid is not None}
        inputs = tuple(spec for spec in self._subject.original.spec.inputs if spec.name in masked)
        loaded = self._subject.data.loader.load(range(count)) if inputs else {}
        return RightOutputs(
            reference=reference,
            specs=tuple(reduced_spec(spec) if spec.name in places else spec for spec in specs),
            count=count,
            rows={spec.name: np.load(home / f"{spec.name}.npy", mmap_mode="r") for spec in specs},
            places={name: np.load(path, mmap_mode="r") for name, path in places.items()},
            masks={spec.name: np.asarray(loaded[spec.name]) for spec in inputs},
            inputs=inputs,
        )

    def _units(self, metrics: Mapping[str, SampleMetric], count: int, *, most_s: float | None) -> Mapping[str, Units]:
        kinds: dict[str, Json] = {name: _kind(each) for name, each in sorted(metrics.items())}
        identity: dict[str, Json] = {
            **self._identity(self.reference, count),
            "what": "units",
            "metrics": kinds,
            "code": version("bytemlperf"),
        }
        if most_s is not None and self._store.find(identity) is None:
            seconds = self._seconds_for(count)
            if seconds > most_s:
                told = f"the reference would take about {seconds / 60:.0f} min for {count} samples, once"
                text = f"accuracy is not judged in pairs: {told}; Acceptance(paired_samples={count}) has it done"
                self._subject.session.warn("not_paired", text)
                return {}
        home = self._store.kept(identity, lambda folder: self._write_units(metrics, count, folder))
        return {
            name: Units(ids=np.load(home / f"{name}.ids.npy"), values=np.load(home / f"{name}.values.npy"))
            for name in metrics
        }

    def _seconds_for(self, count: int) -> float:
        """Return how long the reference will take for some samples, going by a first batch of them."""
        size = min(REFERENCE_BATCH, count)
        self._bench(self.reference).compile(size)
        started = time.monotonic()
        for _ in self._asked(self.reference, size):
            pass
        return (time.monotonic() - started) * count / size

    @property
    def _store(self) -> ReferenceStore:
        """The shared store, or, for a live module whose code has no digest, one of the job alone."""
        session = self._subject.session
        live = self.reference.artifact.format is Format.TORCH_MODULE
        folder = session.scratch / FOLDER if live else cache_dir() / FOLDER
        return ReferenceStore(folder=folder, lock=lambda name: session.hold((name,)))

    def _identity(self, reference: Reference, count: int) -> dict[str, Json]:
        artifact, data = reference.artifact, self._subject.data
        sha256 = artifact.sha256 or (digest_of(artifact.path) if artifact.path is not None else "")
        plugin = backends.find(reference.backend)
        return {
            "store": STORE_VERSION,
            "artifact": sha256,
            "recipe": to_json(artifact.spec.recipe),
            "inputs": to_json(artifact.spec.inputs),
            "outputs": to_json(artifact.spec.outputs),
            "precision": None if reference.precision is None else str(reference.precision),
            "backend": plugin.reference,
            "runtime": {name: _version(name) for name in _PACKAGES.get(reference.backend, ())},
            "distribution": plugin.distribution,
            "dataset": data.facts.fingerprint,
            "ids": digest(data.loader.ids(range(count))),
        }

    @property
    def _kept_float(self) -> DType:
        """What float64 outputs are kept in: float32, unless the backend itself is judged in float64."""
        return DType.FLOAT64 if self._subject.precision is DType.FLOAT64 else DType.FLOAT32

    def _write_outputs(self, reference: Reference, count: int, folder: Path) -> None:
        writing = OutputFiles(folder, count, np.dtype(self._kept_float.value))
        specs = reference.artifact.spec.outputs
        for wave, outputs in self._asked(reference, count):
            for spec in specs:
                writing.add(outputs[spec.name], spec, samples=_counted(wave))
        writing.close()

    def _write_units(self, metrics: Mapping[str, SampleMetric], count: int, folder: Path) -> None:
        scoring = Scoring(metrics)
        for wave, outputs in self._asked(self.reference, count):
            labels = self._subject.data.loader.labels([int(each) for each in wave.samples.ravel() if each >= 0])
            assert labels is not None, "data without labels have no metrics"
            scoring.add(outputs, labels)
        for name, units in scoring.units(most_bytes=MOST_BYTES).items():
            np.save(folder / f"{name}.ids.npy", units.ids)
            np.save(folder / f"{name}.values.npy", units.values)

    def _asked(self, reference: Reference, count: int) -> Iterator[tuple[BatchSet, Mapping[str, Array]]]:
        """Ask the reference for the first samples, wave by wave."""
        spec, size = reference.artifact.spec, min(REFERENCE_BATCH, count)
        bench = self._bench(reference)
        info = bench.compile(size).info
        for wave in waves(
            self._subject.data.loader,
            spec.inputs,
            range(count),
            batch_size=size,
            max_bytes=WAVE_BYTES,
            engine_inputs=info.inputs,
        ):
            recording = ask_once(bench, wave, step="reference")
            if recording.failures:
                raise error_of(recording.failures[0])
            yield wave, over_samples(recording.answers, wave, spec.outputs)

    def _bench(self, reference: Reference) -> Workbench:
        """Return the bench of a precision; of several precisions one at a time."""
        if reference.precision not in self._benches:
            self.close()
            session = self._subject.session
            options: dict[str, object] = {"work_dir": str(session.scratch / "reference-work")}
            if reference.precision is not None:
                options["precision"] = str(reference.precision)
            if reference.layers_at_a_time:
                options["layers_at_a_time"] = True
            self._benches[reference.precision] = self._open.enter_context(
                Workbench(
                    self._opener(reference),
                    artifact=reference.artifact,
                    options=options,
                    watch=session.own_watch,
                    on_trouble=lambda problem: session.warn("crash_at_exit", f"the reference's worker: {problem}"),
                    max_crashes=0,
                )
            )
        return self._benches[reference.precision]

    def _opener(self, reference: Reference) -> Opener:
        """A live module cannot leave this process, so its reference stays here too."""
        live = reference.artifact.format is Format.TORCH_MODULE
        instance = backends.get(reference.backend)() if live else None
        return Opener(
            reference=backends.find(reference.backend).reference,
            instance=instance,
            folder=self._subject.session.scratch / f"reference-{next(self._numbers)}",
        )


def _kind(metric: SampleMetric) -> str:
    """Return what a metric is, with its options; those that have no text of their own are left out."""
    options = {name: repr(value) for name, value in sorted(getattr(metric, "__dict__", {}).items())}
    told = ", ".join(f"{name}={text}" for name, text in options.items() if " at 0x" not in text)
    return f"{type(metric).__module__}:{type(metric).__qualname__}({told})"


def _counted(wave: BatchSet) -> int:
    return int((wave.samples >= 0).sum())


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"
