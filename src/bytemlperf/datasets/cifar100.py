"""CIFAR-100 for image-text models: each class is a prompt."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np
from PIL import Image

from bytemlperf.datasets.base import DatasetLoader
from bytemlperf.datasets.casting import numpy_dtype
from bytemlperf.datasets.cifar100_classes import CLASS_NAMES
from bytemlperf.datasets.cifar100_files import CLASSES, LAYOUT, SIDE, Cifar, read_part
from bytemlperf.datasets.decoding import for_each, processors
from bytemlperf.datasets.image_pipelines import CLIP
from bytemlperf.datasets.images import ImageInput
from bytemlperf.datasets.indexing import positions
from bytemlperf.datasets.locating import FileOptions, located, split_off
from bytemlperf.datasets.tokenizing import model_tokenizer, token_id
from bytemlperf.errors import DatasetError, DatasetUnavailableError, SpecError
from bytemlperf.spec import Axis
from bytemlperf.spec.fields import at_least

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Self

    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    from bytemlperf.sample import Array
    from bytemlperf.spec import ModelSpec, TensorSpec

TEXT_FILE: Final = "text.npy"
"""Token ids of the prompts, [100, 77], where the original's data have them."""
_CALIBRATION: Final = 512
_AT_ONCE: Final = 1000


@attrs.frozen(kw_only=True)
class CifarOptions(FileOptions):
    """Where the images are, and how classes become prompts.

    Attributes:
        tokenizer: Folder of the model's tokenizer, or one of its files; only needed without `text.npy`.
        prompt: Prompt of a class; `{}` is its name, spaces for underscores.
        workers: Threads that resize; None for as many as the process has processors, at most 16.
    """

    tokenizer: str | None = None
    prompt: str = "a photo of a {}."
    workers: int | None = attrs.field(default=None, validator=at_least(1, optional=True))


class Cifar100(DatasetLoader):
    """The 10,000 test images, for a model that says how well an image fits each of 100 prompts.

    `load` gives images, resized from 32 to 224 pixels as CLIP does, and the prompts' token ids once, where the model
    takes them; `labels` the right prompt, int64[n]. Where training images lie beside, the first 512 are for
    calibration; else the last `held_out` images.

    The published pickle's pixels are read where they lie in the file, and those of parquet files are decoded once, into
    the cache; of an image nothing but its label, one byte, is in memory before it is asked for.

    Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
    """

    name = "cifar100"
    options_type = CifarOptions
    metrics = ("zero_shot_top1",)

    def __init__(
        self,
        images: Cifar,
        training: Cifar | None = None,
        *,
        to: ImageInput,
        prompts: tuple[str, Array] | None = None,
        evaluated: int | None = None,
        workers: int = 1,
    ) -> None:
        """Take what was read.

        Args:
            images: Those to evaluate, then those for calibration.
            training: Of which the first 512 are for calibration besides.
            to: Where the model takes an image.
            prompts: Name of the input that takes them, and their token ids; None where the model takes none.
            evaluated: How many images are evaluated; None for all.
            workers: Threads that resize.
        """
        self._images = images
        self._more = (
            np.empty((0, SIDE, SIDE, 3), np.uint8) if training is None else training.pixels(slice(_CALIBRATION))
        )
        self._labels = np.concatenate([images.labels, *(() if training is None else [training.labels[:_CALIBRATION]])])
        self._to = to
        self._prompts = prompts
        self._length = len(images.labels) if evaluated is None else evaluated
        self._workers = workers

    @classmethod
    def open(cls, spec: ModelSpec, options: CifarOptions) -> Self:
        """Read the images.

        Raises:
            DatasetUnavailableError: If the images, or a tokenizer for the prompts, are missing.
            DatasetError: If a file is damaged, or is a pickle with code.
            SpecError: If the model takes no image of 224 pixels.
        """
        to, text = _inputs(spec)
        folder = located(options, dataset=cls.name, layout=LAYOUT, folder=True)
        folder = folder / "cifar-100-python" if (folder / "cifar-100-python").is_dir() else folder
        images = read_part(folder, "test", cache=options.cache)
        if images is None:
            raise DatasetUnavailableError("there are no test images", where=str(folder), expected=LAYOUT)
        evaluated = split_off(len(images.labels), options.held_out, dataset=cls.name)
        training = None if options.held_out else read_part(folder, "train", cache=options.cache)
        prompts = None if text is None else (text.name, _prompts(spec, text, folder, images.names, options))
        workers = options.workers or processors()
        return cls(images, training, to=to, prompts=prompts, evaluated=evaluated, workers=workers)

    def __len__(self) -> int:
        """Return the number of images to evaluate."""
        return self._length

    def load(self, indices: Sequence[int]) -> dict[str, Array]:
        """Return images, and the prompts where the model takes them.

        Raises:
            DatasetError: If there is no such image.
        """
        pixels = self._pixels(self._checked(indices))
        shape = (CLIP.size, CLIP.size, 3) if self._to.channels_last else (3, CLIP.size, CLIP.size)
        result = np.empty((len(pixels), *shape), np.float32)

        def put(row: int) -> None:
            CLIP.write(Image.fromarray(pixels[row]), result[row], channels_last=self._to.channels_last)

        for_each(put, len(pixels), workers=self._workers)
        return {self._to.name: result, **({} if self._prompts is None else dict([self._prompts]))}

    def labels(self, indices: Sequence[int]) -> NDArray[np.int64]:
        """Return the index of each image's own prompt, int64[n]."""
        return self._labels[self._checked(indices)].astype(np.int64)

    def ids(self, indices: Sequence[int]) -> tuple[str, ...]:
        """Return `test/<number>`, and `calibration/<number>` for what is not evaluated."""
        numbers = self._checked(indices).tolist()
        return tuple(f"{'test' if number < self._length else 'calibration'}/{number}" for number in numbers)

    def calibration(self) -> range:
        """Return the indices of images that are not evaluated."""
        return range(self._length, len(self._labels))

    def fingerprint(self) -> str:
        """Return a sha256 over the preprocessing, all pixels and labels, and the prompts."""
        digest = hashlib.sha256(f"{self.preprocessing};{self._length}".encode())
        for part in self._parts():
            digest.update(self._pixels(part).tobytes())
        for part in self._parts():
            digest.update(self._labels[part].astype(np.int64).tobytes())
        if self._prompts is not None:
            digest.update(np.ascontiguousarray(self._prompts[1]).tobytes())
        return digest.hexdigest()

    @property
    def preprocessing(self) -> str:
        """Name and version of CLIP's preprocessing."""
        return CLIP.name

    def _parts(self) -> Iterator[NDArray[np.int64]]:
        """Yield all indices, some at a time."""
        total = len(self._labels)
        return (np.arange(start, min(start + _AT_ONCE, total)) for start in range(0, total, _AT_ONCE))

    def _pixels(self, chosen: NDArray[np.int64]) -> NDArray[np.uint8]:
        first = len(self._images.labels)
        pixels = np.empty((len(chosen), SIDE, SIDE, 3), np.uint8)
        pixels[chosen < first] = self._images.pixels(chosen[chosen < first])
        pixels[chosen >= first] = self._more[chosen[chosen >= first] - first]
        return pixels

    def _checked(self, indices: Sequence[int]) -> NDArray[np.int64]:
        return positions(indices, total=len(self._labels), dataset=self.name)


