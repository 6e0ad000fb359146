"""Images with objects to detect, in COCO's layout."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np
from PIL import Image

from bytemlperf.datasets.base import DatasetLoader
from bytemlperf.datasets.coco_files import LAYOUT, CocoImage, CocoImages, read_coco
from bytemlperf.datasets.contents import Paths, content_of_files
from bytemlperf.datasets.decoding import for_each, processors
from bytemlperf.datasets.images import ImageInput
from bytemlperf.datasets.indexing import positions
from bytemlperf.datasets.labels import ImageTruth, as_labels
from bytemlperf.datasets.locating import FileOptions, located, split_off
from bytemlperf.datasets.resnet_images import read_rgb
from bytemlperf.errors import DatasetError, DatasetUnavailableError, SpecError
from bytemlperf.spec import Axis
from bytemlperf.spec.fields import at_least

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from bytemlperf.sample import Array
    from bytemlperf.spec import ModelSpec

PREPROCESSING: Final = "letterbox/v1"
"""Name and version: any change of a pixel is another version."""
_GREY: Final = 114


@attrs.frozen(kw_only=True)
class CocoOptions(FileOptions):
    """Where the images and their annotations are. `path` is the folder.

    Attributes:
        annotations: File of the annotations, below the folder or by its full path.
        images: Folder of the images, below the folder or by its full path.
        skip_unusable: Decode every image when the data are opened, leave out those that cannot be read, and count them.
        workers: Threads that decode; None for as many as the process has processors, at most 16.
    """

    annotations: str = "annotations/instances_val2017.json"
    images: str = "val2017"
    skip_unusable: bool = False
    workers: int | None = attrs.field(default=None, validator=at_least(1, optional=True))


class Coco(DatasetLoader):
    """Photographs with objects, for a detector; labels are `ImageTruth`s.

    A photograph is resized (bilinear) until it fits into the model's image and put into its middle on grey 114, which
    is YOLOv5's letterbox without its minimal rectangle; pixels are divided by 255. `ImageTruth` says where it lies, so
    that boxes are compared in the photograph. Files are decoded by threads; memory is the result and a few photographs.
    The last `held_out` images are for calibration. Annotations are read once, record by record, and kept in the cache:
    nothing is in memory for an image that is not asked for.

    Source: T.-Y. Lin et al., Microsoft COCO: Common Objects in Context, ECCV 2014; the letterbox is that of YOLOv5.
    """

    name = "coco"
    options_type = CocoOptions
    metrics = ("map",)

    def __init__(
        self,
        images: CocoImages,
        *,
        to: ImageInput,
        size: tuple[int, int],
        evaluated: int | None = None,
        workers: int = 1,
        skipped: Sequence[str] = (),
    ) -> None:
        """Take what `open` found.

        Args:
            images: Those to evaluate, then those for calibration.
            to: Where the model takes an image.
            size: Width and height of the model's image.
            evaluated: How many images are evaluated; None for all.
            workers: Threads that decode.
            skipped: Images that were left out, and why.
        """
        self._images = images
        self._to = to
        self._size = size
        self._length = len(self._images) if evaluated is None else evaluated
        self._workers = workers
        self._skipped = tuple(skipped)

    @classmethod
    def open(cls, spec: ModelSpec, options: CocoOptions) -> Self:
        """Read the annotations; no image is decoded yet, but where unreadable ones are to be left out.

        Raises:
            DatasetUnavailableError: If a file is missing.
            DatasetError: If the annotations are damaged; names the record.
            SpecError: If the model does not take one image.
        """
        to, size = _image_input(spec)
        folder = located(options, dataset=cls.name, layout=LAYOUT, folder=True)
        annotations = folder / options.annotations
        if not annotations.is_file():
            raise DatasetUnavailableError("annotations are missing", where=str(annotations), expected=LAYOUT)
        images, workers = (
            read_coco(annotations, folder / options.images, cache=options.cache),
            options.workers or processors(),
        )
        skipped: tuple[str, ...] = ()
        if options.skip_unusable:
            images, skipped = _readable(images, workers)
        evaluated = split_off(len(images), options.held_out, dataset=cls.name)
        return cls(images, to=to, size=size, evaluated=evaluated, workers=workers, skipped=skipped)

    def __len__(self) -> int:
        """Return the number of images to evaluate."""
        return self._length

    def load(self, indices: Sequence[int]) -> dict[str, Array]:
        """Decode and letterbox images, several at a time.

        Raises:
            DatasetError: If there is no such image, or one cannot be read; names the file.
        """
        files = [image.file for image in self._chosen(indices)]
        width, height = self._size
        shape = (height, width, 3) if self._to.channels_last else (3, height, width)
        result = np.empty((len(files), *shape), np.float32)

        def put(row: int) -> None:
            pixels = np.asarray(letterboxed(read_rgb(files[row]), self._size))
            pixels = pixels if self._to.channels_last else pixels.transpose(2, 0, 1)
            np.divide(pixels, np.float32(255), out=result[row], dtype=np.float32)

        for_each(put, len(files), workers=self._workers)
        return {self._to.name: result}

    def labels(self, indices: Sequence[int]) -> Array:
        """Return `ImageTruth`s, an array of objects [n]; only the images' headers are read.

        Raises:
            DatasetError: If there is no such image, or one cannot be read.
        """
        return as_labels([self._truth(image) for image in self._chosen(indices)])

    def ids(self, indices: Sequence[int]) -> tuple[str, ...]:
        """Return the images' published ids."""
        return tuple(str(image.image_id) for image in self._chosen(indices))

    def calibration(self) -> range:
        """Return the indices of the images that are held out."""
        return range(self._length, len(self._images))

    def fingerprint(self) -> str:
        """Return a sha256 over the preprocessing and each image's id, name, content and objects.

        The files are read for it, but for those that nothing has touched since (`datasets.contents`).

        Raises:
            DatasetError: If a file is missing or cannot be read; names it.
        """
        files = Paths(lambda: (image.file for image in self._images))
        content = content_of_files(files, workers=self._workers)
        digest = hashlib.sha256(f"{self.preprocessing};{self._size};{self._length};{content}".encode())
        for image in self._images:
            digest.update(f"\n{image.image_id} {image.file.name}".encode())
            for array in (image.boxes, image.categories, image.crowd, image.areas):
                digest.update(array.tobytes())
        return digest.hexdigest()

    @property
    def preprocessing(self) -> str:
        """Name and version of the letterbox."""
        return PREPROCESSING

    @property
    def skipped(self) -> Sequence[str]:
        """Images that cannot be read."""
        return self._skipped

    def _chosen(self, indices: Sequence[int]) -> list[CocoImage]:
        return self._images.of(positions(indices, total=len(self._images), dataset=self.name))

    def _truth(self, image: CocoImage) -> ImageTruth:
        try:
            with Image.open(image.file) as header:
                size = header.size
        except (OSError, SyntaxError) as error:
            raise DatasetError("an image cannot be read", where=str(image.file), got=str(error)) from error
        scale, (left, top), _ = placed(size, self._size)
        return ImageTruth(
            image_id=image.image_id,
            boxes=image.boxes,
            categories=image.categories,
            crowd=image.crowd,
            areas=image.areas,
            scale=scale,
            left=left,
            top=top,
            width=size[0],
            height=size[1],
        )


