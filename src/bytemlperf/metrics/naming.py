"""From what names a metric to the metric: an entry point's name, a reference to a class, or the metric itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bytemlperf.errors import BackendUnavailableError, SpecError
from bytemlperf.registry import load
from bytemlperf.registry import metrics as _registry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bytemlperf.metrics.base import SampleMetric

_MEMBERS = ("name", "initial", "update", "compute")


def sample_metric(given: str | object) -> SampleMetric:
    """Return the metric that is meant.

    Args:
        given: A name in the entry-point group `bytemlperf.metrics` (`top1`), a reference to a class or to an instance
            (`mymetrics:Top3`), a class that needs no argument, or a metric.

    Raises:
        UnknownNameError: If no installed package declares the name.
        BackendUnavailableError: If what is named cannot be imported, or its class not be called without arguments.
        SpecError: If it is no metric of samples.

    Example:
        >>> sample_metric("top1").name, sample_metric("bytemlperf.metrics.top1:Top1").name
        ('top1', 'top1')
    """
    found = given
    if isinstance(given, str):
        found = load(given, what=f"metric {given!r}") if ":" in given else _registry.get(given)
    metric: SampleMetric = _made(found) if isinstance(found, type) else found  # type: ignore[assignment]
    missing = [name for name in _MEMBERS if not hasattr(metric, name)]
    if missing:
        raise SpecError("this is no metric of samples", got=given, expected=f"an object with {', '.join(_MEMBERS)}")
    return metric


def _made(kind: type) -> object:
    try:
        return kind()
    except Exception as error:  # the plug-in edge: what a metric's author raises is told, not passed on
        raise BackendUnavailableError(
            f"metric {kind.__name__} cannot be made",
            got=f"{type(error).__name__}: {error}",
            expected="no argument needed",
        ) from error


def sample_metrics(given: Iterable[str | object]) -> dict[str, SampleMetric]:
    """Return metrics by their own names, in order.

    Raises:
        UnknownNameError: As `sample_metric`.
        BackendUnavailableError: As `sample_metric`.
        SpecError: As `sample_metric`; or if two have one name.
    """
    metrics: dict[str, SampleMetric] = {}
    for each in given:
        metric = sample_metric(each)
        if metric.name in metrics:
            raise SpecError("two metrics have one name", got=metric.name, remedy="name each once")
        metrics[metric.name] = metric
    return metrics
