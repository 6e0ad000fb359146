"""Percentiles and intervals, pure: numbers in, numbers out.

Every figure that is published carries an interval made here. Which one depends on what varies:

| figure | interval |
|---|---|
| percentile of independent values | `quantile_interval`; `samples_needed` says when there are too few |
| percentile within one run | `autocorrelated_quantile_interval` |
| share, such as top-1 | `binomial_interval` |
| mean over independent repeats | `mean_interval`; `mean_interval_of_moments` where only moments are known |
| mean within one run | `autocorrelated_mean_interval` |
| throughput within one run | `rate_interval` |
| percentile by MLPerf's rules | `early_estimate`, `early_decision`; `queries_needed` says how many it takes |
| any other figure over samples | `bootstrap_interval` |

Two figures are compared by a `Contrast`, which gives interval, test of difference and test of equivalence alike:

| figures | contrast |
|---|---|
| percentiles of two runs | `quantile_log_ratio` |
| means of two runs | `mean_log_ratio` |
| throughputs of two runs | `student_contrast` of two `rate_error` |
| any figure of several repeats | `repeats_log_ratio` |
| shares of the same samples | `paired_share_contrast`, with `mcnemar_p_value` |
| mean of bounded values of the same samples, such as F1 | `bounded_mean_contrast` |
| any other figure of the same samples, such as perplexity | `bootstrap_contrast` |
| shares of other samples | `share_contrast` |
| only intervals were kept | `interval_log_ratio` |

Before a run, `claim`, `queries_for_width`, `queries_for_difference` and `replicates_needed` say what it takes.

Of many tests `holm` raises the p-values. Whether a run is one steady state at all say `steady_start` and `drift`.

Too few data make an interval that is not `bounded`; data that are none raise ValueError.
"""

from bytemlperf.statistics.bootstrap import Statistic, bootstrap_interval
from bytemlperf.statistics.contrasts import (
    Contrast,
    StandardError,
    StudentContrast,
    error_of_interval,
    student_contrast,
)
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
from bytemlperf.statistics.families import holm
from bytemlperf.statistics.interval import Interval
from bytemlperf.statistics.log_ratio import interval_log_ratio, mean_log_ratio, quantile_log_ratio, repeats_log_ratio
from bytemlperf.statistics.mean import (
    autocorrelated_mean_interval,
    effective_sample_size,
    mean_error,
    mean_interval,
    mean_interval_of_moments,
)
from bytemlperf.statistics.planning import (
    Claim,
    claim,
    planned_width,
    queries_for_difference,
    queries_for_width,
    replicates_needed,
)
from bytemlperf.statistics.proportion import binomial_interval, share_above
from bytemlperf.statistics.quantiles import (
    PercentileRule,
    QuantileRanks,
    percentile,
    quantile_interval,
    quantile_ranks,
    samples_needed,
)
from bytemlperf.statistics.rate import rate_error, rate_interval, rate_per_s
from bytemlperf.statistics.resampling import (
    CountStatistic,
    bootstrap_contrast,
    bounded_mean_contrast,
    grown_mean_contrast,
)
from bytemlperf.statistics.series_quantiles import autocorrelated_quantile_interval, quantile_worth, share_worth
from bytemlperf.statistics.shares import mcnemar_p_value, paired_share_contrast, share_contrast
from bytemlperf.statistics.steadiness import Drift, Start, drift, steady_start

__all__ = [
    "MLPERF_CONFIDENCE",
    "Claim",
    "Contrast",
    "CountStatistic",
    "Drift",
    "EarlyDecision",
    "EarlyEstimate",
    "Interval",
    "PercentileRule",
    "QuantileRanks",
    "StandardError",
    "Start",
    "Statistic",
    "StudentContrast",
    "autocorrelated_mean_interval",
    "autocorrelated_quantile_interval",
    "binomial_interval",
    "bootstrap_contrast",
    "bootstrap_interval",
    "bounded_mean_contrast",
    "claim",
    "drift",
    "early_decision",
    "early_estimate",
    "effective_sample_size",
    "error_of_interval",
    "grown_mean_contrast",
    "holm",
    "interval_log_ratio",
    "mcnemar_p_value",
    "mean_error",
    "mean_interval",
    "mean_interval_of_moments",
    "mean_log_ratio",
    "most_over_bound",
    "paired_share_contrast",
    "passing_queries_needed",
    "percentile",
    "planned_width",
    "quantile_interval",
    "quantile_log_ratio",
    "quantile_ranks",
    "quantile_worth",
    "queries_for_difference",
    "queries_for_width",
    "queries_needed",
    "rate_error",
    "rate_interval",
    "rate_per_s",
    "repeats_log_ratio",
    "replicates_needed",
    "samples_needed",
    "share_above",
    "share_contrast",
    "share_worth",
    "steady_start",
    "student_contrast",
]
