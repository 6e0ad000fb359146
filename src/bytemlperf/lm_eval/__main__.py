"""lm-evaluation-harness' own command, to which the model `bytemlperf` is added.

It finds models by their import alone: `python -m bytemlperf.lm_eval --model bytemlperf --model_args ... --tasks ...`.
"""

from lm_eval.__main__ import cli_evaluate

import bytemlperf.lm_eval.model  # noqa: F401 - its import registers the model

if __name__ == "__main__":
    cli_evaluate()
