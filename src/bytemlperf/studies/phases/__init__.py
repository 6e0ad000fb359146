"""Prefill and decode of a language model by batch and length, beside what the machine can do."""
