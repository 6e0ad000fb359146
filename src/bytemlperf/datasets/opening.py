"""From a request, which is data, to a loader."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bytemlperf.datasets.base import DatasetLoader
from bytemlperf.datasets.subset import Subset
from bytemlperf.errors import BackendUnavailableError, DatasetUnavailableError, SpecError
from bytemlperf.registry import datasets as _registry
from bytemlperf.spec import from_json

if TYPE_CHECKING:
    from bytemlperf.spec import ModelSpec
    from bytemlperf.workload import DatasetRequest


def open_dataset(request: DatasetRequest | DatasetLoader, spec: ModelSpec) -> DatasetLoader:
    """Open the data that are asked for, for one model.

    Args:
        request: Name, options and number of samples; or a loader, which is fitted to the model.
        spec: The model.

    Raises:
        UnknownNameError: If no installed package declares the name.
        DatasetUnavailableError: If its files are missing, or its package cannot be loaded.
        SpecError: If an option is unknown or wrong, there are fewer samples than asked for, or the
            data cannot fit the model.
    """
    if isinstance(request, DatasetLoader):
        return request.fit(spec)
    kind = _loader_class(request.name)
    options = from_json(kind.options_type, dict(request.options), where="$.dataset.options")
    loader = kind.open(spec, options)
    return loader if request.samples is None else Subset(loader, request.samples)


def _loader_class(name: str) -> type[DatasetLoader]:
    try:
        found: object = _registry.get(name)
    except BackendUnavailableError as error:
        raise DatasetUnavailableError(error.what, got=error.got, remedy=error.remedy) from error
    if not (isinstance(found, type) and issubclass(found, DatasetLoader)):
        raise SpecError(f"data set {name!r} is declared, and is no class of DatasetLoader", got=found)
    return found
