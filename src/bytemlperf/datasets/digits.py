"""The 1,797 handwritten digits that scikit-learn ships: real images, small enough to come along."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from bytemlperf.datasets.base import DatasetLoader, DatasetOptions
from bytemlperf.datasets.images import ImageInput, image_input
from bytemlperf.datasets.indexing import positions
from bytemlperf.errors import DatasetUnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from numpy.typing import NDArray

    from bytemlperf.sample import Array
    from bytemlperf.spec import ModelSpec

HELD_OUT: Final = 360
"""How many images, the last of the file, are for evaluation; training never saw them."""

PREPROCESSING: Final = "digits/v1"
"""Name and version: pixels / 16, as float32."""

_FILE: Final = Path(__file__).parent / "data" / "digits.npz"
_BRIGHTEST: Final = 16


class Digits(DatasetLoader):
    """Handwritten digits of 8 x 8 pixels with 17 levels, 0 to 16; labels 0 to 9.

    Index 0 is the first of the last 360 images: those are evaluated. The 1,437 before them, which models
    are trained on, are for calibration and come after: index 360 is the file's first.

    `load` gives float32 [n, 1, 8, 8] (or [n, 8, 8, 1], as the model has it), pixels / 16; `labels` int64 [n].

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning
        Repository, 1998 (https://doi.org/10.24432/C50P49, CC BY 4.0), its test part as scikit-learn's
        `load_digits` has it.
    """

    name = "digits"
    metrics = ("top1",)

    def __init__(self, images: NDArray[np.uint8], labels: NDArray[np.uint8], *, to: ImageInput) -> None:
        """Take the arrays of the published file, in its order.

        Args:
            images: [n, 8, 8], 0 to 16.
            labels: [n], 0 to 9.
            to: Where the model takes an image.
        """
        self._images = images
        self._labels = labels
        self._to = to

    @classmethod
    def open(cls, spec: ModelSpec, options: DatasetOptions) -> Self:  # noqa: ARG003 - there is nothing to ask for
        """Open the images that come with the package.

        Raises:
            DatasetUnavailableError: If the installation lacks them.
            SpecError: If the model's only input is no image of 8 x 8 pixels.
        """
        to = image_input(spec, channels=1, height=8, width=8, preprocessing=PREPROCESSING, dataset=cls.name)
        published = read_digits(_FILE)
        return cls(published["images"], published["labels"], to=to)

    def __len__(self) -> int:
        """Return the number of held-out images."""
        return HELD_OUT

    def load(self, indices: Sequence[int]) -> dict[str, Array]:
        """Return images as float32, 0 to 1.

        Raises:
            DatasetError: If there is no such image.
        """
        pixels = self._images[self._in_file(indices)].astype(np.float32) / np.float32(_BRIGHTEST)
        return {self._to.name: self._to.from_channels_first(pixels[:, np.newaxis])}

    def labels(self, indices: Sequence[int]) -> NDArray[np.int64]:
        """Return the digits, int64[n]."""
        return self._labels[self._in_file(indices)].astype(np.int64)

    def ids(self, indices: Sequence[int]) -> tuple[str, ...]:
        """Return positions in the published file: `digits/1437` is the first held-out image."""
        return tuple(f"{self.name}/{position}" for position in self._in_file(indices).tolist())

    def calibration(self) -> range:
        """Return the indices of all images before the held-out ones."""
        return range(HELD_OUT, len(self._images))

    def fingerprint(self) -> str:
        """Return a sha256 over the preprocessing's name, the split, and all pixels and labels."""
        digest = hashlib.sha256(f"{self.preprocessing};held out {HELD_OUT} of {len(self._images)};".encode())
        digest.update(np.ascontiguousarray(self._images, dtype=np.uint8).tobytes())
        digest.update(np.ascontiguousarray(self._labels, dtype=np.uint8).tobytes())
        return digest.hexdigest()

    @property
    def preprocessing(self) -> str:
        """Name and version of what `load` does to pixels."""
        return PREPROCESSING

    def _in_file(self, indices: Sequence[int]) -> NDArray[np.int64]:
        """Turn indices round: the held-out images, last in the file, come first."""
        total = len(self._images)
        found: NDArray[np.int64] = (positions(indices, total=total, dataset=self.name) - HELD_OUT) % total
        return found


def read_digits(path: Path) -> dict[str, NDArray[np.uint8]]:
    """Return the arrays of a file of digits: `images` [n, 8, 8] and `labels` [n].

    Raises:
        DatasetUnavailableError: If there is none.
    """
    if not path.is_file():
        raise DatasetUnavailableError(
            "the digits are missing", where=str(path), remedy="install the package again: they come with it"
        )
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in ("images", "labels")}
