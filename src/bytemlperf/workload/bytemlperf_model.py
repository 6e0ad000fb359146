"""The members of ByteMLPerf's model files and what they mean in our words."""

from __future__ import annotations

import keyword
import re
from typing import TYPE_CHECKING, Final

from bytemlperf.errors import SpecError, nearest
from bytemlperf.spec import Axis, Domain, DType, Format, Framework, ModelSpec, Purpose, TensorSpec
from bytemlperf.workload.expressions import axis_length

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bytemlperf.spec.reading import Json
    from bytemlperf.workload.foreign import Document

_REQUIRED: Final = (
    "model",
    "model_path",
    "framework",
    "framework_version",
    "model_format",
    "model_precision",
    "inputs",
    "outputs",
    "input_shape",
    "input_type",
    "dataset_name",
    "max_batch_size",
)
_OPTIONAL: Final = ("is_quantized", "layout")
MODEL_KEYS: Final = _REQUIRED + _OPTIONAL
"""What a model file holds; the last two are optional."""

FRAMEWORKS: Final = {
    "Pytorch": Framework.TORCH,
    "Tensorflow": Framework.TENSORFLOW,
    "Onnx": Framework.ONNX,
}
"""Frameworks by the original's names."""

_FORMATS: Final = {
    "pt": Format.TORCHSCRIPT,
    "saved_model": Format.SAVED_MODEL,
    "onnx": Format.ONNX,
    "bin": Format.TORCH,
    "pth": Format.TORCH,
}
_DATASETS: Final = {"open_imagenet": "imagenet2012", "fake_dataset": "synthetic"}
"""Data sets that have another name here; any other keeps its own."""

_DOMAINS: Final = {
    Domain.CV: ("resnet50", "swin-large", "yolov5", "unet", "vae-encoder", "vae-decoder", "clip"),
    Domain.NLP: (
        "bert",
        "albert",
        "roberta",
        "deberta",
        "roformer",
        "conformer-encoder",
        "gpt2",
        "llama2-7b",
        "chatglm2-6b",
    ),
    Domain.REC: ("widedeep",),
    Domain.MM: ("videobert",),
}
_UNBATCHED: Final = "text"
"""The one input that the original never multiplies by the batch size."""


def model_of(document: Document) -> tuple[ModelSpec, tuple[str, ...]]:
    """Return the spec that a model file tells, and warnings.

    Raises:
        SpecError: If something is missing or wrong; names the file and the path.
    """
    name = document.task_name("model")
    _check_the_rest(document)
    spec = ModelSpec(
        name=name,
        model=_bare(name),
        domain=_domain(name),
        purpose=_purpose(document.text("model_path")),
        framework=FRAMEWORKS[_one_of(document, "framework", tuple(FRAMEWORKS))],
        format=_FORMATS[_one_of(document, "model_format", tuple(_FORMATS))],
        precision=_dtype(document, document.text("model_precision"), "$.model_precision"),
        inputs=_inputs(document),
        outputs=(),
        dataset=_dataset(document),
    )
    return spec, _warnings(document, spec)


def format_name(spec: ModelSpec) -> Json:
    """Return the original's name of a spec's format.

    Raises:
        SpecError: If it has none.
    """
    for name, each in _FORMATS.items():
        if each is spec.format:
            return name
    raise SpecError("ByteMLPerf has no such format", where="$.model_format", got=spec.format)


def dataset_name(spec: ModelSpec) -> Json:
    """Return the original's name of a spec's data set."""
    return None if spec.dataset is None else original_dataset_name(spec.dataset)


def original_dataset_name(name: str) -> str:
    """Return the original's name of one of our data sets; one that it does not have keeps its own.

    Example:
        >>> original_dataset_name("imagenet2012"), original_dataset_name("digits")
        ('open_imagenet', 'digits')
    """
    return next((theirs for theirs, ours in _DATASETS.items() if ours == name), name)


