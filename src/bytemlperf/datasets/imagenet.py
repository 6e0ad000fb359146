"""ImageNet's images, or any others in the same layout."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs
import numpy as np

from bytemlperf.datasets.base import DatasetLoader
from bytemlperf.datasets.contents import content_of_files, content_of_members
from bytemlperf.datasets.decoding import for_each, processors
from bytemlperf.datasets.image_pipelines import RESNET, SWIN, ImagePipeline, pipeline_of
from bytemlperf.datasets.imagenet_devkit import devkit_files
from bytemlperf.datasets.imagenet_files import EXTENSIONS, LAYOUTS, VAL_MAP, LabelledFile, Layout, find_files, read_list
from bytemlperf.datasets.images import ImageInput, image_input
from bytemlperf.datasets.indexing import positions
from bytemlperf.datasets.locating import FileOptions, located, split_off
from bytemlperf.datasets.resnet_images import read_rgb
from bytemlperf.datasets.tar_images import TarImages
from bytemlperf.errors import DatasetError, DatasetUnavailableError
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


def _as_layout(value: str | Layout) -> Layout:
    return choice(Layout)(value)


@attrs.frozen(kw_only=True)
class ImageNetOptions(FileOptions):
    """Where the images are, and how they are read. `path` is a folder, or an uncompressed tar archive of images.

    Attributes:
        layout: `auto`, `folders` (one for each class), `val_map` (a list) or `devkit`; `auto` takes the list where
            there is one, else the development kit where one is named, else class folders.
        synsets: For class folders: a text file, in the folder or by its full path, whose lines begin with the
            folders' names in the order of the labels. Without it the sorted names are the order, and every
            class must have its folder.
        devkit: Folder of the published development kit, in the folder or by its full path.
        val_map: For an archive: a list as `val_map.txt`, by its full path.
        skip_unusable: Decode every image when the data are opened, leave out those that cannot be read, that the
            development kit has no label for, or that its ground truth has and the data have not, and count them.
        workers: Threads that decode; None for as many as the process has processors, at most 16.
    """

    layout: Layout = attrs.field(default=Layout.AUTO, converter=_as_layout)
    synsets: str | None = None
    devkit: str | None = None
    val_map: str | None = None
    skip_unusable: bool = False
    workers: int | None = attrs.field(default=None, validator=at_least(1, optional=True))


class ImageNet(DatasetLoader):
    """Labelled photographs from a folder.

    Labels are 0 to 999 in the order of the sorted WordNet ids; a model of 1,001 classes has the background
    first, so its labels are one higher. `load` gives float32 [n, 3, size, size], or [n, size, size, 3] as the
    model has it, by the preprocessing that the model names (`imagenet-resnet/v1` at 224, `imagenet-swin/v1` at 384);
    `labels` int64 [n]. The last `held_out` images are for calibration.

    Files are decoded by threads. At any time at most `workers` decoded images are alive, each written to its
    place in the result before its thread takes the next; so memory is the result's 602,112 bytes a sample (at 224) and
    a few photographs, however many samples are asked for.

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
        pipeline: ImagePipeline = RESNET,
        first_label: int = 0,
        workers: int = 1,
        evaluated: int | None = None,
        skipped: Sequence[str] = (),
        read: Callable[[Path], Image.Image] = read_rgb,
    ) -> None:
        """Take what `open` found.

        Args:
            folder: Of the files.
            files: Images with labels, in the order of indices.
            to: Where the model takes an image.
            pipeline: What is done to an image.
            first_label: What the model calls class 0.
            workers: Threads that decode.
            evaluated: How many images are evaluated; None for all.
            skipped: Images that were left out, and why.
            read: Decodes a file to an RGB image.
        """
        self._folder = folder
        self._files = tuple(files)
        self._to = to
        self._pipeline = pipeline
        self._first_label = first_label
        self._workers = workers
        self._evaluated = len(self._files) if evaluated is None else evaluated
        self._skipped = tuple(skipped)
        self._read = read

    @classmethod
    def open(cls, spec: ModelSpec, options: ImageNetOptions) -> Self:
        """Look for the images; none is decoded yet, but where unreadable ones are to be left out.

        Raises:
            DatasetUnavailableError: If no folder is given, or it or an image is missing; says the layout.
            DatasetError: If labels cannot be told, or are not the model's.
            SpecError: If the model takes no image of this size, or wants another preprocessing.
        """
        pipeline = pipeline_of(spec, (RESNET, SWIN), dataset=cls.name)
        size = pipeline.size
        to = image_input(spec, channels=3, height=size, width=size, preprocessing=pipeline.name, dataset=cls.name)
        tar = _names_tar(options)
        place = located(options, dataset="ImageNet", layout=LAYOUTS, folder=not tar, unpacks=not tar)
        classes, first_label = _classes(spec)
        read: Callable[[Path], Image.Image] = read_rgb
        if place.is_file():
            read = TarImages(place)
            files, skipped = _in_archive(place, read, options, classes)
        else:
            files, skipped = _in_folder(place, options, classes)
        workers = options.workers or processors()
        if options.skip_unusable:
            files, unreadable = readable(place, files, read=read, workers=workers)
            skipped = (*skipped, *unreadable)
        return cls(
            place,
            files,
            to=to,
            pipeline=pipeline,
            first_label=first_label,
            workers=workers,
            evaluated=split_off(len(files), options.held_out, dataset=cls.name),
            skipped=skipped,
            read=read,
        )

    def __len__(self) -> int:
        """Return the number of images to evaluate."""
        return self._evaluated

    def load(self, indices: Sequence[int]) -> dict[str, Array]:
        """Decode and preprocess images, several at a time.

        Raises:
            DatasetError: If there is no such image, or one cannot be read; names the file.
        """
        files = [self._files[index].name for index in self._checked(indices).tolist()]
        size = self._pipeline.size
        shape = (size, size, 3) if self._to.channels_last else (3, size, size)
        result = np.empty((len(files), *shape), np.float32)

        def put(row: int) -> None:
            image = self._read(self._folder / files[row])
            self._pipeline.write(image, result[row], channels_last=self._to.channels_last)

        for_each(put, len(files), workers=self._workers)
        return {self._to.name: result}

    def labels(self, indices: Sequence[int]) -> NDArray[np.int64]:
        """Return the classes as the model numbers them, int64[n]."""
        chosen = self._checked(indices).tolist()
        return np.array([self._files[index].label + self._first_label for index in chosen], dtype=np.int64)

    def ids(self, indices: Sequence[int]) -> tuple[str, ...]:
        """Return the files' names, relative to the folder."""
        return tuple(self._files[index].name for index in self._checked(indices).tolist())

    def fingerprint(self) -> str:
        """Return a sha256 over the preprocessing's name and each file's name, label and content, in order.

        The files are read for it, but for those that nothing has touched since (`datasets.contents`).

        Raises:
            DatasetError: If a file is missing or cannot be read; names it.
        """
        split = f";held out {len(self._files) - self._evaluated}" if self._evaluated < len(self._files) else ""
        digest = hashlib.sha256(f"{self.preprocessing}{split};{self._content}".encode())
        for file in self._files:
            digest.update(f"\n{file.label} {file.name}".encode())
        return digest.hexdigest()

    @property
    def _content(self) -> str:
        names = [file.name for file in self._files]
        if isinstance(self._read, TarImages):
            return content_of_members(self._folder, names, self._read.sha256, workers=self._workers)
        return content_of_files([self._folder / name for name in names], workers=self._workers)

    @property
    def preprocessing(self) -> str:
        """Name and version of what is done to an image."""
        return self._pipeline.name

    @property
    def skipped(self) -> Sequence[str]:
        """Images that cannot be read, have no label, or are missing, where these may be left out."""
        return self._skipped

    def calibration(self) -> range:
        """Return the indices of the images that are held out."""
        return range(self._evaluated, len(self._files))

    def _checked(self, indices: Sequence[int]) -> NDArray[np.int64]:
        return positions(indices, total=len(self._files), dataset=self.name)


