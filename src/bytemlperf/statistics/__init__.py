"""Percentiles and intervals, pure: numbers in, numbers out.

Every figure that is published carries an interval made here. Which one depends on what varies:

| figure | interval |
|---|---|
| percentile of latencies | `quantile_interval`; `samples_needed` says when there are too few |
| share, such as top-1 | `binomial_interval` |
| mean over independent repeats | `mean_interval` |
| mean within one run | `autocorrelated_mean_interval` |
| throughput within one run | `rate_interval` |
| percentile by MLPerf's rules | `early_estimate`, `early_decision`; `queries_needed` says how many it takes |
| any other figure over samples | `bootstrap_interval` |

Too few data make an interval that is not `bounded`; data that are none raise ValueError.
"""

from bytemlperf.statistics.bootstrap import Statistic, bootstrap_interval
from bytemlperf.statistics.early_stopping import (
    MLPERF_CONFIDENCE,
    EarlyDecision,
    EarlyEstimate,
    early_decision,
    early_estimate,
    most_over_bound,
    passing_queries_needed,
    queries_needed,
)
from bytemlperf.statistics.interval import Interval
from bytemlperf.statistics.mean import autocorrelated_mean_interval, effective_sample_size, mean_interval
from bytemlperf.statistics.proportion import binomial_interval
from bytemlperf.statistics.quantiles import (
    PercentileRule,
    QuantileRanks,
    percentile,
    quantile_interval,
    quantile_ranks,
    samples_needed,
)
from bytemlperf.statistics.rate import rate_interval, rate_per_s

__all__ = [
    "MLPERF_CONFIDENCE",
    "EarlyDecision",
    "EarlyEstimate",
    "Interval",
    "PercentileRule",
    "QuantileRanks",
    "Statistic",
    "autocorrelated_mean_interval",
    "binomial_interval",
    "bootstrap_interval",
    "early_decision",
    "early_estimate",
    "effective_sample_size",
    "mean_interval",
    "most_over_bound",
    "passing_queries_needed",
    "percentile",
    "quantile_interval",
    "quantile_ranks",
    "queries_needed",
    "rate_interval",
    "rate_per_s",
    "samples_needed",
]