def input_shapes(spec: ModelSpec) -> Json:
    """Return each input's shape for one sample, by the name in the model's file.

    Raises:
        SpecError: If an input has no batch axis in front and is not the one that the original leaves alone.
    """
    return {tensor.file_name: _written_shape(tensor) for tensor in spec.inputs}


def input_types(spec: ModelSpec) -> Json:
    """Return the inputs' types as text with commas."""
    return ",".join("STRING" if tensor.dtype is DType.STRING else tensor.dtype.upper() for tensor in spec.inputs)


def canonical_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return a distinct Python identifier for each name of a model's file.

    The path before the last `/` and a port or trace number at the end go, where the rest is still distinct.

    Example:
        >>> canonical_names(("input_ids:0", "attention_mask.1", "import/head/probabilities:0", "345"))
        ('input_ids', 'attention_mask', 'probabilities', 't345')
    """
    levels = (
        [_identifier(_bare_tensor(name).rsplit("/", 1)[-1]) for name in names],
        [_identifier(_bare_tensor(name)) for name in names],
        [_identifier(name) for name in names],
    )
    chosen: list[str] = []
    for index in range(len(names)):
        wanted = next((level[index] for level in levels if level.count(level[index]) == 1), levels[-1][index])
        candidates = (wanted, *(f"{wanted}_{number}" for number in range(2, len(names) + 2)))
        chosen.append(next(each for each in candidates if each not in chosen))
    return tuple(chosen)


def _bare_tensor(name: str) -> str:
    return re.sub(r"(?<=.)[:.]\d+$", "", name)


def _identifier(name: str) -> str:
    plain = re.sub(r"[^0-9A-Za-z_]", "_", name) or "tensor"
    plain = f"t{plain}" if plain[0].isdigit() else plain
    return f"{plain}_" if keyword.iskeyword(plain) else plain


def _check_the_rest(document: Document) -> None:
    """Check what a spec has no place for."""
    document.text("framework_version")
    if document.value("max_batch_size") is not None:
        document.whole("max_batch_size")
    if "is_quantized" in document.fields:
        document.flag("is_quantized")
    if "layout" in document.fields:
        _one_of(document, "layout", ("NHWC", "NCHW"))
    if _tells_tensors(document):
        document.names("outputs")


def _one_of(document: Document, key: str, known: tuple[str, ...]) -> str:
    text = document.text(key)
    found = next((each for each in known if each.lower() == text.lower()), None)
    if found is None:
        guess = nearest(text, known)
        remedy = f"did you mean {guess[0]!r}?" if guess else None
        document.refuse("unknown value", f"$.{key}", got=text, expected=f"one of {', '.join(known)}", remedy=remedy)
    return found


def _dtype(document: Document, text: str, path: str) -> DType:
    try:
        return DType.of(text)
    except SpecError as error:
        document.refuse(error.what, path, got=text, expected=error.expected, remedy=error.remedy)


def _domain(name: str) -> Domain:
    return next((domain for domain, models in _DOMAINS.items() if _bare(name) in models), Domain.OTHER)


def _bare(name: str) -> str:
    """Take framework and precision off a task's name."""
    return re.sub(r"-(torch|tf|onnx)-[a-z]+\d+$", "", name)


def _purpose(path: str) -> Purpose:
    folders = set(re.split(r"[/\\]", path))
    return next((each for each in Purpose if each.value in folders), Purpose.CUSTOM)


def _dataset(document: Document) -> str | None:
    value = document.value("dataset_name")
    if value is None or value == "":
        return None
    name = document.text("dataset_name")
    return _DATASETS.get(name, name)


def _tells_tensors(document: Document) -> bool:
    """Whether the file tells inputs and outputs: all four members, or (as for language models) none."""
    keys = ("inputs", "outputs", "input_shape", "input_type")
    absent = [key for key in keys if document.value(key) is None]
    if absent and len(absent) != len(keys):
        told = ", ".join(f"$.{key}" for key in keys)
        document.refuse(
            "null beside members that are given", f"$.{absent[0]}", expected=f"null in all or none of {told}"
        )
    return not absent


