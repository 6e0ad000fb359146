"""A metric."""

import numpy as np

from bytemlperf import Estimate, Metrics
from bytemlperf.statistics import binomial_interval


class Hits:
    """Share of points whose best score is that of their label."""

    name, higher_is_better = "thirdparty-hits", True

    def initial(self):
        return 0, 0

    def update(self, state, outputs, labels):
        hits = int((np.argmax(outputs["scores"], axis=1) == labels).sum())
        return state[0] + hits, state[1] + len(labels)

    def compute(self, state):
        hits, seen = state
        figure = Estimate(value=hits / seen, unit="1", n=seen, definition="share of points with the best score right")
        return Metrics({"accuracy/thirdparty-hits": figure.within(binomial_interval(hits, seen))})
