"""Between the issuer, which knows only plain data, and the classes that a backend sees.

The real package has a module of the same name and functions.
"""

from __future__ import annotations

import dataclasses
import re

from bytemlperf.backends import AsyncBackend, Backend, CompiledModel, CompileInfo, CompileOptions, Phased
from bytemlperf.errors import CompileError, SpecError
from bytemlperf.values import (
    AccuracyTarget,
    Axis,
    Batch,
    CalibrationSet,
    Forward,
    Generation,
    ModelArtifact,
    ModelSpec,
    Recipe,
    ReferenceAccuracy,
    Score,
    Source,
    TensorSpec,
)

_ASKS = {"forward": Forward, "generate": Generation, "score": Score}


def describe(backend):
    """Return what the harness must know of a backend, as plain JSON data."""
    kind = type(backend)
    return {
        "name": kind.name,
        "version": backend.version(),
        "formats": sorted(kind.formats),
        "dynamic_batch": kind.dynamic_batch,
        "fixed_batch_formats": sorted(kind.fixed_batch_formats),
        "spans_devices": kind.spans_devices,
        "remote": kind.remote,
        "asks": list(kind.asks),
        "tried_on": list(kind.tried_on),
        "devices": [dataclasses.asdict(device) for device in backend.devices()],
        "options": options_schema(kind.options_type),
        "asynchronous": isinstance(backend, AsyncBackend),
        "streams": streams(backend),
        "phased": isinstance(backend, Phased),
        "tunes": kind.tune is not Backend.tune,
        "vendor_benchmark": kind.vendor_benchmark is not Backend.vendor_benchmark,
    }


def options_schema(options_type):
    """Return name, type and default of each field that a vendor's options add."""
    own = {each.name for each in dataclasses.fields(CompileOptions)}
    added = [each for each in dataclasses.fields(options_type) if each.name not in own]
    return [{"name": each.name, "type": _type_name(each), "default": _plain(each.default)} for each in added]


def _type_name(option):
    return option.type if isinstance(option.type, str) else getattr(option.type, "__name__", str(option.type))


def _plain(default):
    return default if isinstance(default, (str, int, float, bool)) else None


def streams(backend):
    """Tell whether a backend answers in parts of its own."""
    return type(backend).stream is not Backend.stream and not isinstance(backend, AsyncBackend)


def submit_of(backend, blocking):
    """Return the one verb and its flush; `blocking` makes the verb for a backend that blocks."""
    if isinstance(backend, AsyncBackend):
        return backend.submit, backend.flush
    return blocking(backend, streams(backend)), None


def artifact(data):
    """Read an artifact."""
    spec = data["spec"]
    recipe = spec["recipe"]
    tensors = {side: tuple(_tensor(each) for each in spec[side]) for side in ("inputs", "outputs")}
    read = dict(
        spec,
        recipe=None if recipe is None else Recipe(**recipe),
        sources=tuple(Source(**each) for each in spec["sources"]),
        reference_accuracy=tuple(ReferenceAccuracy(**each) for each in spec["reference_accuracy"]),
        accuracy_targets=tuple(AccuracyTarget(**each) for each in spec["accuracy_targets"]),
        metrics=tuple(spec["metrics"]),
        batch_sizes=tuple(spec["batch_sizes"]),
        inputs=tensors["inputs"],
        outputs=tensors["outputs"],
    )
    return ModelArtifact(**dict(data, spec=ModelSpec(**read)))


def _tensor(data):
    return TensorSpec(**dict(data, shape=tuple(_axis(each) for each in data["shape"])))


def _axis(value):
    if not isinstance(value, str):
        return value
    times, name = re.match(r"(?:(\d+)\*)?(\w+)$", value).groups()
    return Axis(name, int(times or 1))


def artifact_to(value):
    """Write an artifact."""
    written = dataclasses.asdict(dataclasses.replace(value, module=None))
    for side in ("inputs", "outputs"):
        for tensor, given in zip(written["spec"][side], getattr(value.spec, side)):
            tensor["shape"] = [_axis_text(axis) for axis in given.shape]
    return written


def _axis_text(axis):
    if not isinstance(axis, Axis):
        return axis
    return axis.name if axis.times == 1 else "%d*%s" % (axis.times, axis.name)


def options(backend, data):
    """Read a backend's own options."""
    kind = type(backend).options_type
    known = [each.name for each in dataclasses.fields(kind)]
    unknown = sorted(set(data) - set(known))
    if unknown:
        raise SpecError("unknown key", where="$.options." + unknown[0], expected="one of " + ", ".join(known))
    read = {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
    if read.get("calibration"):
        read["calibration"] = CalibrationSet(**read["calibration"])
    for each in dataclasses.fields(kind):
        _check_type(each, read.get(each.name, each.default))
    return kind(**read)


def _check_type(option, value):
    """Refuse a plain value of another plain type; what has no plain type is the backend's to check."""
    plain = {"str": str, "int": int, "float": (int, float), "bool": bool}
    expected = plain.get(_type_name(option))
    is_missing = value is None and option.default is not None
    is_other = isinstance(value, (str, int, float)) and not isinstance(value, expected or object)
    is_truth = isinstance(value, bool) and expected is not bool
    if expected is not None and (is_missing or is_other or is_truth):
        where = "$.options." + option.name
        raise SpecError("wrong type", where=where, got=value, expected=_type_name(option))


def changed_options(backend, given, chosen):
    """Write the fields in which what `tune` chose differs from what it was given."""
    kind = type(backend).options_type
    if not isinstance(chosen, kind):
        raise CompileError("tune returned something else", got=type(chosen).__name__, expected=kind.__name__)
    names = [each.name for each in dataclasses.fields(kind)]
    changed = {name: getattr(chosen, name) for name in names if getattr(chosen, name) != getattr(given, name)}
    own = {each["name"] for each in options_schema(kind)}
    not_its_own = sorted(set(changed) - own)
    if not_its_own:
        raise CompileError(
            "tune changed options that are not the backend's own",
            got=not_its_own,
            expected="changes only of: " + (", ".join(sorted(own)) or "nothing"),
        )
    return changed


def check_compiled(compiled):
    """Refuse what `compile` returned if it is no compiled model."""
    if not isinstance(compiled, CompiledModel) or not isinstance(compiled.info, CompileInfo):
        raise CompileError(
            "compile returned something else", got=type(compiled).__name__, expected="a CompiledModel with CompileInfo"
        )


def info_to(compiled):
    """Write what the compiler did."""
    written = dataclasses.asdict(compiled.info)
    written["files"] = [str(path) for path in compiled.info.files]
    if written["inputs"] is not None:
        for tensor, given in zip(written["inputs"], compiled.info.inputs):
            tensor["shape"] = [_axis_text(axis) for axis in given.shape]
    return written


def ask_of(data):
    """Read what is asked."""
    fields = {name: _tuples(value) for name, value in data.items()}
    return _ASKS[fields.pop("kind")](**fields)


def _tuples(value):
    return tuple(_tuples(each) for each in value) if isinstance(value, list) else value


def batch(inputs, size, padding, described):
    """Make the batch that a backend gets."""
    return Batch(inputs=inputs, size=size, padding=padding, ask=ask_of(described["ask"]))
