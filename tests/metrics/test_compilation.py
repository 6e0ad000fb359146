import pytest

from bytemlperf.errors import SpecError
from bytemlperf.metrics import CompileTimes, compile_figures

COLD = CompileTimes(convert_ns=1_500_000_001, compile_ns=2_000_000_000, first_predict_ns=250_000_000)
WARM = CompileTimes(convert_ns=0, compile_ns=100_000_000, first_predict_ns=50_000_000)


def test_phases_and_their_sum_are_given_in_seconds_for_both_starts():
    figures = compile_figures(cold=COLD, warm=WARM)
    values = {name: figure.value for name, figure in figures.items() if figure.unit == "s"}
    assert values == {
        "compile/cold/convert_s": 1.500000001,
        "compile/cold/compile_s": 2.0,
        "compile/cold/first_predict_s": 0.25,
        "compile/cold/time_to_first_answer_s": 3.750000001,
        "compile/warm/convert_s": 0.0,
        "compile/warm/compile_s": 0.1,
        "compile/warm/first_predict_s": 0.05,
        "compile/warm/time_to_first_answer_s": 0.15,
    }
    assert "empty cache folder" in figures["compile/cold/compile_s"].definition
    assert "the cache folder of the cold start" in figures["compile/warm/compile_s"].definition


def test_a_start_that_was_not_measured_says_so():
    figures = compile_figures(cold=COLD)
    assert figures["compile/warm/compile_s"].value is None
    assert figures["compile/warm/compile_s"].note == "not measured"


def test_a_lacking_phase_leaves_no_headline_and_is_named():
    headline = compile_figures(cold=CompileTimes(compile_ns=5))["compile/cold/time_to_first_answer_s"]
    assert (headline.value, headline.n) == (None, 0)
    assert headline.note == "not measured: convert_s, first_predict_s"


def test_a_lazy_compiler_is_seen_in_the_headline():
    lazy = CompileTimes(convert_ns=0, compile_ns=50_000, first_predict_ns=90_000_000_000)
    figures = compile_figures(cold=lazy)
    assert figures["compile/cold/compile_s"].value == 5e-5
    assert figures["compile/cold/time_to_first_answer_s"].value == 90.00005


def test_coverage_that_a_backend_cannot_tell_is_not_known_and_never_full():
    figure = compile_figures()["compile/coverage"]
    assert figure.value is None
    assert str(figure) == "not known: the backend cannot tell"


@pytest.mark.parametrize("coverage", [0.0, 0.875, 1.0])
def test_coverage_is_a_share(coverage):
    assert compile_figures(coverage=coverage)["compile/coverage"].value == coverage


def test_the_artifacts_size_is_given_in_bytes():
    assert str(compile_figures(artifact_bytes=2048)["compile/artifact_bytes"]) == "2048 B, n = 1"
    assert str(compile_figures()["compile/artifact_bytes"]) == "not known"


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        (lambda: compile_figures(coverage=100), r"\$.coverage"),
        (lambda: compile_figures(coverage=float("nan")), r"\$.coverage"),
        (lambda: compile_figures(artifact_bytes=-1), r"\$.artifact_bytes"),
        (lambda: CompileTimes(compile_ns=-1), r"\$.compile_ns"),
        (lambda: CompileTimes(convert_ns=0.5), r"\$.convert_ns"),
    ],
)
def test_values_out_of_range_are_refused(wrong, where):
    with pytest.raises(SpecError, match=where):
        wrong()


def test_tuning_stands_for_itself_and_only_where_it_was_done():
    figures = compile_figures(cold=COLD, tune_ns=90_000_000_000)
    assert figures["compile/tune_s"].value == 90.0
    assert figures["compile/cold/time_to_first_answer_s"].value == 3.750000001
    assert "no part of time_to_first_answer_s" in figures["compile/tune_s"].definition
    assert "compile/tune_s" not in compile_figures(cold=COLD)
    with pytest.raises(SpecError, match=r"\$\.tune_ns"):
        compile_figures(tune_ns=-1)
