"""What a backend says of itself, read without importing it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from bytemlperf.backends import Device
from bytemlperf.errors import BackendUnavailableError, SpecError, UnsupportedAskError, nearest
from bytemlperf.spec import Format, from_json
from bytemlperf.spec.recipe import ConfigValue


@attrs.frozen(kw_only=True)
class OptionField:
    """One field that a backend's options add.

    Attributes:
        name: Its name.
        type: Its type, as written.
        default: What it is when not given.
    """

    name: str
    type: str
    default: ConfigValue = None


@attrs.frozen(kw_only=True)
class BackendDescription:
    """A backend's facts.

    Attributes:
        name: Name in reports.
        version: Versions of SDK, driver and firmware.
        formats: Formats that it takes.
        dynamic_batch: Whether one compiled model takes every batch size.
        fixed_batch_formats: Formats of which it takes one batch size for all that.
        spans_devices: Whether one compiled model uses all devices.
        remote: Whether the model lies with a server.
        asks: What it answers, of `forward`, `generate` and `score`.
        tried_on: Devices on which its authors really ran it.
        devices: Inventory.
        options: Fields that its options add.
        asynchronous: Whether it completes queries on its own threads.
        streams: Whether it answers in parts.
        phased: Whether it can tell copying and computing apart.
        tunes: Whether it chooses among its options by measurements.
        vendor_benchmark: Whether it brings the vendor tool's own figures.
    """

    name: str
    version: str = "unknown"
    formats: tuple[Format, ...] = ()
    dynamic_batch: bool = False
    fixed_batch_formats: tuple[Format, ...] = ()
    spans_devices: bool = False
    remote: bool = False
    asks: tuple[str, ...] = ("forward",)
    tried_on: tuple[str, ...] = ()
    devices: tuple[Device, ...] = ()
    options: tuple[OptionField, ...] = ()
    asynchronous: bool = False
    streams: bool = False
    phased: bool = False
    tunes: bool = False
    vendor_benchmark: bool = False

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> BackendDescription:
        """Read what the worker told.

        Raises:
            BackendUnavailableError: If the backend's own facts are no facts.
        """
        try:
            return from_json(cls, data)
        except SpecError as error:
            raise BackendUnavailableError("a backend describes itself wrongly", got=str(error)) from error

    def takes_every_batch(self, form: Format | None) -> bool:
        """Tell whether one compiled model of a format takes every batch size; None for a format that is not known."""
        return self.dynamic_batch and form not in self.fixed_batch_formats

    def check_asked(self, asked: str) -> None:
        """Refuse what the backend does not answer.

        Raises:
            UnsupportedAskError: Saying what it does answer.
        """
        if asked not in self.asks:
            raise UnsupportedAskError(
                f"the backend {self.name!r} does not answer what is asked",
                got=asked,
                expected=" or ".join(self.asks),
                remedy=self._what_to_ask(asked),
            )

    def _what_to_ask(self, asked: str) -> str | None:
        if asked != "forward":
            return "tokens and scores of torch models come from backend 'torch'"
        remedies = {"generate": "prompts=Lengths(...)", "score": "asks='score' and a data set of texts"}
        return " or ".join(f"give {remedies[each]}" for each in self.asks if each in remedies) or None

    def check_options(self, options: Mapping[str, object]) -> None:
        """Refuse options that the backend does not have.

        Raises:
            SpecError: Naming the option and what comes near it.
        """
        known = [field.name for field in self.options]
        for name in options:
            if name not in known:
                guess = nearest(name, known)
                remedy = f"did you mean {guess[0]!r}?" if guess else None
                raise SpecError(
                    f"the backend {self.name!r} has no such option",
                    where=f"$.options.{name}",
                    expected=f"one of: {', '.join(known) or 'none'}",
                    remedy=remedy,
                )
