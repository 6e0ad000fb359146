"""Record a file as the hub has CIFAR-100, written by the library that made it: cifar100.parquet, beside this file.

The library is no part of the tests' environment:

    python -m venv /tmp/datasets
    /tmp/datasets/bin/pip install datasets==5.2.0 pillow
    /tmp/datasets/bin/python tests/datasets/recorded/record_cifar100.py

Columns and features are those of the card of uoft-cs/cifar100, its misprint `cra` for `crab` with them; the images are
random, so that nothing of the data set is here.
"""

import ast
from pathlib import Path

import numpy as np
from PIL import Image as Picture

HERE = Path(__file__).parent
CLASSES = HERE.parents[2] / "src" / "bytemlperf" / "datasets" / "cifar100_classes.py"


def class_names() -> list[str]:
    """Read the names without importing the package, as the hub misprints them."""
    texts = [each.value for each in ast.walk(ast.parse(CLASSES.read_text())) if isinstance(each, ast.Constant)]
    names = next(text for text in texts if isinstance(text, str) and text.startswith("apple ")).split()
    return ["cra" if name == "crab" else name for name in names]


def main() -> None:
    from datasets import ClassLabel, Dataset, Features, Image

    rng = np.random.default_rng(0)
    images = [Picture.fromarray(rng.integers(0, 64, (32, 32, 3), dtype=np.uint8)) for _ in range(4)]
    features = Features({
        "img": Image(),
        "fine_label": ClassLabel(names=class_names()),
        "coarse_label": ClassLabel(names=[f"coarse_{number}" for number in range(20)]),
    })  # fmt: skip
    columns = {"img": images, "fine_label": [49, 33, 26, 99], "coarse_label": [10, 10, 13, 1]}
    Dataset.from_dict(columns, features=features).to_parquet(HERE / "cifar100.parquet")


if __name__ == "__main__":
    main()
