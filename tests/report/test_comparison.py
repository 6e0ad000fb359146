"""Two reports compared: what is decided, on what it rests, and what is refused."""

import json
import math
import xml.etree.ElementTree as ET

import attrs
import numpy as np
import pytest
from scipy import stats
from tests.report.compared_samples import MEAN_NS, compiled_row, gamma, saved, scored_row, timed_row
from tests.report.report_samples import ENVIRONMENT, numeric_row, report

from bytemlperf.backends.compiled import CompileInfo
from bytemlperf.environment import Cpu
from bytemlperf.errors import Blame, FailureCode, IncomparableError, SpecError
from bytemlperf.failure import Failure
from bytemlperf.metrics.estimate import Estimate
from bytemlperf.report import Aspect, Basis, Comparison, Decision, compare
from bytemlperf.report.comparison import REFUSED
from bytemlperf.report.comparison.evidence import higher_is_better
from bytemlperf.spec import DType

TESTED = ("latency/mean", "latency/p50", "latency/p90", "latency/p95", "latency/p99", "throughput/samples_per_s")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def folders(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    return tmp_path / "a", tmp_path / "b"


def timed(folder, *latencies, **more):
    return saved(folder, [timed_row(folder, *latencies)], **more)


def decisions(comparison):
    return {each.figure: each.decision for each in comparison.figures if each.decision is not None}


def aspects(comparison):
    return {each.aspect for each in comparison.warnings}


def test_a_slowdown_is_told_in_every_figure(folders, rng):
    result = compare(timed(folders[0], gamma(rng, 2000)), timed(folders[1], gamma(rng, 2000, mean_ns=1.2 * MEAN_NS)))
    assert decisions(result) == dict.fromkeys(TESTED, Decision.SLOWER)
    assert result.exit_code() == 1
    assert {each.basis for each in result.figures if each.decision} == {Basis.QUERIES}
    mean = result.find("latency/mean")
    assert mean.low < 1.2 < mean.high
    assert result.find("throughput/samples_per_s").change == pytest.approx(1 / 1.2, rel=0.01)


def test_the_other_way_round_it_is_a_speedup_by_the_inverse(folders, rng):
    a, b = timed(folders[0], gamma(rng, 1000)), timed(folders[1], gamma(rng, 1000, mean_ns=1.2 * MEAN_NS))
    there, back = compare(a, b), compare(b, a)
    assert set(decisions(back).values()) == {Decision.FASTER}
    assert back.exit_code() == 0
    for one, other in zip(there.figures, back.figures, strict=True):
        assert one.change * other.change == pytest.approx(1)
        if one.low is not None:
            assert one.low * other.high == pytest.approx(1, rel=1e-9)
            assert one.adjusted_difference == pytest.approx(other.adjusted_difference)


def test_runs_alike_enough_are_equivalent_and_a_margin_of_nothing_shows_nothing(folders, rng):
    a, b = timed(folders[0], gamma(rng, 4000)), timed(folders[1], gamma(rng, 4000))
    assert set(decisions(compare(a, b)).values()) == {Decision.EQUIVALENT}
    strict = compare(a, b, equivalence=0)
    assert set(decisions(strict).values()) == {Decision.UNDECIDED}
    assert (strict.exit_code(), strict.exit_code(strict=True)) == (0, 3)


def test_a_small_change_that_is_shown_is_equivalent_within_the_margin_and_slower_without(folders, rng):
    a, b = timed(folders[0], gamma(rng, 4000)), timed(folders[1], gamma(rng, 4000, mean_ns=1.02 * MEAN_NS))
    within, without = (compare(a, b, figures=["latency/mean"], equivalence=each) for each in (0.05, 0.0))
    assert decisions(within) == {"latency/mean": Decision.EQUIVALENT}
    assert within.find("latency/mean").adjusted_difference < 0.05
    assert decisions(without) == {"latency/mean": Decision.SLOWER}


def test_too_few_queries_leave_a_tail_open(folders, rng):
    result = compare(timed(folders[0], gamma(rng, 100)), timed(folders[1], gamma(rng, 100, mean_ns=1.5 * MEAN_NS)))
    p99 = result.find("latency/p99")
    assert p99.decision is Decision.UNDECIDED
    assert p99.high is None
    assert "too few data" in p99.note
    assert result.find("latency/p50").decision is Decision.SLOWER


def test_several_processes_are_the_unit_where_there_are_several(folders, rng):
    series = [[gamma(rng, 200, mean_ns=factor * mean) for factor in rng.normal(1, 0.01, 6)] for mean in (1e6, 1.1e6)]
    result = compare(timed(folders[0], *series[0]), timed(folders[1], *series[1]))
    mean = result.find("latency/mean")
    logs = [[math.log(each.mean()) for each in side] for side in series]
    reference = stats.ttest_ind(logs[1], logs[0], equal_var=False)
    assert (mean.basis, mean.n_a, mean.n_b) == (Basis.PROCESSES, 6, 6)
    assert mean.p_difference == pytest.approx(reference.pvalue)
    low, high = reference.confidence_interval(0.95)
    assert (mean.low, mean.high) == pytest.approx((math.exp(low), math.exp(high)))
    assert mean.decision is Decision.SLOWER
    assert Aspect.PROCESSES not in aspects(result)


def test_processes_that_differ_among_themselves_hide_what_one_run_would_show(folders, rng):
    series = [[gamma(rng, 400, mean_ns=factor * mean) for factor in (0.9, 1.0, 1.1)] for mean in (1e6, 1.03e6)]
    result = compare(timed(folders[0], *series[0]), timed(folders[1], *series[1]))
    assert set(decisions(result).values()) == {Decision.UNDECIDED}
    alone = compare(timed(folders[0], series[0][0]), timed(folders[1], series[1][2]), figures=["latency/mean"])
    assert decisions(alone) == {"latency/mean": Decision.SLOWER}
    assert Aspect.PROCESSES in aspects(alone)


def test_one_process_against_several_takes_their_spread(folders, rng):
    several = [gamma(rng, 200, mean_ns=factor * 1e6) for factor in (0.99, 1.0, 1.01, 1.02)]
    result = compare(timed(folders[0], *several), timed(folders[1], gamma(rng, 200, mean_ns=1.3e6)))
    mean = result.find("latency/mean")
    assert (mean.basis, mean.n_a, mean.n_b) == (Basis.PROCESSES, 4, 1)
    assert "one side is one process" in mean.note
    assert mean.decision is Decision.SLOWER


@pytest.mark.parametrize("processes", [1, 5])
def test_without_raw_stamps_the_kept_intervals_are_used_and_said_so(rng, processes):
    series = [[gamma(rng, 800, mean_ns=f * mean) for f in rng.normal(1, 0.005, processes)] for mean in (1e6, 1.2e6)]
    result = compare(timed(None, *series[0]), timed(None, *series[1]))
    mean = result.find("latency/mean")
    assert (mean.basis, mean.decision) == (Basis.INTERVALS, Decision.SLOWER)
    assert "raw stamps are not there" in mean.note
    assert Aspect.RAW in aspects(result)


def test_raw_stamps_that_were_changed_are_not_used(folders, rng):
    row = timed_row(folders[0], gamma(rng, 500))
    a = saved(folders[0], [attrs.evolve(row, sha256={row.files[0]: "0" * 64})])
    result = compare(a, timed(folders[1], gamma(rng, 500)))
    assert result.find("latency/mean").basis is Basis.INTERVALS
    assert any("was changed" in each.text for each in result.warnings if each.aspect is Aspect.RAW)


def test_stamps_that_cannot_be_read_are_told(folders, rng):
    a, b = timed(folders[0], gamma(rng, 500)), timed(folders[1], gamma(rng, 500))
    (folders[1] / b.rows[0].files[0]).write_bytes(b"no trace")
    result = compare(a, b)
    assert result.find("latency/p50").basis is Basis.INTERVALS
    assert any("no trace" in each.text for each in result.warnings)


def test_a_figure_with_one_value_on_each_side_is_only_shown():
    result = compare(saved(None, [compiled_row(1.0)]), saved(None, [compiled_row(9.0)]))
    figure = result.find("compile/cold/compile_s")
    assert (figure.change, figure.decision, figure.basis) == (9.0, None, Basis.NOTHING)
    assert result.exit_code(strict=True) == 0
    assert decisions(result) == {}


def test_a_duration_of_nothing_has_no_ratio():
    result = compare(saved(None, [compiled_row(0.0)]), saved(None, [compiled_row(2.0)]))
    figure = result.find("compile/cold/compile_s")
    assert (figure.ratio, figure.change) == (False, 2.0)


def scores(folders, right_a, right_b, **more):
    a, b = (
        saved(folder, [scored_row(folder, right, **more)])
        for folder, right in zip(folders, (right_a, right_b), strict=True)
    )
    return a, b


def test_accuracy_is_compared_on_the_same_samples_by_mcnemar(folders):
    a, b = np.ones(400, np.bool_), np.ones(400, np.bool_)
    a[:3], b[100:130] = False, False
    figure = compare(*scores(folders, a, b)).find("accuracy/top1")
    assert (figure.basis, figure.n_a, figure.decision) == (Basis.PAIRED_SAMPLES, 400, Decision.WORSE)
    assert figure.p_difference == pytest.approx(stats.binomtest(3, 33).pvalue)
    assert figure.change == pytest.approx(-27 / 400)
    assert "30 right only in a, 3 only in b" in figure.note


def test_the_other_way_round_accuracy_is_better(folders):
    a, b = np.ones(400, np.bool_), np.ones(400, np.bool_)
    a[:40] = False
    assert decisions(compare(*scores(folders, a, b))) == {"accuracy/top1": Decision.BETTER}


def test_the_same_answers_are_equivalent_if_there_are_enough(folders):
    many = np.arange(2000) % 10 > 0
    assert decisions(compare(*scores(folders, many, many))) == {"accuracy/top1": Decision.EQUIVALENT}
    few = many[:100]
    assert decisions(compare(*scores(folders, few, few))) == {"accuracy/top1": Decision.UNDECIDED}


def test_samples_are_paired_by_their_numbers_and_not_by_their_place(folders):
    right = np.arange(300) % 3 > 0
    a = saved(folders[0], [scored_row(folders[0], right)])
    b = saved(folders[1], [scored_row(folders[1], right[::-1], numbers=np.arange(300)[::-1])])
    assert "none is right in one only" in compare(a, b).find("accuracy/top1").note


def test_samples_that_only_one_side_has_are_left_out_and_told(folders):
    a = saved(folders[0], [scored_row(folders[0], np.ones(300))])
    b = saved(folders[1], [scored_row(folders[1], np.ones(200), numbers=np.arange(200) + 150)])
    figure = compare(a, b).find("accuracy/top1")
    assert figure.n_a == 150
    assert "over the 150 samples that both have" in figure.note


def test_without_samples_the_two_exact_intervals_are_used_and_said_so(folders):
    right = np.arange(400) < 380
    figure = compare(*scores((None, None), right, np.arange(400) < 300)).find("accuracy/top1")
    assert (figure.basis, figure.decision) == (Basis.SAMPLES, Decision.WORSE)
    assert "unpaired" in figure.note


def test_a_score_that_is_no_count_is_compared_by_its_interval():
    rows = [
        attrs.evolve(
            scored_row(None, np.ones(100)),
            metrics={"accuracy/top1": Estimate(value=value, unit="1", low=value - 0.02, high=value + 0.02, n=100)},
        )
        for value in (0.9051, 0.8049)
    ]
    figure = compare(saved(None, rows[:1]), saved(None, rows[1:])).find("accuracy/top1")
    assert (figure.basis, figure.decision) == (Basis.INTERVALS, Decision.WORSE)
    assert figure.low == pytest.approx(-0.1002 - math.hypot(0.02, 0.02), abs=1e-9)


def test_samples_that_cannot_be_read_leave_the_two_intervals(folders):
    a, b = scores(folders, np.arange(400) < 380, np.arange(400) < 300)
    (folders[0] / a.rows[0].files[0]).write_bytes(b"none")
    result = compare(a, b)
    assert result.find("accuracy/top1").basis is Basis.SAMPLES
    assert any("which samples were right" in each.text for each in result.warnings if each.aspect is Aspect.RAW)


def test_runs_on_other_samples_are_not_paired(folders):
    a = saved(folders[0], [scored_row(folders[0], np.ones(300))])
    b = saved(folders[1], [scored_row(folders[1], np.ones(300), numbers=np.arange(300) + 300)])
    assert compare(a, b).find("accuracy/top1").basis is Basis.SAMPLES


def test_a_score_without_count_and_interval_is_only_shown():
    row = scored_row(None, np.ones(9))
    bare = attrs.evolve(row, metrics={"accuracy/top1": Estimate(value=0.5, unit="1")})
    figure = compare(saved(None, [bare]), saved(None, [row])).find("accuracy/top1")
    assert (figure.basis, figure.decision, figure.change) == (Basis.NOTHING, None, 0.5)


def test_latencies_of_nothing_have_no_ratio(folders, rng):
    none = gamma(rng, 300)
    none[7] = 0
    result = compare(timed(folders[0], none), timed(folders[1], gamma(rng, 300)))
    assert result.find("latency/p50").basis is Basis.INTERVALS
    assert result.find("throughput/samples_per_s").basis is Basis.QUERIES


def test_a_score_whose_metric_is_not_known_is_not_compared():
    assert higher_is_better("accuracy", "accuracy/nobody_knows", "1") is None


@pytest.mark.parametrize(
    ("unit", "expected"), [("ns", False), ("s", False), ("samples/s", True), ("tokens/s", True), ("queries", None)]
)
def test_the_unit_tells_which_way_is_good(unit, expected):
    assert higher_is_better("performance", "any/figure", unit) is expected


def test_figures_of_no_direction_are_not_compared(folders, rng):
    a = saved(folders[0], [timed_row(folders[0], gamma(rng, 300)), attrs.evolve(numeric_row(), part="")])
    b = saved(folders[1], [timed_row(folders[1], gamma(rng, 300)), attrs.evolve(numeric_row(), part="")])
    names = {each.figure for each in compare(a, b).figures}
    assert names == {*TESTED, "latency/min", "latency/max"}


def test_naming_fewer_figures_corrects_for_fewer(folders, rng):
    a, b = timed(folders[0], gamma(rng, 300)), timed(folders[1], gamma(rng, 300))
    one = compare(a, b, figures=["latency/p50"])
    (figure,) = one.figures
    assert figure.adjusted_difference == figure.p_difference
    assert "Holm over 1 figures" in one.correction
    by_key = compare(a, b, figures=[f"{a.rows[0].key}/latency/p9*"])
    assert [each.figure for each in by_key.figures] == ["latency/p90", "latency/p95", "latency/p99"]


def test_a_decision_that_the_correction_takes_away_is_explained():
    metrics = {f"latency/x{n}": Estimate(value=100.0, unit="ns", low=90, high=111, n=50) for n in range(9)}
    changed = {"latency/x0": Estimate(value=119.0, unit="ns", low=107, high=132, n=50)}
    row = attrs.evolve(timed_row(None, np.full(50, 100)), metrics=metrics)
    a, b = saved(None, [row]), saved(None, [attrs.evolve(row, metrics=metrics | changed)])
    figure = compare(a, b).find("latency/x0")
    assert figure.p_difference < 0.05 < figure.adjusted_difference
    assert "decided for itself" in figure.note


HARDWARE = attrs.evolve(ENVIRONMENT, cpu=Cpu(model="another", usable_cores=48))
OTHER = {
    Aspect.ARTIFACT: {"artifact": attrs.evolve(report(rows=[]).artifact, derived_from="9" * 64)},
    Aspect.DATASET: {"dataset": attrs.evolve(report(rows=[]).dataset, fingerprint="9" * 64)},
    Aspect.ENVIRONMENT: {"environment": HARDWARE},
}


@pytest.mark.parametrize("aspect", OTHER)
def test_another_model_data_set_or_machine_is_refused_unless_allowed(aspect):
    a, b = saved(None, [compiled_row(1.0)]), saved(None, [compiled_row(1.0)], **OTHER[aspect])
    with pytest.raises(IncomparableError, match="not of the same thing") as told:
        compare(a, b)
    assert told.value.aspects == (aspect.value,)
    assert f"allow {aspect}" in str(told.value)
    (warning,) = (each for each in compare(a, b, allow=[aspect.value]).warnings if each.aspect is aspect)
    assert warning.allowed


def test_every_reason_to_refuse_is_told_at_once():
    a, b = (
        saved(None, [compiled_row(1.0)]),
        saved(None, [compiled_row(1.0)], **{k: v for each in OTHER.values() for k, v in each.items()}),
    )
    with pytest.raises(IncomparableError) as told:
        compare(a, b)
    assert set(told.value.aspects) == set(OTHER)


def test_a_converted_model_is_the_one_it_was_converted_from():
    first = report(rows=[]).artifact
    a = saved(None, [compiled_row(1.0)], artifact=attrs.evolve(first, sha256="1" * 64, derived_from="2" * 64))
    b = saved(None, [compiled_row(1.0)], artifact=attrs.evolve(first, sha256="2" * 64, derived_from=None))
    assert Aspect.ARTIFACT not in aspects(compare(a, b))


@pytest.mark.parametrize("artifact", [None, attrs.evolve(report(rows=[]).artifact, sha256="", derived_from=None)])
def test_a_model_that_is_not_told_is_refused(artifact):
    a = saved(None, [compiled_row(1.0)])
    with pytest.raises(IncomparableError, match="does not tell"):
        compare(a, attrs.evolve(a, artifact=artifact))


def test_other_weights_are_refused():
    a = saved(None, [compiled_row(1.0)])
    b = attrs.evolve(a, compiles={compiled_row(1.0).key: CompileInfo(precision="fp32", weights="pruned")})
    with pytest.raises(IncomparableError, match="weights is none in a, pruned in b"):
        compare(a, b)


def test_fewer_samples_of_a_data_set_are_another_data_set():
    a = saved(None, [compiled_row(1.0)])
    with pytest.raises(IncomparableError, match="360 samples"):
        compare(a, attrs.evolve(a, dataset=attrs.evolve(a.dataset, samples=10)))


def test_another_device_of_the_same_backend_is_another_machine():
    a = saved(None, [compiled_row(1.0)])
    b = attrs.evolve(a, rows=[attrs.evolve(compiled_row(1.0), devices=["cuda:1"])])
    with pytest.raises(IncomparableError, match="devices used cpu in a, cuda:1 in b"):
        compare(a, b)
    other = attrs.evolve(b, backend=attrs.evolve(b.backend, name="other"))
    assert Aspect.ENVIRONMENT not in aspects(compare(a, other))


def test_a_report_without_its_backend_is_compared_by_its_machine():
    a = saved(None, [compiled_row(1.0)])
    assert Aspect.BACKEND not in aspects(compare(a, attrs.evolve(a, backend=None)))


def test_another_precision_is_refused_and_matched_where_allowed(folders, rng):
    half = timed_row(folders[1], gamma(rng, 1000, mean_ns=0.5 * MEAN_NS), precision=DType.FLOAT16)
    a, b = timed(folders[0], gamma(rng, 1000)), saved(folders[1], [half])
    with pytest.raises(IncomparableError, match="precision is fp32 in a, fp16 in b"):
        compare(a, b)
    assert compare(a, b, allow=["precision"]).find("latency/p50").decision is Decision.FASTER


def test_another_load_is_refused_and_matched_where_allowed(folders, rng):
    a, b = timed(folders[0], gamma(rng, 300)), saved(folders[1], [timed_row(folders[1], gamma(rng, 300), clients=2)])
    with pytest.raises(IncomparableError) as told:
        compare(a, b)
    assert told.value.aspects == ("scenario",)
    assert compare(a, b, allow=["scenario"]).find("latency/p50").row == a.rows[0].key


def test_rows_that_only_one_has_are_told_and_fail_a_strict_comparison(folders, rng):
    rows = [timed_row(folders[0], gamma(rng, 4000), batch_size=size) for size in (1, 8)]
    result = compare(saved(folders[0], rows), saved(folders[1], [timed_row(folders[1], gamma(rng, 4000))]))
    assert result.lost == (rows[1].key,)
    assert (result.exit_code(), result.exit_code(strict=True)) == (0, 3)
    assert Aspect.ROWS in aspects(result)


def test_reports_without_a_common_row_cannot_be_compared(rng):
    with pytest.raises(SpecError, match="no row in common"):
        compare(saved(None, [compiled_row(1.0)]), saved(None, [scored_row(None, np.ones(9))]))


def test_reports_without_the_figures_asked_for_cannot_be_compared():
    a = saved(None, [compiled_row(1.0)])
    with pytest.raises(SpecError, match="share no figure"):
        compare(a, a, figures=["latency/*"])


WARNED = {
    Aspect.SOFTWARE: {"environment": attrs.evolve(ENVIRONMENT, packages={f"p{n}": "1" for n in range(9)})},
    Aspect.SETTINGS: {"environment": attrs.evolve(ENVIRONMENT, kernel="6.9", host="c" * 64)},
    Aspect.BACKEND: {"backend": attrs.evolve(report(rows=[]).backend, name="other", version="9")},
    Aspect.ISOLATION: {"backend": attrs.evolve(report(rows=[]).backend, isolation="inline")},
    Aspect.OPTIONS: {"job": attrs.evolve(report(rows=[]).job, options={"threads": 9})},
    Aspect.SEEDS: {"job": attrs.evolve(report(rows=[]).job, seed=9)},
    Aspect.VERDICT: {
        "rows": [compiled_row(1.0), attrs.evolve(numeric_row(noise=10.0), part="")],
    },
}


@pytest.mark.parametrize("aspect", WARNED)
def test_what_may_differ_is_told(aspect):
    rows = WARNED[aspect].get("rows", [compiled_row(1.0)])
    result = compare(saved(None, [compiled_row(1.0)]), saved(None, **{"rows": rows, **WARNED[aspect]}))
    assert aspect in aspects(result)
    assert not any(each.allowed for each in result.warnings)


def test_a_failure_of_the_backend_is_told_though_its_figures_stand():
    failure = Failure(code=FailureCode.NUMERIC_MISMATCH, blame=Blame.BACKEND, step="numeric", message="far off")
    a = saved(None, [compiled_row(1.0)])
    result = compare(a, saved(None, [compiled_row(1.0)], failures=[failure]))
    assert any(each.aspect is Aspect.VERDICT and "far off" in each.text for each in result.warnings)


def test_one_report_twice_is_told():
    a = saved(None, [compiled_row(1.0)])
    assert Aspect.SAME in aspects(compare(a, a))


def test_queries_that_were_lost_are_told(folders, rng):
    row = attrs.evolve(timed_row(folders[1], gamma(rng, 300)), note="only 300 of 400 queries were answered")
    result = compare(timed(folders[0], gamma(rng, 300)), saved(folders[1], [row]))
    assert any("only 300 of 400" in each.text for each in result.warnings)


@pytest.mark.parametrize("name", ["equivalence", "level", "accuracy_equivalence"])
@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_an_argument_out_of_range_is_refused(name, value):
    a = saved(None, [compiled_row(1.0)])
    with pytest.raises(SpecError, match=name):
        compare(a, a, **{name: value})


@pytest.mark.parametrize("level", [0, 1])
def test_a_confidence_that_is_none_is_refused(level):
    a = saved(None, [compiled_row(1.0)])
    with pytest.raises(SpecError, match="level"):
        compare(a, a, level=level)


def test_an_aspect_that_does_not_exist_is_refused():
    a = saved(None, [compiled_row(1.0)])
    with pytest.raises(SpecError, match="weather"):
        compare(a, a, allow=["weather"])


@pytest.fixture
def result(folders, rng):
    rows = [
        [timed_row(folder, gamma(rng, 700, mean_ns=mean)), scored_row(folder, np.arange(300) > 10), compiled_row(1.0)]
        for folder, mean in zip(folders, (MEAN_NS, 1.1 * MEAN_NS), strict=True)
    ]
    extra = timed_row(None, gamma(rng, 700), batch_size=8)
    return compare(saved(folders[0], [*rows[0], extra]), saved(folders[1], rows[1]), names=("old <1>", "new|2"))


def test_a_comparison_is_found_by_figure_and_row(result):
    row = result.figures[0].row
    assert result.find("latency/p50", row=row).figure == "latency/p50"
    with pytest.raises(KeyError, match="latency/p50"):
        result.find("latency/p5")


def test_it_goes_to_json_and_back(result):
    assert Comparison.from_dict(json.loads(json.dumps(result.to_dict()))) == result
    with pytest.raises(SpecError, match="schema_version"):
        Comparison.from_dict({**result.to_dict(), "schema_version": "9.0"})
    with pytest.raises(SpecError, match="no comparison"):
        Comparison.from_dict([])


def test_the_table_fits_eighty_columns_and_tells_every_decision(result):
    text = str(result)
    assert max(map(len, text.splitlines())) <= 80
    for figure in result.figures:
        assert figure.figure.partition("/")[2] in text
    assert "slower" in text
    assert "Holm over" in text
    assert "old <1>" in text


def test_markdown_keeps_its_columns_whatever_a_name_holds(result):
    text = result.to_markdown()
    assert "new\\|2" in text
    tables = [line for line in text.splitlines() if line.startswith("| latency")]
    assert {line.count(" | ") for line in tables} == {10}
    assert result._repr_markdown_() == text


@pytest.mark.parametrize("strict", [False, True])
def test_junit_counts_what_it_holds(result, strict):
    top = ET.fromstring(result.to_junit(strict=strict))
    (suite,) = top
    decided = [each for each in result.figures if each.decision is not None]
    lost = len(result.lost)
    assert len(suite) == int(suite.get("tests")) == len(decided) + lost
    open_ones = len(result.undecided) + lost
    assert len(suite.findall("*/failure")) == int(top.get("failures")) == len(result.worse) + strict * open_ones
    assert len(suite.findall("*/skipped")) == int(top.get("skipped")) == (not strict) * open_ones
    assert result.worse


def test_junit_replaces_what_xml_cannot_hold(result):
    strange = attrs.evolve(result, a=attrs.evolve(result.a, name="bell \x07"))
    assert ET.fromstring(strange.to_junit())[0].get("name").endswith("bell ?")


def test_the_same_comparison_comes_out_twice(folders, rng):
    a, b = timed(folders[0], gamma(rng, 300)), timed(folders[1], gamma(rng, 300))
    assert compare(a, b) == compare(a, b)


def test_what_is_refused_is_what_is_documented():
    assert {each.value for each in REFUSED} == {
        "artifact",
        "weights",
        "dataset",
        "precision",
        "scenario",
        "environment",
    }


def told_apart(rng, folders, *, pairs, slowdown=1.0, queries=300, figures=None, processes=1):
    """How many of so many pairs of runs are told apart in any figure; and in how many b is found worse."""
    different = worse = 0
    for _ in range(pairs):
        sides = [
            timed(folder, *(gamma(rng, queries, mean_ns=mean * p) for p in _between(rng, processes)))
            for folder, mean in zip(folders, (MEAN_NS, slowdown * MEAN_NS), strict=True)
        ]
        found = {each.decision for each in compare(*sides, figures=figures, equivalence=0).figures}
        different += bool(found & {Decision.FASTER, Decision.SLOWER})
        worse += Decision.SLOWER in found
    return different, worse


def _between(rng, processes):
    return (1.0,) if processes == 1 else rng.normal(1, 0.05, processes)


def most_allowed(pairs):
    return pairs * (0.05 + 2 * math.sqrt(0.05 * 0.95 / pairs))


def test_equal_runs_are_told_apart_no_more_often_than_stated(folders):
    different, _ = told_apart(np.random.default_rng(1), folders, pairs=60)
    assert different <= most_allowed(60)


def test_a_slowdown_of_5_percent_at_5_percent_noise_is_found(folders):
    _, worse = told_apart(np.random.default_rng(2), folders, pairs=30, slowdown=1.05)
    assert worse >= 27


@pytest.mark.slow
@pytest.mark.parametrize(("queries", "processes", "pairs"), [(300, 1, 1000), (2000, 1, 1000), (20, 4, 200)])
def test_of_1000_equal_pairs_hardly_one_is_told_apart(folders, queries, processes, pairs):
    different, _ = told_apart(np.random.default_rng(3), folders, pairs=pairs, queries=queries, processes=processes)
    assert different <= most_allowed(pairs)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("figure", "queries", "processes", "pairs"),
    [
        ("latency/mean", 50, 1, 200),
        ("latency/p50", 100, 1, 200),
        ("latency/p99", 1500, 1, 200),
        ("latency/mean", 9, 32, 50),
    ],
)
def test_a_slowdown_is_found_with_so_many_queries_or_processes(folders, figure, queries, processes, pairs):
    _, worse = told_apart(
        np.random.default_rng(4),
        folders,
        pairs=pairs,
        slowdown=1.05,
        queries=queries,
        processes=processes,
        figures=[figure],
    )
    assert worse >= 0.9 * pairs
