"""Failures: what an error tells is kept on the way to a row and back."""

import pytest

from bytemlperf.errors import BackendError, Blame, FailureCode, UnsupportedOperatorError, error_types
from bytemlperf.failure import Failure, error_of, failure_of


@pytest.mark.parametrize("code", FailureCode)
def test_an_error_becomes_a_failure_and_an_error_again(code):
    error = error_types()[code]("it is wrong", where="model.onnx")
    error.operator, error.tensor, error.signal = "Einsum", "x", "SIGSEGV"
    error.exit_code, error.limit, error.log_tail = 3, "step_s", "the last lines"
    failure = failure_of(error, step="compile")
    assert (failure.code, failure.blame, failure.retryable) == (code, error.blame, error.retryable)
    assert (failure.step, failure.message, failure.path) == ("compile", str(error), "model.onnx")
    again = error_of(failure)
    assert type(again) is type(error)
    assert failure_of(again, step="compile").code is code
    for name in ("operator", "tensor", "signal", "exit_code", "limit", "log_tail", "where"):
        assert getattr(again, name) == getattr(error, name), name


def test_an_exception_that_is_none_of_ours_is_a_defect_of_the_harness():
    failure = failure_of(ZeroDivisionError("division by zero"), step="metrics")
    assert (failure.code, failure.blame) == (FailureCode.HARNESS_ERROR, Blame.HARNESS)
    assert failure.message == "ZeroDivisionError: division by zero"


def test_a_failure_cannot_be_changed():
    failure = Failure(code=FailureCode.CRASH, blame=Blame.BACKEND)
    with pytest.raises(AttributeError):
        failure.code = FailureCode.CANCELLED


def test_a_third_partys_subclass_keeps_the_code_of_its_base():
    class VendorError(UnsupportedOperatorError):
        """A vendor's own, made in another way."""

        def __init__(self, number):
            super().__init__(f"error {number}")

    failure = failure_of(VendorError(7), step="compile")
    assert failure.code is FailureCode.UNSUPPORTED_OPERATOR
    assert isinstance(VendorError(7), BackendError)
    assert type(error_of(failure)) is UnsupportedOperatorError
    assert error_types()[FailureCode.UNSUPPORTED_OPERATOR] is UnsupportedOperatorError
