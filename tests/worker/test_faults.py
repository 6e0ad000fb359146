"""From what an issuer tells, or how a process ended, to one typed error."""

import pytest

from bytemlperf.errors import (
    BackendUnavailableError,
    CompileError,
    CrashError,
    FailureCode,
    HarnessError,
    OutOfDeviceMemoryError,
    OutOfHostMemoryError,
    PredictError,
    SpecError,
    error_types,
)
from bytemlperf.issuer import reply
from bytemlperf.issuer.telling import described
from bytemlperf.worker.faults import crash_of, error_from


def told(error):
    return described(error)


@pytest.mark.parametrize("code", [code for code in FailureCode if code is not FailureCode.HARNESS_ERROR])
def test_every_code_that_an_issuer_tells_becomes_its_own_error(code):
    error = error_from(told(error_types()[code]("what")), default=PredictError)
    assert type(error) is error_types()[code]
    assert str(error) == "what"


def test_a_vendors_exception_becomes_the_default_and_names_its_type():
    error = error_from(told(ValueError("bad shape")), default=CompileError)
    assert type(error) is CompileError
    assert str(error) == "ValueError: bad shape"


def test_facts_are_kept():
    given = CompileError("no kernel", where="$.node[1]")
    given.operator, given.tensor = "Einsum", "x"
    error = error_from(told(given), default=PredictError, log_tail="the last lines")
    assert (error.operator, error.tensor, error.where) == ("Einsum", "x", "$.node[1]")
    assert error.log_tail == "the last lines"
    assert str(error) == "no kernel (at $.node[1])"


def test_where_there_is_no_log_the_trail_is_kept():
    assert error_from({**told(ValueError("no")), "traceback": "trail"}, default=CompileError).log_tail == "trail"


@pytest.mark.parametrize(
    ("issued", "kind", "limit"),
    [
        (reply.MalformedAnswerError("none"), FailureCode.MALFORMED_OUTPUT, None),
        (reply.UnansweredError("late"), FailureCode.TIME_LIMIT, "query_s"),
        (reply.HarnessError("disk"), FailureCode.HARNESS_ERROR, None),
    ],
)
def test_the_issuers_own_errors_have_a_type(issued, kind, limit):
    error = error_from(told(issued), default=PredictError)
    assert (error.code, error.limit) == (kind, limit)


@pytest.mark.parametrize("kind", ["SpecError", "UnknownNameError"])
def test_what_is_wrong_with_the_request_stays_the_requests(kind):
    data = {**told(SpecError("unknown key", where="$.options.x")), "type": kind}
    error = error_from(data, default=CompileError)
    assert type(error) is SpecError
    assert error.where == "$.options.x"


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("CUDA out of memory. Tried to allocate 2.00 GiB", OutOfDeviceMemoryError),
        ("HIP out of memory", OutOfDeviceMemoryError),
        ("OOM on /job:localhost/replica:0/task:0/device:GPU:0 by allocator GPU_0_bfc", OutOfDeviceMemoryError),
        ("OOM on /job:localhost/replica:0/task:0/device:CPU:0 by allocator cpu", OutOfHostMemoryError),
        ("Unable to allocate 8.00 TiB for an array", OutOfHostMemoryError),
    ],
)
def test_memory_is_the_devices_or_the_hosts(message, kind):
    data = {**told(MemoryError(message)), "type": "OutOfMemoryError"}
    assert type(error_from(data, default=PredictError)) is kind


@pytest.mark.parametrize(
    ("default", "kind"),
    [(CompileError, BackendUnavailableError), (HarnessError, BackendUnavailableError), (PredictError, PredictError)],
)
def test_a_missing_package_makes_the_backend_unavailable_before_it_answers(default, kind):
    assert type(error_from(told(ModuleNotFoundError("no sdk")), default=default)) is kind


def test_a_code_that_is_none_of_ours_is_a_vendors():
    assert type(error_from({**told(ValueError("no")), "code": "E1234"}, default=CompileError)) is CompileError


@pytest.mark.parametrize(
    ("exit_code", "text", "signal", "kept_code"),
    [
        (-11, "ended by SIGSEGV during compile", "SIGSEGV", None),
        (-9, "the system may have run out of memory", "SIGKILL", None),
        (-37, "ended by signal 37", "signal 37", None),
        (0, "exited with 0 during compile, without an answer", None, 0),
        (3, "exited with 3", None, 3),
        (None, "shut its output during compile", None, None),
    ],
)
def test_an_end_without_an_answer_is_a_crash(exit_code, text, signal, kept_code):
    error = crash_of(exit_code, what="compile", log_tail="words")
    assert type(error) is CrashError
    assert text in str(error)
    assert (error.signal, error.exit_code, error.log_tail) == (signal, kept_code, "words")
