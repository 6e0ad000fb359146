"""Files of a report: where they lie, and how they are written so that none is ever half there.

A report's folder::

    report.json                      the report
    report.md                        the same for a person
    plots/<row>-<what>.png           drawings
    traces/<row>.npz                 raw event times of a row
    samples/<row>.npz                which samples were right and what other units brought, by metric
    differences/<row>.json           numeric differences of a row, with their histograms
    rows/<row>.json                  rows as they finish, so that a run can be resumed
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import uuid
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.errors import HarnessError, SpecError
from bytemlperf.metrics.differences import OutputDifference
from bytemlperf.metrics.units import Units
from bytemlperf.sample import Array
from bytemlperf.spec import from_json, to_json
from bytemlperf.trace import Trace

if TYPE_CHECKING:
    from bytemlperf.spec.reading import Json

REPORT: Final = "report.json"
MARKDOWN: Final = "report.md"
_LONGEST: Final = 120


def trace_path(key: str) -> str:
    """Return where a row's raw event times lie, relative to the report's folder."""
    return f"traces/{file_stem(key)}.npz"


def differences_path(key: str) -> str:
    """Return where a row's numeric differences lie, relative to the report's folder."""
    return f"differences/{file_stem(key)}.json"


def samples_path(key: str) -> str:
    """Return where it lies what is kept of the answers to each sample of a row, relative to the report's folder."""
    return f"samples/{file_stem(key)}.npz"


def plot_path(key: str, what: str) -> str:
    """Return where a drawing of a row lies, relative to the report's folder."""
    return f"plots/{file_stem(key)}-{file_stem(what)}.png"


def row_path(key: str) -> str:
    """Return where a finished row lies, relative to the report's folder."""
    return f"rows/{file_stem(key)}.json"


def file_stem(key: str) -> str:
    """Return a file name without ending for any text; different texts get different names.

    Example:
        >>> file_stem("performance/fixed_batch/clients=2/batch=8/fp32/devices=1")
        'performance-fixed_batch-clients=2-batch=8-fp32-devices=1'
    """
    stem = re.sub(r"[^A-Za-z0-9_=.]", "-", key).lstrip(".")[:_LONGEST]
    if re.fullmatch(r"[A-Za-z0-9_=/][A-Za-z0-9_=./]*", key) and len(key) <= _LONGEST:
        return stem
    return f"{stem}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"


def write_bytes(path: Path, data: bytes) -> Path:
    """Write a file at once or not at all: to a temporary one beside it, on disk, then renamed.

    Raises:
        HarnessError: If it cannot be written; what was there before stands.
    """
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with beside.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as error:
        raise HarnessError("a file cannot be written", where=path.name, got=error.strerror) from error
    return path


def _sync_folder(folder: Path) -> None:
    """Put the renaming itself on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, data: Json) -> Path:
    """Write JSON data for people and programs, atomically.

    Raises:
        HarnessError: If it cannot be written.
        SpecError: If it holds a number that JSON does not have.
    """
    try:
        text = json.dumps(data, indent=1, allow_nan=False, ensure_ascii=False)
    except ValueError as error:
        raise SpecError("not JSON data", where=path.name, got=str(error)) from error
    return write_bytes(path, f"{text}\n".encode())


def read_json(path: Path) -> Json:
    """Read JSON data.

    Raises:
        SpecError: If the file cannot be read, or is none.
    """
    try:
        data: Json = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SpecError("the file cannot be read as JSON", where=path.name, got=_told(error)) from error
    return data


def _told(error: Exception) -> str:
    """Tell an error without the folders that its text may hold."""
    return f"{type(error).__name__}: {error.strerror if isinstance(error, OSError) else error}"


def sha256_of(path: Path) -> str:
    """Return the digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests_of(folder: Path | None, paths: Iterable[str]) -> dict[str, str]:
    """Return the sha256 of files of a report, by their paths in its folder."""
    return {} if folder is None else {path: sha256_of(folder / path) for path in paths}


