"""Photographs as files, in the forms in which ImageNet is published."""

from __future__ import annotations

import io
import tarfile

import numpy as np
from PIL import Image
from scipy.io import savemat


def names(count):
    return [f"ILSVRC2012_val_{number:08d}.JPEG" for number in range(1, count + 1)]


def scene(rng, size):
    """Return smooth colours with some noise, as photographs have: RGB."""
    small = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    image = Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)
    noisy = np.clip(np.asarray(image, np.int16) + rng.integers(-20, 21, (size[1], size[0], 3)), 0, 255)
    return Image.fromarray(noisy.astype(np.uint8))


def photograph(rng, size, mode="RGB", orientation=None):
    """Return a JPEG file's content."""
    file, exif = io.BytesIO(), Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    scene(rng, size).convert(mode).save(file, "JPEG", quality=90, exif=exif)
    return file.getvalue()


def write_tar(path, contents):
    """Write files by name, or pairs of name and content, in their order."""
    with tarfile.open(path, "w") as archive:
        for name, content in contents.items() if isinstance(contents, dict) else contents:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def write_devkit(folder, labels):
    """Write a development kit whose own numbers of classes run against the order of the WordNet ids."""
    (folder / "data").mkdir(parents=True)
    rows = np.zeros(4, [("ILSVRC2012_ID", object), ("WNID", object), ("num_children", object)])
    rows["ILSVRC2012_ID"], rows["num_children"] = [1, 2, 3, 4], [0, 0, 0, 3]
    rows["WNID"] = ["n03", "n02", "n01", "n00"]
    savemat(folder / "data" / "meta.mat", {"synsets": rows})
    truth = "".join(f"{3 - label}\n" for label in labels)
    (folder / "data" / "ILSVRC2012_validation_ground_truth.txt").write_text(truth)
    return folder
