"""Reports with raw data beside them, made from latencies that are known."""

import attrs
import numpy as np
from tests.report.report_samples import accuracy_row, compile_row, report

from bytemlperf.metrics import across_processes, performance
from bytemlperf.metrics.estimate import Estimate
from bytemlperf.report import Row, RowKind, row_key
from bytemlperf.report.files import KeptSamples, samples_path, trace_path, write_samples, write_trace
from bytemlperf.spec import DType
from bytemlperf.statistics import binomial_interval
from bytemlperf.trace import Trace

MEAN_NS = 1_000_000
NOISE = 0.05


def gamma(rng, queries, *, mean_ns=MEAN_NS, noise=NOISE):
    """Latencies in ns that vary independently by a share."""
    return rng.gamma(1 / noise**2, mean_ns * noise**2, queries).astype(np.int64)


def closed_loop(latency_ns, *, batch_size=1):
    """The stamps of one client that sends its next query when the last is answered."""
    done = 1_000 + np.cumsum(latency_ns)
    n = len(done)
    return Trace(
        scheduled_ns=done - latency_ns,
        sent_ns=done - latency_ns,
        first_ns=done,
        done_ns=done,
        tokens=np.zeros(n, np.uint32),
        batch=np.zeros(n, np.uint32),
        size=np.full(n, batch_size, np.uint32),
        client=np.zeros(n, np.uint16),
        status=np.ones(n, np.uint8),
        started_ns=1_000,
        warmup_queries=10,
        warmup_stable=True,
    )


def timed_row(folder, *latencies_ns, clients=1, precision=DType.FLOAT32, batch_size=1):
    """A row of one process for each series of latencies; its stamps are written if there is a folder."""
    scenario = f"fixed_batch/clients={clients}"
    key = row_key("performance", scenario=scenario, batch_size=batch_size, precision=precision, devices=1)
    traces = [closed_loop(each, batch_size=batch_size) for each in latencies_ns]
    figures = [performance(each) for each in traces]
    files = []
    for number, each in enumerate(traces if folder is not None else (), start=1):
        files.append(trace_path(key if number == 1 else f"{key}/process={number}"))
        write_trace(folder / files[-1], each)
    return Row(
        kind=RowKind.PERFORMANCE,
        key=key,
        metrics=figures[0] if len(figures) == 1 else across_processes(figures),
        scenario=scenario,
        batch_size=batch_size,
        precision=precision,
        devices=["cpu"],
        labels={"processes": len(figures)},
        files=files,
    )


def scored_row(folder, right, *, numbers=None):
    """A row of accuracy, with which samples were right beside it if there is a folder."""
    right = np.asarray(right, np.bool_)
    key, count = accuracy_row().key, int(right.sum())
    figure = Estimate(value=count / right.size, unit="1", n=right.size, definition="share of samples that are right")
    files = ()
    if folder is not None:
        files = (samples_path(key),)
        sample = np.arange(right.size) if numbers is None else np.asarray(numbers)
        write_samples(folder / files[0], KeptSamples(sample=sample, right={"top1": right}))
    return attrs.evolve(
        accuracy_row(),
        metrics={"accuracy/top1": figure.within(binomial_interval(count, right.size))},
        files=files,
        part="",
    )


def saved(folder, rows, **more):
    """A report of these rows whose raw data lies in a folder, or nowhere."""
    return report(rows=rows, folder=folder, compiles={}, **more)


def compiled_row(seconds):
    """A row of one compilation, which no interval bounds."""
    figure = Estimate(value=seconds, unit="s", n=1, definition="duration")
    return attrs.evolve(compile_row(), metrics={"compile/cold/compile_s": figure}, part="")
