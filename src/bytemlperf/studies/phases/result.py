"""A table of prefill and decode over batch and length, and how it is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from bytemlperf.failure import Failure
from bytemlperf.report.markdown import table_lines
from bytemlperf.report.units import number
from bytemlperf.spec.fields import as_tuple
from bytemlperf.studies.phases.probing import MachineLimits

DEFINITIONS: Final[Mapping[str, str]] = {
    "prefill": "prompts of one length sent at once: from the time they are due until the last has its first token; "
    "median of the bursts",
    "prefill tokens/s": "tokens of all prompts / prefill",
    "decode": "median time from one token of an answer to the next while all answers are under way, at that length of "
    "prompt and what is written so far; median of the bursts",
    "decode tokens/s": "answers under way / decode",
    "of compute": "2 * parameters * tokens of all prompts / prefill, over the floating-point operations a second of a "
    "float32 matrix product by numpy, measured before; attention and the embedding's lookup are not told apart",
    "of bandwidth": "bytes of all parameters / decode, over the bytes a second of reading memory, measured before; "
    "keys and values are not counted",
}
"""What each column is."""


@attrs.frozen(kw_only=True)
class PhaseRow:
    """Prefill and decode at one batch and one length.

    Attributes:
        ranks: Processes among which the model is divided.
        batch: Prompts that are sent at once.
        input_tokens: Tokens of each.
        bursts: How often.
        prefill_s: Median time until the last has its first token; None where no burst was answered.
        prefill_range_s: Least and greatest of the bursts.
        decode_s: Median time from one token to the next while all decode; None where they never all did.
        compute_share: Of the machine's matrix product that prefill reaches; None where the parameters are not known.
        bandwidth_share: Of the machine's reading of memory that decode reaches; likewise.
    """

    ranks: int
    batch: int
    input_tokens: int
    bursts: int
    prefill_s: float | None
    prefill_range_s: tuple[float, float] | None
    decode_s: float | None
    compute_share: float | None = None
    bandwidth_share: float | None = None

    @property
    def prefill_tokens_per_s(self) -> float | None:
        """Tokens of all prompts over the time of prefill."""
        return None if not self.prefill_s else self.batch * self.input_tokens / self.prefill_s

    @property
    def decode_tokens_per_s(self) -> float | None:
        """Answers under way over the time from one token to the next."""
        return None if not self.decode_s else self.batch / self.decode_s


@attrs.frozen(kw_only=True)
class PhaseTable:
    """Prefill and decode of a language model.

    Attributes:
        task: Name of the model.
        backend: What ran it.
        rows: By ranks, then length, then batch.
        limits: What the machine reaches, measured before.
        failures: What went wrong.
    """

    task: str
    backend: str
    rows: tuple[PhaseRow, ...] = attrs.field(converter=as_tuple)
    limits: MachineLimits
    failures: tuple[Failure, ...] = attrs.field(default=(), converter=as_tuple)

    def to_markdown(self) -> str:
        """Write the table, the machine's limits and what each column is."""
        columns = ("ranks", "batch", "prompt", "bursts", *DEFINITIONS)
        cells = [_cells(row) for row in self.rows]
        limits = (
            f"the machine: {number(self.limits.flops_per_s / 1e9)} GFLOP/s of float32 matrix product, "
            f"{number(self.limits.read_bytes_per_s / 1e9)} GB/s of reading"
        )
        lines = [f"# {self.task} on {self.backend}", "", *table_lines(columns, cells), "", limits, ""]
        lines += [f"- {name}: {text}" for name, text in DEFINITIONS.items()]
        lines += [f"- failed: {each.step}: {each.message}" for each in self.failures]
        return "\n".join(lines) + "\n"


def _cells(row: PhaseRow) -> tuple[str, ...]:
    return (
        str(row.ranks),
        str(row.batch),
        str(row.input_tokens),
        str(row.bursts),
        _told(row.prefill_s, "ms", 1e3),
        _told(row.prefill_tokens_per_s),
        _told(row.decode_s, "ms", 1e3),
        _told(row.decode_tokens_per_s),
        _told(row.compute_share, "%", 100),
        _told(row.bandwidth_share, "%", 100),
    )


def _told(value: float | None, unit: str = "", times: float = 1.0) -> str:
    return "-" if value is None else f"{number(value * times)} {unit}".strip()
