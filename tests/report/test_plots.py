import io

import attrs
import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image
from tests.report.report_samples import accuracy_row, differences, performance_row, trace

from bytemlperf.metrics import Histogram, compare, performance
from bytemlperf.report import plots
from bytemlperf.spec import DType, TensorSpec


def pixels(figure):
    image = Image.open(io.BytesIO(plots.png(figure)))
    return np.asarray(image.convert("RGB"), np.int16)


def difference(output, reference):
    specs = (TensorSpec(name="y", shape=["batch"], dtype="fp32"),)
    result = compare(
        {"y": np.asarray(output)},
        {"y": np.asarray(reference)},
        specs=specs,
        precision=DType.FLOAT32,
        independent=True,
        reference_name="itself",
    )
    return result.outputs["y"]


def texts(figure):
    return [text.get_text() for text in figure.findobj(mpl.text.Text)]


def test_latencies_are_drawn_with_their_percentiles_and_units():
    figure = plots.latency_figure(performance_row(), trace())
    told = texts(figure)
    assert "latency of fixed_batch/clients=1, batch 8, fp32, n = 200" in told
    assert told.count("latency [ms]") == 2
    assert any(text.startswith("p99 = ") and text.endswith(" ms") for text in told)
    assert pixels(figure).shape == (504, 1200, 3)


def test_the_histogram_holds_every_query():
    figure = plots.latency_figure(performance_row(), trace(queries=345))
    heights = [patch.get_height() for patch in figure.axes[0].patches]
    assert sum(heights) == 345


@pytest.mark.parametrize("late_ns", [15_000_000, 100_000_000, 10_000_000_000])
def test_a_long_tail_does_not_hide_where_most_queries_are(late_ns):
    stamps = trace(queries=200)
    done = stamps.done_ns.copy()
    done[7] += late_ns
    figure = plots.latency_figure(performance_row(), attrs.evolve(stamps, done_ns=done))
    assert [axes.get_xscale() for axes in figure.axes] == ["log", "log"]
    heights = [patch.get_height() for patch in figure.axes[0].patches]
    assert sum(heights) == 200
    assert max(heights) < 150
    pixels(figure)
    assert [axes.get_xscale() for axes in plots.latency_figure(performance_row(), stamps).axes] == ["linear", "linear"]


def test_the_share_of_queries_reaches_one():
    (line,) = [
        line for line in plots.latency_figure(performance_row(), trace()).axes[1].lines if len(line.get_xdata()) > 2
    ]
    assert line.get_ydata()[-1] == 1.0
    assert np.all(np.diff(line.get_xdata()) >= 0)


@pytest.mark.parametrize("queries", [1, 2, 3])
def test_few_latencies_are_drawn(queries):
    pixels(plots.latency_figure(performance_row(queries=queries), trace(queries=queries)))


def test_equal_latencies_are_drawn():
    stamps = trace(queries=10)
    same = attrs.evolve(stamps, done_ns=stamps.scheduled_ns + 1_000)
    pixels(plots.latency_figure(performance_row(), same))


def test_without_answers_there_is_no_drawing():
    stamps = trace(queries=3)
    nothing = attrs.evolve(stamps, status=np.zeros(3, np.uint8))
    assert plots.latency_figure(performance_row(), nothing) is None


def test_throughput_is_drawn_over_latency_for_each_load():
    rows = [performance_row(batch_size=size, clients=clients) for size in (8, 1) for clients in (1, 2)]
    figure = plots.throughput_figure(rows, title="title")
    told = texts(figure)
    assert {"title", "throughput [samples/s]", "latency, median to p99 [ms]", "1", "8"} <= set(told)
    assert {"fixed_batch/clients=1", "fixed_batch/clients=2"} <= set(told)
    first = figure.axes[0].containers[0].lines[0]
    assert list(first.get_ydata()) == [
        rows[2].metrics["throughput/samples_per_s"].value,
        rows[0].metrics["throughput/samples_per_s"].value,
    ]
    pixels(figure)