def _inputs(document: Document) -> tuple[TensorSpec, ...]:
    if not _tells_tensors(document):
        return ()
    names = document.names("inputs")
    types = tuple(part.strip() for part in document.text("input_type").split(","))
    if len(types) != len(names):
        document.refuse(
            "not one type for each input", "$.input_type", got=types, expected=f"{len(names)}, as $.inputs has names"
        )
    shapes = _shapes(document, names)
    return tuple(
        TensorSpec(
            name=canonical,
            original_name=None if canonical == name else name,
            shape=shapes[name],
            dtype=_dtype(document, kind, f"$.input_type[{index}]"),
        )
        for index, (name, canonical, kind) in enumerate(zip(names, canonical_names(names), types, strict=True))
    )


def _shapes(document: Document, names: tuple[str, ...]) -> Mapping[str, tuple[int | Axis, ...]]:
    given = document.value("input_shape")
    if not isinstance(given, dict):
        document.refuse("wrong type", "$.input_shape", got=given, expected="an object of shapes by input")
    for name in names:
        if name not in given:
            document.refuse("an input of $.inputs without a shape", f"$.input_shape.{name}")
    for name in given:
        if name not in names:
            document.refuse(
                "a shape of no input", f"$.input_shape.{name}", expected=f"a name of $.inputs: {', '.join(names)}"
            )
    return {name: _shape(document, name, shape) for name, shape in given.items()}


def _shape(document: Document, name: str, shape: Json) -> tuple[int | Axis, ...]:
    path = f"$.input_shape.{name}"
    if not isinstance(shape, list) or not shape:
        document.refuse("wrong type or empty", path, got=shape, expected="a list of axis lengths")
    lengths = tuple(_length(document, each, f"{path}[{index}]") for index, each in enumerate(shape))
    first = lengths[0]
    if name == _UNBATCHED or isinstance(first, Axis):
        return lengths
    return (Axis(times=first), *lengths[1:])


def _length(document: Document, value: Json, path: str) -> int | Axis:
    if not isinstance(value, str):
        return document.whole_value(value, path)
    numbers = {
        key: each for key, each in document.fields.items() if isinstance(each, int) and not isinstance(each, bool)
    }
    try:
        return axis_length(value, numbers)
    except SpecError as error:
        document.refuse(error.what, path, got=error.got, expected=error.expected, remedy=error.remedy)


def _written_shape(tensor: TensorSpec) -> Json:
    first = tensor.shape[0] if tensor.shape else None
    if isinstance(first, Axis):
        return [first.times, *(axis if isinstance(axis, int) else str(axis) for axis in tensor.shape[1:])]
    if tensor.file_name != _UNBATCHED or first is None:
        raise SpecError(
            "ByteMLPerf multiplies the first axis of every input by the batch size",
            where=f"$.input_shape.{tensor.file_name}",
            got=[str(axis) for axis in tensor.shape],
        )
    return [axis if isinstance(axis, int) else str(axis) for axis in tensor.shape]


def _warnings(document: Document, spec: ModelSpec) -> tuple[str, ...]:
    told = []
    if not spec.inputs:
        told.append(f"the file tells no inputs and outputs (at {document.place('$.inputs')})")
    else:
        told.append(f"the file tells no shapes and types of outputs (at {document.place('$.outputs')})")
    for tensor in spec.inputs:
        if tensor.batch_axis is None:
            place = document.place(f"$.input_shape.{tensor.file_name}")
            told.append(f"the input is taken as the same for every batch size (at {place})")
    if spec.format is Format.TORCH:
        told.append(f"the weights are no safetensors file yet (at {document.place('$.model_format')})")
    return tuple(told)
