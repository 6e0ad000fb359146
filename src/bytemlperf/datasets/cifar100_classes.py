"""The names of CIFAR-100's classes, in the order of their labels.

Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009: `fine_label_names` of the published
    file `meta`. They are in alphabetical order.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from bytemlperf.errors import DatasetError, DatasetUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_NAMES: Final = (
    "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can "
    "castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin "
    "elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster "
    "man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck "
    "pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk "
    "skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger "
    "tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm"
)
CLASS_NAMES: Final = tuple(_NAMES.split())
"""In the order of their labels, 0 to 99."""
MISPRINTS: Final = {"cra": "crab"}
"""Names that the hub's copy (uoft-cs/cifar100) has in the place of the published ones."""
_SHARD: Final = re.compile(r"(.+)-\d{5}-of-(\d{5})")


def names_of_features(metadata: Mapping[str, str], path: Path) -> tuple[str, ...]:
    """Return the names that a parquet file of the hub tells in its metadata, misprints mended; else the published ones.

    Args:
        metadata: Of the file; under `huggingface` the features as JSON, as the library `datasets` writes them.
        path: Of the file, for messages.

    Raises:
        DatasetError: If the metadata have other than 100 names for `fine_label`, or are damaged.
    """
    told = metadata.get("huggingface")
    if told is None:
        return CLASS_NAMES
    try:
        names = json.loads(told)["info"]["features"]["fine_label"].get("names", CLASS_NAMES)
        found = tuple(MISPRINTS.get(name, name) for name in names)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        got = f"{type(error).__name__}: {error}"
        raise DatasetError("a parquet file's features cannot be read", where=str(path), got=got) from error
    if len(found) != len(CLASS_NAMES) or not all(isinstance(name, str) for name in found):
        expected = f"{len(CLASS_NAMES)} names of classes"
        raise DatasetError("a file is none of CIFAR-100", where=str(path), got=found[:3], expected=expected)
    return found


def check_shards(paths: Sequence[Path]) -> None:
    """Refuse files of which one is missing: their names say how many there are (`test-00000-of-00002.parquet`).

    Raises:
        DatasetUnavailableError: If one is missing.
    """
    for path in paths:
        found = _SHARD.fullmatch(path.stem)
        wanted = [f"{found[1]}-{number:05d}-of-{found[2]}.parquet" for number in range(int(found[2]))] if found else []
        missing = [name for name in wanted if not path.with_name(name).is_file()]
        if missing:
            what = f"{len(missing)} of {len(wanted)} parquet files are missing"
            raise DatasetUnavailableError(what, where=str(path.parent), got=missing[0])
