"""What a model's file says of its own inputs and outputs, as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from bytemlperf.spec import DType
from bytemlperf.spec.fields import as_tuple, optional_tuple

if TYPE_CHECKING:
    from collections.abc import Container, Iterable


def argument_names(names: Iterable[str], known: Container[str]) -> set[str]:
    """Return names of a graph's tensors (`image:0`) as a signature's arguments (`image`), where those are known."""
    return {name if name in known else name.removesuffix(":0") for name in names}


@attrs.frozen(kw_only=True)
class FileTensor:
    """An input or output as its file declares it.

    Attributes:
        name: The file's own name.
        dtype: Element type.
        dims: A length, the symbol of a free length, or None for a free length without a symbol;
            None as a whole where not even the number of axes is declared.
    """

    name: str
    dtype: DType
    dims: tuple[int | str | None, ...] | None = attrs.field(converter=optional_tuple)


@attrs.frozen(kw_only=True)
class Signature:
    """The inputs and outputs of a model's file.

    Attributes:
        inputs: In the file's order; weights are none.
        outputs: In the file's order.
        precision: Type of most of its floating-point weights; None where it has none.
    """

    inputs: tuple[FileTensor, ...] = attrs.field(converter=as_tuple)
    outputs: tuple[FileTensor, ...] = attrs.field(converter=as_tuple)
    precision: DType | None = None
