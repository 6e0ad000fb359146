"""Wide&Deep on Criteo's click logs: ByteMLPerf's model of recommendation."""

from __future__ import annotations

from typing import Final

from bytemlperf.spec import Domain, Format, Framework, ModelSpec, Purpose, Recipe, TensorSpec
from bytemlperf.zoo.targets import CLICKS

TF_FP32: Final = ModelSpec(
    name="widedeep-tf-fp32",
    model="widedeep",
    domain=Domain.REC,
    purpose=Purpose.REGULAR,
    framework=Framework.TENSORFLOW,
    format=Format.SAVED_MODEL,
    inputs=(
        # Of each sample 26 rows: the number of a column, and the bucket of its value, below 1,000.
        TensorSpec(
            name="categorical",
            original_name="new_categorical_placeholder:0",
            shape=("26*batch", 2),
            dtype="int64",
            high=1000,
        ),
        TensorSpec(name="numeric", original_name="new_numeric_placeholder:0", shape=("batch", 13), dtype="float32"),
    ),
    outputs=(
        # "import/head/predictions/probabilities:0" in the original; a SavedModel's signature takes no path for a name.
        TensorSpec(name="probabilities", shape=("batch", 2), dtype="float32"),
    ),
    dataset="criteo",
    # The original's only figure, accuracy at 0.5, is hardly more than the share of those who do not click.
    metrics=("auc", "log_loss", "binary_accuracy"),
    recipe=Recipe(
        architecture="bytemlperf.zoo.architectures.widedeep_tf:build",
        version="1",
        config={"columns": 26, "buckets": 1000, "numbers": 13, "embedding_width": 32, "hidden": (1024, 512, 256)},
    ),
    # The only checkpoint was in the original's own archive, whose host is gone: weights are random, at a path, or
    # those of a mirror that is added as a source with its digest.
    sources=(),
    batch_sizes=(1024, 4096, 16384),
    parameters=2_380_690,
    accuracy_targets=CLICKS,
    description="Estimate the probability of a click from 26 hashed columns and 13 numbers."
    " Its checkpoint was published in ByteMLPerf's own archive only, which is gone.",
)
