"""Between the issuer, which knows only plain data, and the classes that a backend sees.

The guest's stand-in package has a module of the same name and functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

import attrs

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends.base import AnyBackend, AsyncBackend, Backend, Phased
from bytemlperf.backends.compiled import CompiledModel, CompileInfo, CompileOptions
from bytemlperf.errors import CompileError
from bytemlperf.sample import Array, Ask, Batch, Forward, Generation, Score
from bytemlperf.spec import from_json, to_json

_ASKS: Mapping[str, type[Any]] = {"forward": Forward, "generate": Generation, "score": Score}


def describe(backend: AnyBackend) -> dict[str, Any]:
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
        "devices": to_json(backend.devices()),
        "options": options_schema(kind.options_type),
        "asynchronous": isinstance(backend, AsyncBackend),
        "streams": streams(backend),
        "phased": isinstance(backend, Phased),
        "tunes": kind.tune is not Backend.tune,
        "vendor_benchmark": kind.vendor_benchmark is not Backend.vendor_benchmark,
    }


def options_schema(options_type: type[CompileOptions]) -> list[dict[str, Any]]:
    """Return name, type and default of each field that a vendor's options add."""
    own = {field.name for field in attrs.fields(CompileOptions)}
    hints = get_type_hints(options_type)
    return [
        {"name": field.name, "type": _type_name(hints[field.name]), "default": _plain_default(field.default)}
        for field in attrs.fields(options_type)
        if field.name not in own
    ]


def _type_name(hint: Any) -> str:  # noqa: ANN401 - a typing form
    return hint.__name__ if isinstance(hint, type) else str(hint)


def _plain_default(default: object) -> object:
    return to_json(default) if isinstance(default, str | int | float | bool | tuple | None) else None


def streams(backend: AnyBackend) -> bool:
    """Tell whether a backend answers in parts of its own."""
    return type(backend).stream is not Backend.stream and not isinstance(backend, AsyncBackend)


def submit_of(
    backend: AnyBackend, blocking: Callable[[Any, bool], Callable[..., Any]]
) -> tuple[Callable[..., Any], Callable[..., Any] | None]:
    """Return the one verb and its flush; `blocking` makes the verb for a backend that blocks."""
    if isinstance(backend, AsyncBackend):
        return backend.submit, backend.flush
    return blocking(backend, streams(backend)), None


def artifact(data: Mapping[str, Any]) -> ModelArtifact:
    """Read an artifact."""
    return from_json(ModelArtifact, data)


def artifact_to(value: ModelArtifact) -> dict[str, Any]:
    """Write an artifact."""
    written: dict[str, Any] = to_json(attrs.evolve(value, module=None))
    return written


def options(backend: AnyBackend, data: Mapping[str, Any]) -> CompileOptions:
    """Read a backend's own options."""
    return from_json(type(backend).options_type, data, where="$.options")


def changed_options(backend: AnyBackend, given: CompileOptions, chosen: object) -> dict[str, Any]:
    """Write the fields in which what `tune` chose differs from what it was given.

    Raises:
        CompileError: If it is something else than the backend's options, or changes what the harness decides.
    """
    kind = type(backend).options_type
    if not isinstance(chosen, kind):
        raise CompileError("tune returned something else", got=type(chosen).__name__, expected=kind.__name__)
    before, after = to_json(given), to_json(chosen)
    changed = {name: value for name, value in after.items() if value != before.get(name)}
    not_its_own = sorted(changed.keys() & {field.name for field in attrs.fields(CompileOptions)})
    if not_its_own:
        raise CompileError(
            "tune changed options that are not the backend's own",
            got=not_its_own,
            expected=f"changes only of: {', '.join(each['name'] for each in options_schema(kind)) or 'nothing'}",
        )
    return changed


def check_compiled(compiled: object) -> None:
    """Refuse what `compile` returned if it is no compiled model.

    Raises:
        CompileError: Saying what it is.
    """
    if not isinstance(compiled, CompiledModel) or not isinstance(compiled.info, CompileInfo):
        info = f" with {type(compiled.info).__name__}" if isinstance(compiled, CompiledModel) else ""
        raise CompileError(
            "compile returned something else",
            got=type(compiled).__name__ + info,
            expected="a CompiledModel with CompileInfo",
        )


def info_to(compiled: CompiledModel[Any]) -> dict[str, Any]:
    """Write what the compiler did."""
    written: dict[str, Any] = to_json(compiled.info)
    return written


def ask_of(data: Mapping[str, Any]) -> Ask:
    """Read what is asked: `{"kind": "forward"}`."""
    fields = {name: value for name, value in data.items() if name != "kind"}
    read: Ask = from_json(_ASKS[data["kind"]], fields, where="$.ask")
    return read


def ask_to(value: Ask) -> dict[str, Any]:
    """Write what is asked."""
    kind = next(name for name, each in _ASKS.items() if isinstance(value, each))
    return {"kind": kind, **to_json(value)}


def batch(inputs: Mapping[str, Array], size: int, padding: int, described: Mapping[str, Any]) -> Batch:
    """Make the batch that a backend gets."""
    return Batch(inputs=inputs, size=size, padding=padding, ask=ask_of(described["ask"]))
