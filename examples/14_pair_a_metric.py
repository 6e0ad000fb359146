"""Judge a figure of your own in pairs with the reference: balanced accuracy, a function of sums over samples."""

from collections.abc import Mapping
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bytemlperf import ArrayLoader, DatasetRequest, Estimate, Metrics, datasets, run, zoo
from bytemlperf.metrics import Figure, OfSums, Units
from bytemlperf.sample import Array
from bytemlperf.statistics import bootstrap_interval

CLASSES = 10
Rows: TypeAlias = NDArray[np.float64]


def mean_recall(sums: Rows) -> Rows:
    """Return from right and all samples of each class, [draws, 2 * classes], the mean of their ratios."""
    recalls: Rows = sums[:, :CLASSES] / sums[:, CLASSES:]
    return np.asarray(recalls.mean(axis=1))


class BalancedAccuracy:
    """Mean over classes of the share of their samples that are right."""

    name = "balanced_accuracy"
    higher_is_better = True
    figures: ClassVar[Mapping[str, Figure]] = {"accuracy/balanced_accuracy": OfSums(mean_recall)}

    def initial(self) -> Rows:
        """Return no sample's row."""
        return np.empty((0, 2 * CLASSES))

    def update(self, state: Rows, outputs: Mapping[str, Array], labels: Array) -> Rows:
        """Return the rows of more samples: whether each is right, and that it is one, in its class's columns."""
        seen = np.eye(CLASSES)[labels]
        right = seen * (outputs["logits"].argmax(axis=1) == labels)[:, np.newaxis]
        return np.concatenate([state, np.concatenate([right, seen], axis=1)])

    def compute(self, state: Rows) -> Metrics:
        """Return the figure with its interval and its definition."""
        value = float(mean_recall(state.sum(axis=0, keepdims=True))[0])
        figure = Estimate(value=value, unit="1", n=len(state), definition="mean of recall over classes")
        interval = bootstrap_interval(state, lambda rows: mean_recall(rows.sum(axis=1)), seed=0)
        return Metrics({"accuracy/balanced_accuracy": figure.within(interval)})

    def units(self, state: Rows) -> Units:
        """Return what each sample brings, so that two runs can be paired."""
        return Units(ids=np.arange(len(state)), values=state)


if __name__ == "__main__":
    digits = datasets.open_dataset(DatasetRequest(name="digits"), zoo.get("digits-resnet-onnx-fp32"))
    every = range(len(digits))
    data = ArrayLoader(digits.load(every), labels=digits.labels(every), metric=BalancedAccuracy())
    report = run("digits-resnet-onnx-fp32", backend="onnxruntime", dataset=data, checks=["accuracy"])
    print(*(judgement.text for row in report.rows for judgement in row.acceptance), sep="\n")
