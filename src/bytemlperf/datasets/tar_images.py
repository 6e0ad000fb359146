"""Images in a tar archive, read in place: nothing is extracted."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from typing import TYPE_CHECKING

from bytemlperf.datasets.resnet_images import decode_rgb
from bytemlperf.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from PIL import Image


class TarImages:
    """The files of an uncompressed tar archive by name; threads read them at the same time.

    Args:
        path: The archive.

    Raises:
        DatasetError: If it is none, or is cut off.
    """

    def __init__(self, path: Path) -> None:
        """Read the archive's table."""
        self._path = path
        try:
            with tarfile.open(path, "r:") as archive:
                self._places = {member.name: (member.offset_data, member.size) for member in archive if member.isfile()}
        except (tarfile.TarError, OSError) as error:
            raise DatasetError(
                "an archive cannot be read", where=str(path), got=str(error), expected="an uncompressed tar file"
            ) from error
        size = path.stat().st_size
        beyond = next((name for name, (offset, length) in self._places.items() if offset + length > size), None)
        if beyond is not None:
            raise DatasetError("an archive is cut off", where=f"{path}:{beyond}", got=size)

    @property
    def sizes(self) -> Mapping[str, int]:
        """Bytes of each file, in the order of the archive."""
        return {name: size for name, (_, size) in self._places.items()}

    def __call__(self, path: Path) -> Image.Image:
        """Decode a file of the archive to RGB.

        Args:
            path: The archive's path and the file's name below it.

        Raises:
            DatasetError: If it is no image, or is damaged.
        """
        return decode_rgb(io.BytesIO(self._content(path.relative_to(self._path).as_posix())), path)

    def sha256(self, name: str) -> str:
        """Return the digest of what a file of the archive holds.

        Raises:
            DatasetError: If it cannot be read.
        """
        try:
            return hashlib.sha256(self._content(name)).hexdigest()
        except OSError as error:
            raise DatasetError("an archive cannot be read", where=f"{self._path}:{name}", got=str(error)) from error

    def _content(self, name: str) -> bytes:
        offset, size = self._places[name]
        with self._path.open("rb") as file:
            return os.pread(file.fileno(), size, offset)