def test_one_point_is_no_curve():
    assert plots.throughput_figure([performance_row()], title="") is None
    assert plots.throughput_figure([], title="") is None
    nothing = attrs.evolve(performance_row(batch_size=1), metrics={})
    assert plots.throughput_figure([performance_row(), nothing, accuracy_row()], title="") is None


def test_figures_without_intervals_are_drawn():
    rows = [
        attrs.evolve(row, metrics={name: attrs.evolve(each, low=None, high=None) for name, each in row.metrics.items()})
        for row in (performance_row(batch_size=1), performance_row(batch_size=8))
    ]
    pixels(plots.throughput_figure(rows, title="t"))


def test_a_row_without_p99_is_drawn_without_its_bar():
    rows = [performance_row(batch_size=1), performance_row(batch_size=8)]
    rows[0] = attrs.evolve(
        rows[0], metrics={name: each for name, each in rows[0].metrics.items() if name != "latency/p99"}
    )
    pixels(plots.throughput_figure(rows, title="t"))


def test_differences_are_three_histograms_on_a_log_scale():
    figure = plots.difference_figure("logits", differences().outputs["logits"], title="m")
    assert [axes.get_xlabel() for axes in figure.axes] == ["output - reference", "reference", "output"]
    assert [axes.get_yscale() for axes in figure.axes] == ["log"] * 3
    assert any("logits of m, n = 640, max|d| / max|reference| = " in text for text in texts(figure))
    shade = pixels(figure)
    assert (shade[:, :, 2] - shade[:, :, 0] > 50).mean() > 0.02  # the bars are there


@pytest.mark.parametrize(
    ("output", "reference"),
    [
        ([1.0, 2.0], [1.0, 2.0]),
        ([0.0, 0.0], [0.0, 0.0]),
        ([1e-310, 2.0], [0.0, 2.0]),
        ([1e30, -1e30], [1.0, 2.0]),
        ([5.0], [5.0]),
    ],
)
def test_any_difference_can_be_drawn(output, reference):
    pixels(plots.difference_figure("y", difference(output, reference), title="m"))


def test_without_values_there_is_no_drawing():
    empty = attrs.evolve(differences().outputs["logits"], difference=Histogram(low=0.0, width=1.0))
    assert plots.difference_figure("y", empty, title="m") is None


def test_drawing_leaves_no_figure_and_no_setting_behind():
    before = dict(mpl.rcParams)
    plots.png(plots.latency_figure(performance_row(), trace()))
    import sys

    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
    assert dict(mpl.rcParams) == before


def test_figures_of_the_trace_are_those_of_the_row():
    stamps = trace(queries=300)
    row = attrs.evolve(performance_row(), metrics=performance(stamps))
    lines = [line for line in plots.latency_figure(row, stamps).axes[1].lines if len(line.get_xdata()) == 2]
    assert [line.get_xdata()[0] for line in lines] == [
        row.metrics[f"latency/{name}"].value / 1e6 for name in ("p50", "p90", "p99")
    ]


def test_error_is_drawn_against_quantile_with_its_bound():
    outputs = differences().outputs
    drawn = plots.error_figure(outputs, title="t")
    (axes,) = drawn.axes
    curves = [line for line in axes.lines if line.get_label() in outputs]
    assert [line.get_label() for line in curves] == list(outputs)
    first = outputs["logits"]
    assert curves[0].get_ydata()[-1] == first.max_abs
    assert curves[0].get_xdata()[-1] == 1 / first.n
    bounds = [line.get_ydata()[0] for line in axes.lines if line not in curves]
    assert bounds[0] == pytest.approx(1e-4 * first.max_abs / first.max_rel)


def test_equal_outputs_give_no_drawing_of_errors():
    assert plots.error_figure(differences(noise=0).outputs, title="t") is None