def _names_tar(options: ImageNetOptions) -> bool:
    """Whether the images are in an uncompressed archive, which is read as it is."""
    names = ((options.path or "").partition("#")[0], *options.files)
    return any(name.lower().endswith(".tar") for name in names)


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


def readable(
    folder: Path, files: Sequence[LabelledFile], *, read: Callable[[Path], Image.Image], workers: int
) -> tuple[tuple[LabelledFile, ...], tuple[str, ...]]:
    """Decode every image; return those that can be read, and what is wrong with the others, in order.

    Raises:
        DatasetError: If none can be read.
    """
    problems: dict[int, str] = {}

    def try_one(row: int) -> None:
        try:
            read(folder / files[row].name)
        except DatasetError as error:
            problems[row] = str(error)

    for_each(try_one, len(files), workers=workers)
    if len(problems) == len(files):
        raise DatasetError("no image can be read", where=str(folder), got=problems.get(0))
    kept = tuple(file for row, file in enumerate(files) if row not in problems)
    return kept, tuple(problems[row] for row in sorted(problems))


_Found: TypeAlias = tuple[tuple[LabelledFile, ...], tuple[str, ...]]
"""Images with labels, and what had to be left out."""


def _in_folder(folder: Path, options: ImageNetOptions, classes: int | None) -> _Found:
    listed = (folder / VAL_MAP).is_file()
    if options.layout is Layout.DEVKIT or (options.layout is Layout.AUTO and options.devkit and not listed):
        sizes = {each.name: each.stat().st_size for each in folder.iterdir() if each.suffix.lower() in EXTENSIONS}
        kit = folder / (options.devkit or "ILSVRC2012_devkit_t12")
        return devkit_files(kit, sizes, classes=classes, skip=options.skip_unusable)
    synsets = None if options.synsets is None else folder / options.synsets
    return find_files(folder, layout=options.layout, synsets=synsets, classes=classes), ()


def _in_archive(path: Path, archive: TarImages, options: ImageNetOptions, classes: int | None) -> _Found:
    sizes = archive.sizes
    if options.devkit is not None:
        return devkit_files(path.parent / options.devkit, sizes, classes=classes, skip=options.skip_unusable)
    listed = path.parent / (options.val_map or VAL_MAP)
    labels = dict(read_list(listed, classes))
    missing = [name for name in labels if name not in sizes]
    if missing or not labels:
        what = f"{len(missing)} of {len(labels)} images in {listed.name} are missing"
        raise DatasetUnavailableError(what, where=str(path), got=missing[:1], expected=LAYOUTS)
    return tuple(LabelledFile(name=name, label=label, size_bytes=sizes[name]) for name, label in labels.items()), ()
