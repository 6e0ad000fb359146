"""Score answers by a metric of your own: pure functions of a state, built up batch by batch."""

from collections.abc import Mapping

import numpy as np

from bytemlperf import DatasetRequest, Estimate, FixedBatch, Metrics, Runner, Seeds, backends, datasets, inline, zoo
from bytemlperf.sample import Array
from bytemlperf.statistics import binomial_interval


class Top3:
    """Share of samples whose label is among the three largest logits."""

    name = "top3"
    higher_is_better = True

    def initial(self) -> tuple[int, int]:
        """Return (right, seen) before the first sample."""
        return 0, 0

    def update(self, state: tuple[int, int], outputs: Mapping[str, Array], labels: Array) -> tuple[int, int]:
        """Return the state after more samples; the given one is not changed."""
        best = np.argsort(outputs["logits"], axis=1)[:, -3:]
        right = int((best == labels[:, None]).any(axis=1).sum())
        return state[0] + right, state[1] + len(labels)

    def compute(self, state: tuple[int, int]) -> Metrics:
        """Return the figure with its exact interval and its definition."""
        right, seen = state
        share = Estimate(value=right / seen, unit="1", n=seen, definition="share of labels among the three largest")
        return Metrics({"accuracy/top3": share.within(binomial_interval(right, seen))})


if __name__ == "__main__":
    artifact = zoo.resolve("digits-resnet-torch-fp32")
    digits = datasets.open_dataset(DatasetRequest(name="digits"), artifact.spec)
    backend = backends.get("torch")()
    compiled = backend.compile(artifact, backend.options_type(batch_size=8))
    asked = datasets.batches(digits, artifact.spec.inputs, range(len(digits)), batch_size=8)
    recording = Runner().run(
        inline(backend, compiled), FixedBatch(iterations=len(asked)).plan(len(asked), Seeds()), asked, keep=True
    )
    metric = Top3()
    state = metric.initial()
    for query, outputs in recording.answers.items():
        labels = np.asarray(digits.labels(asked.samples[query].tolist()))
        state = metric.update(state, outputs, labels)
    print(metric.compute(state)["accuracy/top3"])
