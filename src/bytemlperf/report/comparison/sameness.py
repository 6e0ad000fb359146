"""Whether two reports are of the same thing, and in what they differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from bytemlperf.backends.compiled import WeightsChange
from bytemlperf.errors import IncomparableError
from bytemlperf.report.comparison.result import REFUSED, Aspect, Mismatch
from bytemlperf.report.rows import RowKind
from bytemlperf.report.verdict import Outcome

if TYPE_CHECKING:
    from bytemlperf.environment import Environment
    from bytemlperf.report.report import Report

_GIB: Final = 2**30
_HASH_DIGITS: Final = 12
_NAMED: Final = 6


def mismatches(a: Report, b: Report, *, allow: frozenset[Aspect]) -> tuple[Mismatch, ...]:
    """Return in what two reports differ besides their figures.

    Raises:
        IncomparableError: If they differ in an aspect of `REFUSED` that is not allowed; tells all of them.
    """
    found = tuple(_found(a, b))
    refused: dict[str, str] = {}
    for aspect, text in found:
        if aspect in REFUSED - allow:
            refused[aspect.value] = "; ".join(filter(None, (refused.get(aspect.value), text)))
    if refused:
        raise IncomparableError(
            f"the reports are not of the same thing: {'; '.join(refused.values())}", aspects=refused
        )
    return tuple(Mismatch(aspect=aspect, text=text, allowed=aspect in REFUSED) for aspect, text in found)


def _found(a: Report, b: Report) -> Iterator[tuple[Aspect, str]]:
    for look in (_artifact, _weights, _dataset, _precision, _scenario):
        yield from look(a, b)
    yield from _machine(a, b)
    yield from _software(a, b)
    yield from _backend(a, b)
    yield from _runs(a, b)


def _artifact(a: Report, b: Report) -> Iterator[tuple[Aspect, str]]:
    if a.artifact is None or b.artifact is None:
        yield Aspect.ARTIFACT, "a report does not tell which model it measured"
        return
    roots = [each.derived_from or each.sha256 for each in (a.artifact, b.artifact)]
    if not all(roots):
        yield Aspect.ARTIFACT, "a report does not tell the digest of its model"
    elif roots[0] != roots[1]:
        told = [
            f"{each.artifact.name} {root[:_HASH_DIGITS]}"
            for each, root in zip((a, b), roots, strict=True)
            if each.artifact
        ]
        yield Aspect.ARTIFACT, f"the model is {_other(*told)}"


def _weights(a: Report, b: Report) -> Iterator[tuple[Aspect, str]]:
    changes = [
        sorted({info.weights.value for info in each.compiles.values() if info.weights is not WeightsChange.NONE})
        for each in (a, b)
    ]
    if changes[0] != changes[1]:
        yield Aspect.WEIGHTS, f"what compilation did to the weights is {_other(*map(_list, changes))}"


def _dataset(a: Report, b: Report) -> Iterator[tuple[Aspect, str]]:
    told = [
        "none" if each is None else f"{each.name} {each.fingerprint[:_HASH_DIGITS]}" for each in (a.dataset, b.dataset)
    ]
    if told[0] != told[1]:
        yield Aspect.DATASET, f"the data set is {_other(*told)}"
    elif a.dataset and b.dataset and a.dataset != b.dataset:
        used = [f"{each.samples} samples, preprocessing {each.preprocessing}" for each in (a.dataset, b.dataset)]
        yield Aspect.DATASET, f"of the data set were used {_other(*used)}"


def _precision(a: Report, b: Report) -> Iterator[tuple[Aspect, str]]:
    used = [sorted({row.precision.short for row in each.rows}) for each in (a, b)]
    if used[0] != used[1]:
        yield Aspect.PRECISION, f"the precision is {_other(*map(_list, used))}"


def _scenario(a: Report, b: Report) -> Iterator[tuple[Aspect, str]]:
    loads = [{row.scenario for row in each.rows_of(RowKind.PERFORMANCE) if row.scenario} for each in (a, b)]
    if all(loads) and not loads[0] & loads[1]:
        yield Aspect.SCENARIO, f"the load is {_other(*(_list(sorted(each)) for each in loads))}"


def _machine(a: Report, b: Report) -> Iterator[tuple[Aspect, str]]:
    """What decides how fast a machine can be; a device counts only where the same backend names it."""
    facts = [_hardware(each.environment) for each in (a, b)]
    if a.backend is not None and b.backend is not None and a.backend.name == b.backend.name:
        for each, backend, report in zip(facts, (a.backend, b.backend), (a, b), strict=True):
            each["devices"] = _list(sorted({f"{device.id} {device.name}".strip() for device in backend.devices}))
            each["devices used"] = _list(sorted({device for row in report.rows for device in row.devices}))
    yield from ((Aspect.ENVIRONMENT, text) for text in _differing(*facts))
    if a.environment.host != b.environment.host:
        yield Aspect.SETTINGS, "the hosts are two machines"


def _hardware(environment: Environment) -> dict[str, str]:
    memory = environment.memory_bytes
    return {
        "processor": environment.cpu.model,
        "instruction set": environment.machine,
        "usable threads": str(environment.cpu.usable_cores),
        "share of cores": str(environment.cpu.quota_cores),
        "memory in GiB": str(None if memory is None else round(memory / _GIB)),
    }


def _software(a: Report, b: Report) -> Iterator[tuple[Aspect, str]]:
    yield from ((Aspect.SETTINGS, text) for text in _differing(*(_settings(each.environment) for each in (a, b))))
    packages = list(_differing(a.environment.packages, b.environment.packages))
    if packages:
        more = f", and {len(packages) - _NAMED} more" if len(packages) > _NAMED else ""
        yield Aspect.SOFTWARE, "; ".join(packages[:_NAMED]) + more


def _settings(environment: Environment) -> dict[str, str]:
    cpu = environment.cpu
    return {
        "kernel": environment.kernel,
        "distribution": str(environment.distribution),
        "python": f"{environment.implementation} {environment.python}",
        "container": str(environment.container),
        "governors": _list(cpu.governors),
        "turbo": str(cpu.turbo),
        "hardware threads sharing cores": str(cpu.smt),
        "memory limit": str(environment.memory_limit_bytes),
    }


def _backend(a: Report, b: Report) -> Iterator[tuple[Aspect, str]]:
    if a.backend is not None and b.backend is not None:
        if a.backend.name == b.backend.name and a.backend.version != b.backend.version:
            yield Aspect.BACKEND, f"the backend's version is {_other(a.backend.version, b.backend.version)}"
        elif a.backend.name != b.backend.name:
            yield Aspect.BACKEND, f"the backend is {_other(a.backend.name, b.backend.name)}"
        if a.backend.isolation is not b.backend.isolation:
            yield Aspect.ISOLATION, f"the backend ran {_other(a.backend.isolation, b.backend.isolation)}"
    options = [{name: str(value) for name, value in each.job.options.items()} for each in (a, b)]
    yield from ((Aspect.OPTIONS, text) for text in _differing(*options))


def _runs(a: Report, b: Report) -> Iterator[tuple[Aspect, str]]:
    if a.seeds != b.seeds or a.job.seed != b.job.seed:
        yield Aspect.SEEDS, "the seeds differ, and so the order of samples may"
    if a.digest == b.digest:
        yield Aspect.SAME, "both are one and the same report"
    for name, each in (("a", a), ("b", b)):
        if each.verdict.outcome is Outcome.FAIL:
            reasons = _list([reason.text for reason in each.verdict.reasons if reason.outcome is Outcome.FAIL])
            yield Aspect.VERDICT, f"{name} failed: {reasons}"
        yield from ((Aspect.WARNINGS, f"{name}: {warning.message}") for warning in each.warnings)


def _differing(a: Mapping[str, str], b: Mapping[str, str]) -> Iterator[str]:
    for name in dict.fromkeys((*a, *b)):
        if a.get(name) != b.get(name):
            yield f"{name} {_other(a.get(name, 'none'), b.get(name, 'none'))}"


def _other(a: object, b: object) -> str:
    return f"{a} in a, {b} in b"


def _list(values: Iterable[object]) -> str:
    return ", ".join(map(str, values)) or "none"
