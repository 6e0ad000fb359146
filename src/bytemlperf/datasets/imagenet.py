"""ImageNet's images, or any others in the same layout."""

from __future__ import annotations

import hashlib
import os
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

from bytemlperf.datasets.base import DatasetLoader
from bytemlperf.datasets.binary_form import listing
from bytemlperf.datasets.contents import Paths, content_of_files, content_of_members
from bytemlperf.datasets.decoding import for_each, processors
from bytemlperf.datasets.image_pipelines import RESNET, SWIN, ImagePipeline, pipeline_of
from bytemlperf.datasets.imagenet_devkit import Numbered, devkit_labels, validation_name
from bytemlperf.datasets.imagenet_files import (
    DATASET,
    EXTENSIONS,
    LAYOUTS,
    VAL_MAP,
    Layout,
    add_list,
    find_files,
    read_list,
)
from bytemlperf.datasets.images import ImageInput, image_input
from bytemlperf.datasets.indexing import positions
from bytemlperf.datasets.listed_files import LabelledFile, ListedFiles, add_files
from bytemlperf.datasets.locating import FileOptions, located, split_off
from bytemlperf.datasets.resnet_images import read_rgb
from bytemlperf.datasets.tar_images import TarImages, read_member, sha256_of_member
from bytemlperf.errors import DatasetError, DatasetUnavailableError
from bytemlperf.spec import Axis
from bytemlperf.spec.fields import at_least, choice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Self

    from numpy.typing import NDArray
    from PIL import Image

    from bytemlperf.sample import Array
    from bytemlperf.spec import ModelSpec

_CLASSES: Final = 1000
_AT_ONCE: Final = 1024


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
    a few photographs, however many samples are asked for. Which images there are is looked up when the data are opened,
    and kept in the cache: nothing is in memory for an image that is not asked for.

    Source: O. Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge, IJCV 115, 2015.
    """

    name = DATASET
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
        self._files = files
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
        skipped: list[str] = []
        found = (_in_archive if place.is_file() else _in_folder)(place, options, classes, skipped)
        files: Sequence[LabelledFile] = found
        workers = options.workers or processors()
        if options.skip_unusable:
            files, unreadable = readable(place, found, read=read_rgb, workers=workers)
            skipped += unreadable
        return cls(
            place,
            files,
            to=to,
            pipeline=pipeline,
            first_label=first_label,
            workers=workers,
            evaluated=split_off(len(files), options.held_out, dataset=cls.name),
            skipped=skipped,
        )

    def __len__(self) -> int:
        """Return the number of images to evaluate."""
        return self._evaluated

    def load(self, indices: Sequence[int]) -> dict[str, Array]:
        """Decode and preprocess images, several at a time.

        Raises:
            DatasetError: If there is no such image, or one cannot be read; names the file.
        """
        files = self._chosen(indices)
        size = self._pipeline.size
        shape = (size, size, 3) if self._to.channels_last else (3, size, size)
        result = np.empty((len(files), *shape), np.float32)

        def put(row: int) -> None:
            image = _decoded(self._folder, files[row], self._read)
            self._pipeline.write(image, result[row], channels_last=self._to.channels_last)

        for_each(put, len(files), workers=self._workers)
        return {self._to.name: result}

    def labels(self, indices: Sequence[int]) -> NDArray[np.int64]:
        """Return the classes as the model numbers them, int64[n]."""
        return np.array([file.label + self._first_label for file in self._chosen(indices)], dtype=np.int64)

    def ids(self, indices: Sequence[int]) -> tuple[str, ...]:
        """Return the files' names, relative to the folder."""
        return tuple(file.name for file in self._chosen(indices))

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
        if self._folder.is_file():
            read = partial(sha256_of_member, self._folder)
            return content_of_members(self._folder, self._files, read, workers=self._workers)
        paths = Paths(lambda: (self._folder / file.name for file in self._files))
        return content_of_files(paths, workers=self._workers)

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

    def _chosen(self, indices: Sequence[int]) -> list[LabelledFile]:
        numbers = positions(indices, total=len(self._files), dataset=self.name)
        if isinstance(self._files, ListedFiles):
            return self._files.of(numbers)
        return [self._files[number] for number in numbers.tolist()]


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


