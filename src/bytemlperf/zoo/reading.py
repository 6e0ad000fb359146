"""How the tensors of one model's file are read: under which names, and which axes are the batch's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import attrs

from bytemlperf.conversion.signature import FileTensor, Signature
from bytemlperf.errors import SpecError, UnknownNameError
from bytemlperf.spec import Axis, DType, Format, Framework, ModelSpec, TensorSpec
from bytemlperf.zoo.tensors import asked, axis_position, canonical_names, declared_shape, given_shape, grown_shape

if TYPE_CHECKING:
    from bytemlperf.zoo.tensors import Shape, Shapes


@attrs.frozen(kw_only=True)
class Reading:
    """A file's signature, and what the caller says of it.

    Attributes:
        signature: What the file declares.
        names: Canonical name of each tensor, by the file's name.
        shapes: Shapes that the caller gives, by the file's name.
        batch_axis: Where a free length is the batch's.
    """

    signature: Signature
    names: Mapping[str, str]
    shapes: Mapping[str, Sequence[int | str]]
    batch_axis: int | None

    @classmethod
    def of(cls, signature: Signature, *, batch_axis: int | None, shapes: Shapes | None) -> Reading:
        """Choose the names, and find the tensors that the caller speaks of.

        Raises:
            UnknownNameError: If `shapes` names no input or output.
        """
        names = canonical_names(tensor.name for tensor in (*signature.inputs, *signature.outputs))
        originals = {name: name for name in names} | {canonical: name for name, canonical in names.items()}
        for name in shapes or {}:
            if name not in originals:
                raise UnknownNameError("tensor in shapes", name, originals)
        given = {originals[name]: shape for name, shape in (shapes or {}).items()}
        return cls(signature=signature, names=names, shapes=given, batch_axis=batch_axis)

    @property
    def fixed_batch(self) -> int | None:
        """The only batch size, where the caller calls lengths the batch's that the file fixes.

        Raises:
            SpecError: If the inputs fix different ones.
        """
        sizes = {}
        for tensor in self.signature.inputs:
            given = given_shape(tensor, self.shapes[tensor.name]) if tensor.name in self.shapes else ()
            for length, dim in zip(given, tensor.dims or (), strict=False):
                if isinstance(length, Axis) and isinstance(dim, int):
                    sizes[tensor.name] = dim // length.times
        if len(set(sizes.values())) > 1:
            raise SpecError("the given shapes speak of different batch sizes", got=sizes)
        return next(iter(sizes.values()), None)

    def inputs(self) -> tuple[TensorSpec, ...]:
        """Return the specs of the inputs.

        Raises:
            SpecError: If a shape is not known; says how to give it.
        """
        return tuple(
            self._spec(tensor, self._given(tensor) or declared_shape(tensor, self.batch_axis))
            for tensor in self.signature.inputs
        )

    def outputs(self, measured: Mapping[int, Mapping[str, Sequence[int]]]) -> tuple[TensorSpec, ...]:
        """Return the specs of the outputs.

        Args:
            measured: By batch size, shapes that were inferred or seen, by the file's name.

        Raises:
            SpecError: If a shape is not known; says how to give it.
        """
        return tuple(self._spec(tensor, self._output_shape(tensor, measured)) for tensor in self.signature.outputs)

    def spec(
        self, name: str, framework: Framework, form: Format, measured: Mapping[int, Mapping[str, Sequence[int]]]
    ) -> ModelSpec:
        """Return the spec of the whole model."""
        inputs = self.inputs()
        floats = [tensor.dtype for tensor in inputs if tensor.dtype.is_float]
        return ModelSpec(
            name=name,
            framework=framework,
            format=form,
            precision=self.signature.precision or next(iter(floats), DType.FLOAT32),
            inputs=inputs,
            outputs=self.outputs(measured),
            batch_sizes=(self._only_batch_size(inputs) or 1,),
        )

    def _only_batch_size(self, inputs: tuple[TensorSpec, ...]) -> int | None:
        """Return the batch size that a model of fixed lengths takes."""
        if self.fixed_batch is not None or self.batch_axis is None:
            return self.fixed_batch
        positions = [(tensor, axis_position(tensor.shape, self.batch_axis)) for tensor in inputs]
        lengths = {tensor.shape[position] for tensor, position in positions if position is not None}
        only = lengths.pop() if len(lengths) == 1 else None
        return only if isinstance(only, int) else None

    def _given(self, tensor: FileTensor) -> Shape | None:
        return given_shape(tensor, self.shapes[tensor.name]) if tensor.name in self.shapes else None

    def _output_shape(self, tensor: FileTensor, measured: Mapping[int, Mapping[str, Sequence[int]]]) -> Shape:
        given = self._given(tensor)
        seen = {size: shapes[tensor.name] for size, shapes in measured.items() if tensor.name in shapes}
        if len(seen) == len(measured) > 1:
            return _agreed(tensor, given, seen)
        if given is not None:
            return given
        if self.fixed_batch is not None:
            return self._with_fixed_batch(tensor, self.fixed_batch)
        return self._declared_output(tensor, inference_failed=bool(measured))

    def _declared_output(self, tensor: FileTensor, *, inference_failed: bool) -> Shape:
        """Read an output's shape off the file.

        Where inference failed, a free length may be of any kind (how many boxes were found, say): it
        is the batch's only if the file gives it the name that the inputs' has.
        """
        free = self._batch_symbols()
        shape = declared_shape(tensor, self.batch_axis if free else None)
        named = [dim for dim in tensor.dims or () if not isinstance(dim, int)]
        if inference_failed and any(dim is None or dim not in free for dim in named):
            raise asked(tensor, "has a free length that may be another than the batch", got=list(tensor.dims or ()))
        return shape

    def _batch_symbols(self) -> set[str | None]:
        """Return what the inputs call the length of the batch."""
        axes = [(each, axis_position(each.dims or (), self.batch_axis)) for each in self.signature.inputs]
        lengths = [(each.dims or ())[position] for each, position in axes if position is not None]
        return {length for length in lengths if not isinstance(length, int)}

    def _with_fixed_batch(self, tensor: FileTensor, size: int) -> Shape:
        """Take the length at the batch's place for the batch's, as the caller did with the inputs."""
        shape = declared_shape(tensor, self.batch_axis)
        position = axis_position(shape, self.batch_axis)
        return tuple(Axis() if each == position and length == size else length for each, length in enumerate(shape))

    def _spec(self, tensor: FileTensor, shape: Shape) -> TensorSpec:
        name = self.names[tensor.name]
        original = None if name == tensor.name else tensor.name
        return TensorSpec(name=name, original_name=original, shape=shape, dtype=tensor.dtype)


def _agreed(tensor: FileTensor, given: Shape | None, seen: Mapping[int, Sequence[int]]) -> Shape:
    """Return the shape that was seen at two batch sizes, which the given one must not contradict."""
    shape = grown_shape(seen)
    if shape is None:
        error = SpecError(
            f"{tensor.name!r} grows with the batch in a way that no spec can say",
            got={f"batch {size}": list(lengths) for size, lengths in seen.items()},
            expected="each length fixed, or a multiple of the batch",
        )
    elif given is not None and given != shape:
        error = SpecError(
            f"the given shape of {tensor.name!r} contradicts what the model gives",
            got=list(map(str, given)),
            expected=str(list(map(str, shape))),
        )
    else:
        return shape
    error.tensor = tensor.name
    raise error
