"""What it means to cut a model into prefixes, whatever its format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from bytemlperf.artifact import ModelArtifact


@attrs.frozen(kw_only=True)
class Operator:
    """One operator of a graph whose result depends on the model's inputs.

    Attributes:
        kind: Its type, such as `Conv`; one of another domain than ONNX's own is `domain::Type`.
        name: Of the node; empty where the model gives none.
        inputs: Tensors that it takes and that depend on the model's inputs, by the model's own names.
        outputs: Tensors that it makes, by the model's own names.
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def __str__(self) -> str:
        """Write type and name: `Conv '/layer1/conv1'`; without a name, what it makes stands for it."""
        return f"{self.kind} {(self.name or self.outputs[0])!r}"


class Cuts(Protocol):
    """A model that can be cut after any of its operators.

    A cut after `n` operators keeps the first n in a topological order, and gives the tensors that are still needed
    behind it. So a difference that reaches the end of the model passes through every cut between its origin and there.
    """

    @property
    def operators(self) -> tuple[Operator, ...]:
        """Every operator that depends on the inputs, in a topological order."""

    def live_after(self, count: int) -> tuple[str, ...]:
        """Return the tensors that the first `count` operators make and that are needed after them.

        What is no array of numbers (sequences, strings, shapes) cannot be compared and is left out.
        """

    def is_made(self, tensor: str) -> bool:
        """Whether an operator makes a tensor; the model's inputs are made by none."""

    def is_comparable(self, tensor: str) -> bool:
        """Whether a tensor is an array of numbers, as far as that can be told."""

    def cut(
        self, tensors: Sequence[str], folder: Path, *, shapes: Mapping[str, tuple[int, ...]] | None = None
    ) -> ModelArtifact:
        """Make the part of the model that makes some tensors; all inputs stay.

        Args:
            tensors: By the model's own names; they become the outputs `t0`, `t1` and so on. One that is an input is
                handed on as it is.
            folder: An empty or new folder for files.
            shapes: Of those tensors at the batch size, where they are known better than by inference.

        Raises:
            ConversionError: If a tensor is no input and no operator makes it, or the folder cannot be written.
        """


def live_after(
    operators: Sequence[Operator], count: int, *, ends: frozenset[str], comparable: Mapping[str, bool]
) -> tuple[str, ...]:
    """Return what the first operators make and what is needed after them, of what can be compared."""
    made = [name for operator in operators[:count] for name in operator.outputs]
    needed = {name for operator in operators[count:] for name in operator.inputs} | ends
    return tuple(name for name in made if name in needed and comparable.get(name, True))