def write_trace(path: Path, trace: Trace) -> Path:
    """Write raw event times as compressed arrays by name, atomically; numpy reads them anywhere.

    Raises:
        HarnessError: If it cannot be written.
    """
    arrays = {field.name: np.asarray(getattr(trace, field.name)) for field in attrs.fields(Trace)}
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)  # type: ignore[arg-type]
    return write_bytes(path, content.getvalue())


def read_trace(path: Path) -> Trace:
    """Read what `write_trace` wrote.

    Raises:
        SpecError: If the file cannot be read, or is none.
    """
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            columns = {name: arrays[name] for name in arrays.files}
        plain = {name: array.item() for name, array in columns.items() if not array.ndim}
        columns = {name: array for name, array in columns.items() if array.ndim}
        return Trace(**columns, **plain)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise SpecError("the file is no trace", where=path.name, got=_told(error)) from error


@attrs.frozen(kw_only=True, eq=False)
class KeptSamples:
    """What is kept of the answers to each sample, so that two runs are compared on the same ones.

    Attributes:
        sample: int64[n], their numbers in the data set.
        right: By metric, bool[n], which samples are right.
        units: By metric, what units brought to figures that are more than right and wrong samples.
    """

    sample: NDArray[np.int64]
    right: Mapping[str, NDArray[np.bool_]] = attrs.field(factory=dict)
    units: Mapping[str, Units] = attrs.field(factory=dict)

    def of(self, metric: str) -> Units | None:
        """Return what units brought to a metric; None where that was not kept."""
        if metric in self.right:
            return Units(ids=self.sample, values=self.right[metric][:, np.newaxis])
        return self.units.get(metric)


def write_samples(path: Path, samples: KeptSamples) -> Path:
    """Write samples as compressed arrays by name, atomically.

    `sample` and `right/<metric>`; and of other units `ids/<metric>`, `values/<metric>` and `noun/<metric>`.

    Raises:
        HarnessError: If it cannot be written.
    """
    arrays: dict[str, Array] = {
        "sample": samples.sample,
        **{f"right/{name}": each for name, each in samples.right.items()},
    }
    for name, each in samples.units.items():
        arrays |= {f"ids/{name}": each.ids, f"values/{name}": each.values, f"noun/{name}": np.array(each.noun)}
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)  # type: ignore[arg-type]
    return write_bytes(path, content.getvalue())


def read_samples(path: Path) -> KeptSamples:
    """Read what `write_samples` wrote.

    Raises:
        SpecError: If the file cannot be read, or is none.
    """
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            sample = np.asarray(arrays["sample"], np.int64)
            right = {name.removeprefix("right/"): arrays[name] for name in arrays.files if name.startswith("right/")}
            named = [name.removeprefix("ids/") for name in arrays.files if name.startswith("ids/")]
            units = {
                name: Units(
                    ids=arrays[f"ids/{name}"], values=arrays[f"values/{name}"], noun=str(arrays[f"noun/{name}"])
                )
                for name in named
            }
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise SpecError("the file does not tell which samples were right", where=path.name, got=_told(error)) from error
    for name, each in right.items():
        if each.dtype != np.bool_ or each.shape != sample.shape:
            raise SpecError("not one truth value for each sample", where=f"{path.name}: {name}", got=str(each.dtype))
    return KeptSamples(sample=sample, right=right, units=units)


def write_differences(path: Path, outputs: Mapping[str, OutputDifference]) -> Path:
    """Write numeric differences by output, atomically.

    Raises:
        HarnessError: If it cannot be written.
    """
    return write_json(path, {name: to_json(difference) for name, difference in outputs.items()})


def read_differences(path: Path) -> Mapping[str, OutputDifference]:
    """Read what `write_differences` wrote.

    Raises:
        SpecError: If the file cannot be read, or is none.
    """
    data = read_json(path)
    if not isinstance(data, dict):
        raise SpecError("the file holds no differences", where=path.name)
    return {name: from_json(OutputDifference, each, where=f"$.{name}") for name, each in data.items()}
