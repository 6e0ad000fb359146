"""Our backends as a model of lm-evaluation-harness, which asks them its own tasks; needs the extra `lm-eval`."""

from bytemlperf.lm_eval.model import BackendLM

__all__ = ["BackendLM"]
