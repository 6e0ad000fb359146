"""Tuning, phases and a vendor's own figures: the same inline and in a worker."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from tests.worker import thorough
from tests.worker.asking import ARTIFACT, batches, series, watch

from bytemlperf.errors import (
    BenchmarkError,
    CancelledError,
    CompileError,
    CrashError,
    DatasetError,
    FailureCode,
    InputMismatchError,
    PredictError,
    TimeLimitError,
)
from bytemlperf.spec import DType
from bytemlperf.worker import InlineTarget

SIDES = ("inline", "worker")


@pytest.fixture(params=SIDES)
def target(request, start):
    if request.param == "inline":
        return InlineTarget(thorough.Thorough())
    return start("tests.worker.thorough:Thorough")


class Prepared:
    """What prepares batches: keeps for what it was asked."""

    def __init__(self, error=None):
        self.asked = []
        self.error = error

    def __call__(self, inputs):
        self.asked.append(inputs)
        if self.error is not None:
            raise self.error
        made = batches(2)
        return batches(2, x=made.inputs["x"].astype(inputs[0].dtype.value)) if inputs else made


def tuned(target, *, prepare=None, within=None, **options):
    return target.tune(ARTIFACT, {"batch_size": 2, **options}, prepare or Prepared(), within or watch())


def test_a_backend_says_which_optional_methods_it_has(target, start):
    told = target.description
    assert (told.tunes, told.vendor_benchmark, told.phased) == (True, True, True)
    for plain in (InlineTarget(thorough.Plain()), start("tests.worker.thorough:Plain", folder="plain")):
        told = plain.description
        assert (told.tunes, told.vendor_benchmark, told.phased) == (False, False, False)


def test_tuning_finds_what_is_fastest_and_tells_only_what_changed(target):
    prepare = Prepared()
    found = tuned(target, prepare=prepare)
    assert found.changed == {"pause_us": 1000}
    assert found.measurements == 3
    assert prepare.asked == [None], "batches are prepared once for each form of inputs"
    at_least_ms = (4 + 1 + 2.5) * 17  # 11 queries and two windows of three to warm up
    assert at_least_ms * 1e6 <= found.duration_ns < 1e11


def test_each_measured_choice_is_compiled_and_released(target, tmp_path):
    log = tmp_path / "log"
    tuned(target, log=str(log))
    words = [line.split()[0] for line in log.read_text().splitlines()]
    assert words == ["compile", "release"] * 3


def test_a_choice_that_does_not_compile_raises_for_the_backend_to_judge(target):
    found = tuned(target, tuning="works", choices=[2000, -1, 500])
    assert found.changed == {"pause_us": 500}
    assert found.measurements == 2


def test_choices_that_take_other_inputs_get_them(target):
    prepare = Prepared()
    found = tuned(target, prepare=prepare, tuning="dtypes")
    assert found.changed == {"engine_dtype": "float16", "pause_us": 500}
    assert [None if each is None else each[0].dtype for each in prepare.asked] == [DType.FLOAT16, None]


def test_the_preparing_of_inputs_is_no_part_of_tuning(target):
    class Slow(Prepared):
        def __call__(self, inputs):
            time.sleep(1.5)
            return super().__call__(inputs)

    started = time.perf_counter_ns()
    found = tuned(target, prepare=Slow(), choices=[0])
    assert time.perf_counter_ns() - started - found.duration_ns >= 1.5e9


@pytest.mark.parametrize("kind", [InputMismatchError, DatasetError])
def test_inputs_that_cannot_be_made_raise_in_tune_by_their_kind(target, kind):
    with pytest.raises(BenchmarkError, match="no such axes") as caught:
        tuned(target, prepare=Prepared(kind("no such axes")))
    assert caught.value.code is kind.code


def test_a_defect_of_the_harness_ends_the_worker_and_is_not_hidden(start, nothing_left):
    target = start("tests.worker.thorough:Thorough")
    with pytest.raises(ZeroDivisionError):
        tuned(target, prepare=Prepared(ZeroDivisionError()))
    assert nothing_left() == []


def test_a_backend_may_keep_its_options(target):
    found = tuned(target, tuning="keeps")
    assert (found.changed, found.measurements) == ({}, 0)


@pytest.mark.parametrize(
    ("tuning", "text"),
    [
        ("raise", "the vendor says no"),
        ("something", "tune returned something else; got 'dict'; expected ThoroughOptions"),
        ("not_its_own", r"not the backend's own; got \['batch_size'\]; expected changes only of: pause_us, "),
    ],
)
def test_a_tuning_that_fails_is_a_compile_error(target, tuning, text):
    with pytest.raises(CompileError, match=text):
        tuned(target, tuning=tuning)
    assert tuned(target, choices=[0]).changed == {"pause_us": 0}, "the target goes on"


def test_a_tuning_that_crashes_or_hangs_is_ended(start, nothing_left):
    with pytest.raises(CrashError):
        tuned(start("tests.worker.thorough:Thorough"), tuning="die")
    with pytest.raises(TimeLimitError) as caught:
        tuned(start("tests.worker.thorough:Thorough", folder="second"), tuning="hang", within=watch(compile_s=0.5))
    assert caught.value.limit == "compile_s"
    assert nothing_left() == []


def test_time_that_is_used_up_ends_an_inline_tuning_at_its_next_measurement():
    target = InlineTarget(thorough.Thorough())
    with pytest.raises(TimeLimitError) as caught:
        tuned(target, choices=[20_000] * 50, within=watch(compile_s=0.2))
    assert caught.value.limit == "compile_s"


def test_a_cancelled_tuning_ends(target):
    cancel = threading.Event()
    timer = threading.Timer(0.3, cancel.set)
    timer.start()
    with pytest.raises(CancelledError):
        tuned(target, choices=[20_000] * 500, within=watch(cancel=cancel, grace_s=10.0))
    timer.join()


def test_a_tuning_that_hears_nothing_is_killed_after_the_grace(start, nothing_left):
    cancel = threading.Event()
    timer = threading.Timer(0.3, cancel.set)
    timer.start()
    with pytest.raises(CancelledError, match="did not stop by itself"):
        tuned(start("tests.worker.thorough:Thorough"), tuning="stubborn", within=watch(cancel=cancel, grace_s=0.5))
    timer.join()
    assert nothing_left() == []


def compiled(target, **options):
    target.compile(ARTIFACT, {"pause_us": 0, **options}, watch())
    return target


def test_phases_are_stamped_in_order_and_take_their_time(target):
    trace = compiled(target).issue(_phased(6), watch()).trace
    assert trace.answered.all()
    assert trace.chunk_query.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    prepared, executed = trace.chunk_ns[::2], trace.chunk_ns[1::2]
    for taken, least_s in (
        (prepared - trace.sent_ns, thorough.PREPARE_S),
        (executed - prepared, thorough.EXECUTE_S),
        (trace.done_ns - executed, thorough.FETCH_S),
    ):
        assert (taken >= least_s * 1e9).all()


def test_phases_give_the_fetched_answers(target):
    recording = compiled(target).issue(_phased(4, keep=True), watch())
    assert recording.failures == ()
    for query in range(4):
        np.testing.assert_array_equal(recording.answers[query]["y"], 2 * batches().inputs["x"][query])


@pytest.mark.parametrize(
    ("phases", "code"), [("raise", FailureCode.PREDICT_ERROR), ("nothing", FailureCode.MALFORMED_OUTPUT)]
)
def test_a_phase_that_fails_fails_its_query(target, phases, code):
    recording = compiled(target, phases=phases).issue(_phased(2), watch())
    assert [each.code for each in recording.failures] == [code] * 2


def test_a_phase_that_hangs_is_over_the_limit_of_a_query(start, nothing_left):
    target = compiled(start("tests.worker.thorough:Thorough"), phases="hang")
    recording = target.issue(_phased(2), watch(query_s=0.3))
    assert [each.limit for each in recording.failures] == ["query_s"]
    assert nothing_left() == []


def _phased(queries, *, keep=False):
    asked = series(queries, keep=keep)
    return type(asked)(plan=asked.plan, batches=asked.batches, keep=keep, phased=True, step="phases")


def test_a_vendors_own_figures_are_finite_numbers_by_its_own_names(target):
    found = compiled(target).vendor_benchmark(batches(3), watch())
    assert found.figures == {"fps": 1234.5, "batches": 3.0, "watts": 7.5}
    assert {type(value) for value in found.figures.values()} == {float}
    assert found.refused == {}


def test_what_is_no_finite_number_is_refused_by_name(target):
    found = compiled(target, tool="odd").vendor_benchmark(batches(1), watch())
    assert found.figures == {"fps": 10.0, "part": 0.25}
    assert found.refused == {
        "nan": "it is nan",
        "inf": "it is inf",
        "text": "it is no number but str",
        "truth": "it is no number but bool",
        "none": "it is no number but NoneType",
        "array": "it is no number but ndarray",
        "huge": "it is beyond any float",
        "3": "its name is no text but 3",
        " ": "its name is no text but ' '",
    }


@pytest.mark.parametrize(("tool", "text"), [("raise", "the vendor says no"), ("list", "no mapping of names")])
def test_a_tool_that_fails_is_typed(target, tool, text):
    with pytest.raises(PredictError, match=text):
        compiled(target, tool=tool).vendor_benchmark(batches(1), watch())


def test_a_tool_that_crashes_costs_only_itself(start, nothing_left):
    target = compiled(start("tests.worker.thorough:Thorough"), tool="die")
    with pytest.raises(CrashError):
        target.vendor_benchmark(batches(1), watch())
    assert nothing_left() == []


def test_the_inputs_of_a_tuning_do_not_stay_on_disk(start, tmp_path):
    target = start("tests.worker.thorough:Thorough")
    tuned(target, tuning="dtypes")
    assert len(list(Path(tmp_path).glob("worker/inputs-*"))) <= 1
    target.close()
    assert list(Path(tmp_path).glob("worker/inputs-*")) == []
