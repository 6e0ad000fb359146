"""Errors as plain data, whatever a vendor raises."""

import json

import pytest

from bytemlperf.errors import CompileError, UnsupportedOperatorError
from bytemlperf.issuer.telling import described


def raised(error):
    try:
        raise error
    except type(error) as caught:
        return described(caught)


def test_our_own_error_keeps_its_code_and_facts():
    error = UnsupportedOperatorError("no kernel", where="$.node[2]", expected="a known operator")
    error.operator, error.tensor, error.limit = "Einsum", "x", "compile_s"
    told = raised(error)
    assert (told["type"], told["code"]) == ("UnsupportedOperatorError", "unsupported_operator")
    assert told["message"] == str(error)
    assert (told["operator"], told["tensor"], told["where"], told["limit"]) == ("Einsum", "x", "$.node[2]", "compile_s")


def test_a_vendors_error_has_no_code():
    class VendorError(Exception):
        code = 17

    told = raised(VendorError("broken", 3))
    assert (told["type"], told["code"], told["message"]) == ("VendorError", None, "('broken', 3)")
    assert "test_telling.py" in told["traceback"]


def test_an_error_without_words_is_named():
    assert raised(ValueError())["message"] == "ValueError"


class OutOfMemoryError(RuntimeError):
    """As torch names its own."""


class ResourceExhaustedError(Exception):
    """As TensorFlow names its own."""


@pytest.mark.parametrize(
    ("error", "out_of_memory"),
    [
        (MemoryError(), True),
        (OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (ResourceExhaustedError("OOM when allocating tensor"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"), True),
        (RuntimeError("Failed to allocate memory for requested buffer of size 8"), True),
        (RuntimeError("memory layout is not supported"), False),
    ],
)
def test_errors_of_memory_are_known(error, out_of_memory):
    assert raised(error)["out_of_memory"] is out_of_memory


@pytest.mark.parametrize(("error", "missing"), [(ModuleNotFoundError("no sdk"), True), (OSError("no file"), False)])
def test_errors_of_import_are_known(error, missing):
    assert raised(error)["unavailable"] is missing


class UnspeakableError(Exception):
    where = property(lambda self: 1 / 0)

    def __str__(self):
        raise RuntimeError("not even that")


class StrangeError(Exception):
    where = object()
    operator = ("a", 1)


@pytest.mark.parametrize(
    "error",
    [
        UnspeakableError(),
        StrangeError("half a character \ud800"),
        SystemExit(3),
        KeyboardInterrupt(),
        CompileError("x" * 10**6),
    ],
)
def test_whatever_is_raised_can_be_told(error):
    json.dumps(raised(error))


def test_the_trail_is_bounded():
    def deep(n):
        if not n:
            raise ValueError("x" * 100_000)
        deep(n - 1)

    with pytest.raises(ValueError, match="x") as caught:
        deep(200)
    assert len(described(caught.value)["traceback"]) <= 4000