def _inputs(spec: ModelSpec) -> tuple[ImageInput, TensorSpec | None]:
    first, last = (Axis(), 3, CLIP.size, CLIP.size), (Axis(), CLIP.size, CLIP.size, 3)
    images = [each for each in spec.inputs if each.shape in (first, last) and each.dtype.is_float]
    texts = [each for each in spec.inputs if each.batch_axis is None and each.shape[:1] == (CLASSES,)]
    if len(images) != 1 or len(images) + len(texts) != len(spec.inputs) or len(texts) > 1:
        raise SpecError(
            f"data set 'cifar100' does not fit model {spec.name!r}",
            got=[f"{each.name}: {each.dtype}{[str(axis) for axis in each.shape]}" for each in spec.inputs],
            expected=f"an image [batch, 3, {CLIP.size}, {CLIP.size}] and {CLASSES} prompts [{CLASSES}, tokens]",
        )
    if spec.preprocessing not in (None, CLIP.name):
        message = f"model {spec.name!r} wants another preprocessing than data set 'cifar100' does"
        raise SpecError(message, got=spec.preprocessing, expected=CLIP.name)
    return ImageInput(name=images[0].name, channels_last=images[0].shape != first), texts[0] if texts else None


def _prompts(spec: ModelSpec, text: TensorSpec, folder: Path, names: tuple[str, ...], options: CifarOptions) -> Array:
    """Return the prompts' token ids, in the input's shape and type."""
    shape, dtype = text.sized(1), numpy_dtype(text.dtype)
    path = folder / TEXT_FILE
    if path.is_file() and options.tokenizer is None:
        try:
            found = np.load(path, allow_pickle=False)
        except ValueError as error:
            raise DatasetError("prompts cannot be read", where=str(path), got=str(error)) from error
        if found.shape != shape or found.dtype.kind not in "iu":
            raise DatasetError("prompts have another shape", where=str(path), got=found.shape, expected=str(shape))
        prompts: Array = found.astype(dtype)
        return prompts
    tokenizer = model_tokenizer(spec, options.tokenizer, beside=folder)
    texts = [options.prompt.format(name.replace("_", " ")) for name in names or CLASS_NAMES]
    return _tokens(tokenizer, texts, length=shape[1]).astype(dtype)


def _tokens(tokenizer: Tokenizer, prompts: list[str], *, length: int) -> NDArray[np.int64]:
    """Return CLIP's tokens: begin, prompt, end, and 0 after it."""
    begin, end = token_id(tokenizer, "<|startoftext|>"), token_id(tokenizer, "<|endoftext|>")
    result = np.zeros((len(prompts), length), np.int64)
    for row, encoding in enumerate(tokenizer.encode_batch(prompts, add_special_tokens=False)):
        tokens = [begin, *encoding.ids[: length - 2], end]
        result[row, : len(tokens)] = tokens
    return result
