"""Tables of prefill and decode: times from stamps that are worked by hand, and one run."""

import attrs
import numpy as np
import pytest
from tests.evaluation.test_generating import SMALL
from tests.metrics.test_tokens import streamed

from bytemlperf.backends.torch_generation.backend import TorchGenerationBackend
from bytemlperf.errors import SpecError
from bytemlperf.registry import load
from bytemlperf.studies import phase_table
from bytemlperf.studies.phases.measuring import burst_times
from bytemlperf.studies.phases.probing import MachineLimits, machine_limits

LIMITS = MachineLimits(flops_per_s=1e9, read_bytes_per_s=1e9)


def test_prefill_ends_with_the_last_first_token_and_decode_is_while_all_decode():
    """Two prompts: tokens at 10, 50, 60, 70 and at 50, 60, 70, 75 ms; the 40 ms between are another's prefill."""
    trace = streamed([
        (0, [(10, 1), (50, 1), (60, 1), (70, 1)], 70),
        (0, [(50, 1), (60, 1), (70, 1), (75, 1)], 75),
    ])  # fmt: skip
    found = burst_times(trace)
    assert found.prefill_ns == 50e6
    assert found.decode_ns == 10e6


def test_answers_that_never_decode_together_have_no_decode_time():
    trace = streamed([(0, [(10, 1), (20, 1)], 20), (0, [(40, 1), (50, 1)], 50)])
    assert burst_times(trace).decode_ns is None
    assert burst_times(streamed([(0, [(10, 1)], 10), (0, [], None)])) is None


def test_a_table_has_a_row_for_each_batch_and_length():
    count = sum(each.numel() for each in load(SMALL.recipe.architecture)(**SMALL.recipe.config).parameters())
    spec = attrs.evolve(SMALL, parameters=count)
    table = phase_table(
        spec, backend=TorchGenerationBackend(), batch_sizes=(1, 3), input_tokens=(4, 12), output_tokens=6, bursts=2,
        limits=LIMITS,
    )  # fmt: skip
    assert table.failures == ()
    assert [(row.batch, row.input_tokens, row.bursts) for row in table.rows] == [
        (1, 4, 2),
        (3, 4, 2),
        (1, 12, 2),
        (3, 12, 2),
    ]
    for row in table.rows:
        least, most = row.prefill_range_s
        assert 0 < least <= row.prefill_s <= most
        assert row.prefill_tokens_per_s == row.batch * row.input_tokens / row.prefill_s
        assert row.compute_share == pytest.approx(2 * count * row.batch * row.input_tokens / row.prefill_s / 1e9)
        if row.decode_s is not None:
            assert row.decode_tokens_per_s == row.batch / row.decode_s
            assert row.bandwidth_share == pytest.approx(4 * count / row.decode_s / 1e9)
    written = table.to_markdown()
    assert "| prefill tokens/s |" in written
    assert "- of bandwidth: bytes of all parameters / decode" in written


def test_the_machine_reads_and_multiplies():
    found = machine_limits(side=64, read_bytes=2**20)
    assert np.isfinite([found.flops_per_s, found.read_bytes_per_s]).all()
    assert min(found.flops_per_s, found.read_bytes_per_s) > 0


@pytest.mark.parametrize("wrong", [{"batch_sizes": ()}, {"batch_sizes": (0,)}, {"output_tokens": 1}, {"bursts": 0}])
def test_tables_that_cannot_be(wrong):
    with pytest.raises(SpecError, match="table cannot be"):
        phase_table(SMALL, backend=TorchGenerationBackend(), limits=LIMITS, **wrong)
