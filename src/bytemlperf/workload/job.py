"""A workload on a backend: the unit that a platform schedules, stores and repeats."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from bytemlperf.spec import DType, digest, to_json
from bytemlperf.spec.fields import as_dict, as_tuple, instance
from bytemlperf.spec.recipe import ConfigValue
from bytemlperf.spec.tensor import optional_dtype
from bytemlperf.workload.limits import Limits
from bytemlperf.workload.workload import Workload


@attrs.frozen(kw_only=True)
class Job(Workload):
    """A workload on a backend at a precision, within limits.

    Attributes:
        backend: Registered name, or `package.module:Class`.
        precision: What is asked of the compiler; None leaves the model's own.
        devices: Device ids in the framework's own words (`cpu`, `cuda:0`, an execution provider).
        options: Fields of the backend's options class.
        limits: Time and memory; not part of the key.
        labels: Free text for the caller; not part of the key.
    """

    backend: str = attrs.field(default="cpu", validator=instance(str))
    precision: DType | None = attrs.field(default=None, converter=optional_dtype)
    devices: tuple[str, ...] = attrs.field(default=(), converter=as_tuple)
    options: Mapping[str, ConfigValue] = attrs.field(factory=dict, converter=as_dict)
    limits: Limits = attrs.field(factory=Limits, validator=instance(Limits))
    labels: Mapping[str, str] = attrs.field(factory=dict, converter=as_dict)

    @property
    def key(self) -> str:
        """sha256 over the canonical JSON of all that decides what is measured.

        Example:
            >>> Job(task="t", labels={"who": "me"}).key == Job(task="t").key
            True
        """
        identity = {name: value for name, value in to_json(self).items() if name not in {"limits", "labels"}}
        return digest({**identity, "asks": str(self.asked)})
