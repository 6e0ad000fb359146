"""ImageNet's images, or any others in the same layout, for models with ResNet's preprocessing."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

from bytemlperf.datasets.base import DatasetLoader, DatasetOptions
from bytemlperf.datasets.imagenet_files import LAYOUTS, LabelledFile, Layout, find_files
from bytemlperf.datasets.images import ImageInput, image_input
from bytemlperf.datasets.indexing import positions
from bytemlperf.datasets.resnet_images import CROP, PREPROCESSING, read_rgb, resnet_pixels
from bytemlperf.errors import DatasetUnavailableError
from bytemlperf.spec import Axis
from bytemlperf.spec.fields import at_least, choice

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self

    from numpy.typing import NDArray
    from PIL import Image

    from bytemlperf.sample import Array
    from bytemlperf.spec import ModelSpec

_CLASSES: Final = 1000
_WINDOW_PER_WORKER: Final = 4


def _as_layout(value: str | Layout) -> Layout:
    return choice(Layout)(value)


@attrs.frozen(kw_only=True)
class ImageNetOptions(DatasetOptions):
    """Where the images are, and how they are read.

    Attributes:
        path: The folder.
        layout: `auto`, `folders` (one for each class) or `val_map` (a list).
        synsets: For class folders: a text file, in the folder or by its full path, whose lines begin with the
            folders' names in the order of the labels. Without it the sorted names are the order, and every
            class must have its folder.
        workers: Threads that decode; None for as many as the process has processors, at most 16.
    """

    path: str | None = None
    layout: Layout = attrs.field(default=Layout.AUTO, converter=_as_layout)
    synsets: str | None = None
    workers: int | None = attrs.field(default=None, validator=at_least(1, optional=True))


class ImageNet(DatasetLoader):
    """Labelled photographs from a folder.

    Labels are 0 to 999 in the order of the sorted WordNet ids; a model of 1,001 classes has the background
    first, so its labels are one higher. `load` gives float32 [n, 3, 224, 224], or [n, 224, 224, 3] as the
    model has it; `labels` int64 [n].

    Files are decoded by threads. At any time at most `workers` decoded images are alive, each written to its
    place in the result before its thread takes the next, and 4 x `workers` files are waiting; so memory is the
    result's 602,112 bytes a sample and a few photographs, however many samples are asked for.

    Source: O. Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge, IJCV 115, 2015.
    """

    name = "imagenet2012"
    options_type = ImageNetOptions
    metrics = ("top1",)

    def __init__(
        self,
        folder: Path,
        files: Sequence[LabelledFile],
        *,
        to: ImageInput,
        first_label: int = 0,
        workers: int = 1,
        read: Callable[[Path], Image.Image] = read_rgb,
    ) -> None:
        """Take what `open` found.

        Args:
            folder: Of the files.
            files: Images with labels, in the order of indices.
            to: Where the model takes an image.
            first_label: What the model calls class 0.
            workers: Threads that decode.
            read: Decodes a file to an RGB image.
        """
        self._folder = folder
        self._files = tuple(files)
        self._to = to
        self._first_label = first_label
        self._workers = workers
        self._read = read

    @classmethod
    def open(cls, spec: ModelSpec, options: ImageNetOptions) -> Self:
        """Look for the images; none is decoded yet.

        Raises:
            DatasetUnavailableError: If no folder is given, or it or an image is missing; says the layout.
            DatasetError: If labels cannot be told, or are not the model's.
            SpecError: If the model takes no image of this size, or wants another preprocessing.
        """
        to = image_input(spec, channels=3, height=CROP, width=CROP, preprocessing=PREPROCESSING, dataset=cls.name)
        if options.path is None:
            remedy = "name the folder: option `path` of the data set"
            raise DatasetUnavailableError("ImageNet's images come with no package", expected=LAYOUTS, remedy=remedy)
        folder = Path(options.path)
        classes, first_label = _classes(spec)
        synsets = None if options.synsets is None else folder / options.synsets
        files = find_files(folder, layout=options.layout, synsets=synsets, classes=classes)
        return cls(folder, files, to=to, first_label=first_label, workers=options.workers or _processors())

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._files)

    def load(self, indices: Sequence[int]) -> dict[str, Array]:
        """Decode and preprocess images, several at a time.

        Raises:
            DatasetError: If there is no such image, or one cannot be read; names the file.
        """
        files = [self._files[index].name for index in self._checked(indices).tolist()]
        shape = (CROP, CROP, 3) if self._to.channels_last else (3, CROP, CROP)
        result = np.empty((len(files), *shape), np.float32)

        def put(row: int) -> None:
            pixels = resnet_pixels(self._read(self._folder / files[row]))
            result[row] = pixels if self._to.channels_last else pixels.transpose(2, 0, 1)

        window = self._workers * _WINDOW_PER_WORKER
        with ThreadPoolExecutor(self._workers, thread_name_prefix="decode") as pool:
            for start in range(0, len(files), window):
                for _ in pool.map(put, range(start, min(start + window, len(files)))):
                    pass
        return {self._to.name: result}

    def labels(self, indices: Sequence[int]) -> NDArray[np.int64]:
        """Return the classes as the model numbers them, int64[n]."""
        chosen = self._checked(indices).tolist()
        return np.array([self._files[index].label + self._first_label for index in chosen], dtype=np.int64)

    def ids(self, indices: Sequence[int]) -> tuple[str, ...]:
        """Return the files' names, relative to the folder."""
        return tuple(self._files[index].name for index in self._checked(indices).tolist())

    def fingerprint(self) -> str:
        """Return a sha256 over the preprocessing's name and each file's name, size and label, in order.

        Pixels are not read for it: a file that was replaced by one of the same size is not noticed.
        """
        digest = hashlib.sha256(self.preprocessing.encode())
        for file in self._files:
            digest.update(f"\n{file.label} {file.size_bytes} {file.name}".encode())
        return digest.hexdigest()

    @property
    def preprocessing(self) -> str:
        """Name and version of ResNet's preprocessing."""
        return PREPROCESSING

    def _checked(self, indices: Sequence[int]) -> NDArray[np.int64]:
        return positions(indices, total=len(self._files), dataset=self.name)


def _classes(spec: ModelSpec) -> tuple[int | None, int]:
    """Return how many classes of images the model tells apart, and what it calls the first."""
    shapes = [tensor.shape for tensor in spec.outputs]
    match shapes:
        case [(Axis(), int(classes))] if classes == _CLASSES + 1:
            return _CLASSES, 1
        case [(Axis(), int(classes))]:
            return classes, 0
        case _:
            return None, 0


def _processors() -> int:
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(available or 1, 16)