def _decoded(place: Path, file: LabelledFile, read: Callable[[Path], Image.Image]) -> Image.Image:
    """Decode an image of a folder or of an archive."""
    return read(place / file.name) if file.offset is None else read_member(place, file)


def readable(
    place: Path, files: Sequence[LabelledFile], *, read: Callable[[Path], Image.Image], workers: int
) -> tuple[Sequence[LabelledFile], tuple[str, ...]]:
    """Decode every image; return those that can be read, and what is wrong with the others, in order.

    Raises:
        DatasetError: If none can be read.
    """
    problems: dict[int, str] = {}

    def try_one(row: int) -> None:
        try:
            _decoded(place, files[row], read)
        except DatasetError as error:
            problems[row] = str(error)

    for_each(try_one, len(files), workers=workers)
    if len(problems) == len(files):
        raise DatasetError("no image can be read", where=str(place), got=problems.get(0))
    told = tuple(problems[row] for row in sorted(problems))
    if isinstance(files, ListedFiles):
        return files.without(problems) if problems else files, told
    return tuple(file for row, file in enumerate(files) if row not in problems), told


def _in_folder(folder: Path, options: ImageNetOptions, classes: int | None, skipped: list[str]) -> ListedFiles:
    listed = (folder / VAL_MAP).is_file()
    if options.layout is Layout.DEVKIT or (options.layout is Layout.AUTO and options.devkit and not listed):
        kit = folder / (options.devkit or "ILSVRC2012_devkit_t12")
        images = devkit_labels(
            kit, partial(_names, folder), classes=classes, skipped=skipped if options.skip_unusable else None
        )
        return _kept(_numbered(folder, images), folder, options.cache)
    synsets = None if options.synsets is None else folder / options.synsets
    return find_files(folder, layout=options.layout, synsets=synsets, classes=classes, cache=options.cache)


def _in_archive(path: Path, options: ImageNetOptions, classes: int | None, skipped: list[str]) -> ListedFiles:
    archive = TarImages(path, cache=options.cache)
    if options.devkit is not None:
        images = devkit_labels(
            path.parent / options.devkit,
            lambda: (file.name for file in archive.files),
            classes=classes,
            skipped=skipped if options.skip_unusable else None,
        )
        return _kept(_numbered_members(archive, images), path, options.cache)
    listed = path.parent / (options.val_map or VAL_MAP)
    found = _listed_members(archive, listed, classes)
    return ListedFiles(listing(DATASET, lambda made: add_list(made, found, listed), cache=options.cache).path)


def _kept(files: Iterator[LabelledFile], place: Path, cache: str | None) -> ListedFiles:
    def write(folder: Path) -> None:
        if not add_files(folder, files):
            raise DatasetUnavailableError("there is no image", where=str(place), expected=LAYOUTS)

    return ListedFiles(listing(DATASET, write, cache=cache).path)


def _names(folder: Path) -> Iterator[str]:
    with os.scandir(folder) as entries:
        yield from (each.name for each in entries if Path(each.name).suffix.lower() in EXTENSIONS)


def _numbered(folder: Path, images: Iterator[Numbered]) -> Iterator[LabelledFile]:
    for image in images:
        name = validation_name(image.number)
        yield LabelledFile(name=name, label=image.label, size_bytes=(folder / name).stat().st_size)


def _numbered_members(archive: TarImages, images: Iterator[Numbered]) -> Iterator[LabelledFile]:
    while block := list(islice(images, _AT_ONCE)):
        for image, file in zip(block, archive.files.of([each.place for each in block]), strict=True):
            yield attrs.evolve(file, label=image.label)


def _listed_members(archive: TarImages, listed: Path, classes: int | None) -> Iterator[LabelledFile]:
    lines, total, missing = read_list(listed, classes), 0, []
    while block := list(islice(lines, _AT_ONCE)):
        total += len(block)
        for (name, label), file in zip(block, archive.find([name for name, _ in block]), strict=True):
            if file is None:
                missing.append(name)
            else:
                yield attrs.evolve(file, label=label)
    if missing or not total:
        what = f"{len(missing)} of {total} images in {listed.name} are missing"
        raise DatasetUnavailableError(what, where=str(archive.path), got=missing[:1], expected=LAYOUTS)
