import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bytemlperf.errors import BenchmarkError, SpecError
from bytemlperf.spec import Axis
from bytemlperf.workload.expressions import axis_length


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3", 3),
        (" 3 * 4 ", 12),
        ("size * 2 + 1", 129),
        ("(size - 4) / 2", 30),
        ("size // 2", 32),
        ("batch", Axis()),
        ("26 * batch", Axis(times=26)),
    ],
)
def test_arithmetic_gives_a_length(text, expected):
    assert axis_length(text, {"size": 64}) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no arithmetic"),
        ("1 +", "no arithmetic"),
        ("size ** 2", "no arithmetic on whole numbers"),
        ("1.5", "no arithmetic on whole numbers"),
        ("True", "no arithmetic on whole numbers"),
        ("-1", "no arithmetic on whole numbers"),
        ("__import__('os')", "no arithmetic on whole numbers"),
        ("size.real", "no arithmetic on whole numbers"),
        ("7 / 2", "without a whole result"),
        ("7 / (3 - 3)", "without a whole result"),
        ("3 - 3", "no axis length"),
        ("3 - 5", "no axis length"),
        ("siez", "unknown name.*did you mean 'size'"),
        ("2147483647 * 2147483647", "too large"),
        ("9" * 30, "no arithmetic on whole numbers"),
        ("1 + " * 50 + "1", "too long"),
        ("1\0", "no arithmetic"),
    ],
)
def test_anything_else_is_refused(text, message):
    with pytest.raises(SpecError, match=message):
        axis_length(text, {"size": 64})


@given(st.text(alphabet="0123456789+-*/() sizebatch._'\0é", max_size=30))
@settings(max_examples=300, deadline=None)
def test_no_text_brings_another_error(text):
    try:
        length = axis_length(text, {"size": 64})
    except BenchmarkError:
        return
    assert isinstance(length, Axis) or length > 0