def placed(size: tuple[int, int], into: tuple[int, int]) -> tuple[float, tuple[int, int], tuple[int, int]]:
    """Return scale, (left, top) and (width, height) of a photograph in the model's image.

    Example:
        >>> placed((320, 160), (640, 640))
        (2.0, (0, 160), (640, 320))
    """
    scale = min(into[0] / size[0], into[1] / size[1])
    width, height = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    # YOLOv5 rounds half a pixel less 0.1, so that of an odd rest the smaller part lies left and above.
    left, top = round((into[0] - width) / 2 - 0.1), round((into[1] - height) / 2 - 0.1)
    return scale, (left, top), (width, height)


def letterboxed(image: Image.Image, into: tuple[int, int]) -> Image.Image:
    """Return a photograph in the middle of an image of another size, on grey.

    Args:
        image: RGB.
        into: Width and height.
    """
    _, offset, size = placed(image.size, into)
    resized = image if size == image.size else image.resize(size, Image.Resampling.BILINEAR)
    result = Image.new("RGB", into, (_GREY, _GREY, _GREY))
    result.paste(resized, offset)
    return result


def _image_input(spec: ModelSpec) -> tuple[ImageInput, tuple[int, int]]:
    tensor = spec.inputs[0] if len(spec.inputs) == 1 else None
    if spec.preprocessing not in (None, PREPROCESSING):
        message = f"model {spec.name!r} wants another preprocessing than data set 'coco' does"
        raise SpecError(message, got=spec.preprocessing, expected=PREPROCESSING)
    if tensor is not None and tensor.dtype.is_float:
        match tensor.shape:
            case (Axis(), 3, int(height), int(width)):
                return ImageInput(name=tensor.name, channels_last=False), (width, height)
            case (Axis(), int(height), int(width), 3):
                return ImageInput(name=tensor.name, channels_last=True), (width, height)
    raise SpecError(
        f"data set 'coco' does not fit model {spec.name!r}",
        got=[f"{each.name}: {each.dtype}{[str(axis) for axis in each.shape]}" for each in spec.inputs],
        expected="one floating-point input [batch, 3, height, width]",
    )


def _readable(images: CocoImages, workers: int) -> tuple[CocoImages, tuple[str, ...]]:
    problems: dict[int, str] = {}

    def try_one(row: int) -> None:
        try:
            read_rgb(images.of([row])[0].file)
        except DatasetError as error:
            problems[row] = str(error)

    for_each(try_one, len(images), workers=workers)
    if len(problems) == len(images):
        raise DatasetError("no image can be read", got=problems.get(0))
    kept = images.without(problems) if problems else images
    return kept, tuple(problems[row] for row in sorted(problems))
