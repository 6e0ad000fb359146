"""Evaluate on data of your own that are too many for memory: a loader reads what it is asked for."""

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import attrs
import numpy as np

from bytemlperf import DatasetLoader, DatasetOptions, DatasetRequest, FixedBatch, ModelSpec, datasets, run, zoo
from bytemlperf.errors import DatasetUnavailableError
from bytemlperf.sample import Array


@attrs.frozen(kw_only=True)
class FolderOptions(DatasetOptions):
    """Where `images.npy` and `labels.npy` are."""

    path: Path = attrs.field(default=Path("data"), converter=Path)


class Folder(DatasetLoader):
    """Images [n, 1, 8, 8] and labels [n] in two files."""

    name, options_type, metrics = "folder", FolderOptions, ("top1",)

    def __init__(self, path: Path, input_name: str) -> None:
        """Map the files; nothing is read yet."""
        self._images, self._labels = (np.load(path / f"{name}.npy", mmap_mode="r") for name in ("images", "labels"))
        self._input_name = input_name

    @classmethod
    def open(cls, spec: ModelSpec, options: FolderOptions) -> Self:
        """Open the folder for one model, or say what is missing."""
        if not (options.path / "labels.npy").is_file():
            raise DatasetUnavailableError("there are no labels", where=str(options.path), expected="labels.npy")
        return cls(options.path, spec.inputs[0].name)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._labels)

    def load(self, indices: Sequence[int]) -> Mapping[str, Array]:
        """Return images as the model takes them."""
        return {self._input_name: self._images[list(indices)]}

    def labels(self, indices: Sequence[int]) -> Array:
        """Return what the metric compares with."""
        return np.asarray(self._labels[list(indices)])

    def fingerprint(self) -> str:
        """Return a digest of all that decides the samples."""
        return hashlib.sha256(self._images.tobytes() + self._labels.tobytes()).hexdigest()


if __name__ == "__main__":
    spec = zoo.get("digits-resnet-onnx-fp32")
    digits = datasets.open_dataset(DatasetRequest(name="digits"), spec)
    with tempfile.TemporaryDirectory() as path:
        np.save(f"{path}/images.npy", digits.load(range(40))["image"])
        np.save(f"{path}/labels.npy", np.asarray(digits.labels(range(40))))
        mine = Folder.open(spec, FolderOptions(path=path))
        report = run(spec, backend="onnxruntime", dataset=mine, batch_sizes=[8], scenarios=[FixedBatch(iterations=20)])
    print(report.metrics["accuracy/top1"])
