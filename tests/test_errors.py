"""The error tree: one leaf for each code, drawn as it is."""

import inspect
import pickle

import pytest

from bytemlperf import errors
from bytemlperf.errors import (
    BenchmarkError,
    Blame,
    CompileError,
    CrashError,
    FailureCode,
    RequestError,
    SpecError,
    UnknownNameError,
    error_types,
    nearest,
)

CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, BenchmarkError)]


def leaves_of(kind):
    below = [each for each in kind.__subclasses__() if each.__module__ == errors.__name__]
    return [kind, *[leaf for each in below for leaf in leaves_of(each)]]


def drawn():
    """The docstring's drawing as (class, parent, code or None)."""
    rows, above = [], {}
    for line in errors.__doc__.splitlines():
        name = line.lstrip("│├└─ ").split(" ")[0]
        if not name.endswith("Error"):
            continue
        depth = line.index(name) // 4
        above[depth] = name
        rest = line[line.index(name) + len(name) :].split()
        rows.append((name, above.get(depth - 1), rest[0] if len(rest) == 1 else None))
    return rows


# ----------------------------------------------------------------------------------------------------------------- tree


def test_the_drawing_has_every_class_once():
    assert sorted(name for name, _, _ in drawn()) == sorted(kind.__name__ for kind in CLASSES)


def test_the_drawing_has_every_class_under_its_parent():
    for name, parent, _ in drawn():
        bases = [base.__name__ for base in getattr(errors, name).__bases__ if issubclass(base, BenchmarkError)]
        assert bases == ([parent] if parent else []), name


def test_the_drawing_has_every_code_where_it_belongs():
    codes = {name: code for name, _, code in drawn() if code}
    assert sorted(codes.values()) == sorted(FailureCode)
    for name, code in codes.items():
        assert getattr(errors, name).code == code
        assert error_types()[FailureCode(code)].__name__ == name


def test_each_code_has_exactly_one_error():
    kinds = error_types()
    assert set(kinds) == set(FailureCode)
    assert len(set(kinds.values())) == len(FailureCode)
    assert not any(issubclass(kind, RequestError) for kind in kinds.values())


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_has_a_code_a_blame_and_a_sentence(kind):
    assert kind.code in FailureCode
    assert kind.blame in Blame
    assert kind.__doc__


@pytest.mark.parametrize("kind", CLASSES)
def test_what_is_below_an_error_is_caught_with_it(kind):
    assert all(issubclass(leaf, kind) for leaf in leaves_of(kind))


def test_some_errors_are_pythons_own_too():
    assert issubclass(SpecError, ValueError)
    assert issubclass(UnknownNameError, LookupError)


def test_our_own_failures_are_not_blamed_on_a_vendor():
    for name in ("WeightsUnavailableError", "DatasetUnavailableError", "ChecksumError", "HarnessError"):
        assert getattr(errors, name).blame is not Blame.BACKEND
    assert all(kind.blame is Blame.REQUEST for kind in leaves_of(RequestError))
    assert CrashError.blame is CompileError.blame is Blame.BACKEND


# ------------------------------------------------------------------------------------------------------------- messages


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({}, "it is wrong"),
        ({"where": "$.x"}, "it is wrong (at $.x)"),
        ({"got": "a"}, "it is wrong; got 'a'"),
        ({"got": 0}, "it is wrong; got 0"),
        ({"expected": "one of: a, b"}, "it is wrong; expected one of: a, b"),
        (
            {"where": "$.x", "got": 3, "expected": "4", "remedy": "add 1"},
            "it is wrong (at $.x); got 3; expected 4; add 1",
        ),
    ],
)
def test_a_message_is_built_from_the_facts(facts, message):
    error = CompileError("it is wrong", **facts)
    assert str(error) == message
    assert error.what == "it is wrong"
    for name, value in facts.items():
        assert getattr(error, name) == value


def test_a_long_value_is_shortened():
    text = str(SpecError("it is wrong", got="x" * 10_000))
    assert len(text) < 300
    assert text.endswith("...")


def test_an_unknown_name_lists_what_is_known_and_what_comes_near():
    error = UnknownNameError("backend", "onnxruntim", ["torch", "onnxruntime"], remedy="install one")
    assert error.suggestions == ("onnxruntime",)
    text = "unknown backend 'onnxruntim'; expected one of: onnxruntime, torch; did you mean 'onnxruntime'?; install one"
    assert str(error) == text


def test_an_unknown_name_where_nothing_is_known():
    assert str(UnknownNameError("backend", "x", [])) == "unknown backend 'x'; expected one of: none"


def test_nearest_names_are_few_and_near():
    assert nearest("clinets", ["clients", "iterations"]) == ["clients"]
    assert nearest("zzz", ["clients"]) == []
    assert len(nearest("a1", [f"a{i}" for i in range(9)])) <= 3


@pytest.mark.parametrize("kind", [CompileError, SpecError])
def test_errors_can_be_copied_between_processes(kind):
    error = kind("it is wrong", where="$.x", got=3)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.where, again.got) == (kind, str(error), "$.x", 3)
