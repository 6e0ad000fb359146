"""From the format that the zoo hands over to one that a backend takes. No framework is loaded before it is needed."""

from bytemlperf.conversion.base import CONVERTERS, Converter, convert, prepare, targets

__all__ = ["CONVERTERS", "Converter", "convert", "prepare", "targets"]
