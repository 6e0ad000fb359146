"""Our logs in MLPerf's own tools: each of the four scenarios is run, exported, and read by the tools of a checkout.

Run it with the path of a checkout of mlcommons/inference: `python benchmarks/mlperf_tools.py ../inference`. Runs of a
second are exported for the parsers, TEST01 and TEST04; ten minutes of a simulated queue for the checks of a submission,
which take no shorter run. Ends with code 1 if any tool complains.
"""

from __future__ import annotations

import argparse
import logging
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from bytemlperf import run
from bytemlperf.metrics import SampleTimes
from bytemlperf.report.mlperf import Setup, System, make_files, read
from bytemlperf.scenarios import MLPERF_SEEDS, MLPerfScenario, MultiStream, Offline, Seeds, Server, SingleStream

ROUND = "v6.0"
TEN_MINUTES_S = 600.0
SHORT = (
    SingleStream(min_duration_s=0.5, min_queries=100, expected_latency_ms=0.1),
    MultiStream(min_duration_s=0.5, min_queries=662, expected_latency_ms=0.2),
    Server(target_qps=500, min_duration_s=1, min_queries=500, bound_ms=1000),
    Offline(min_duration_s=0.2, min_queries=2000, expected_qps=1000),
)
SUBMITTED = (
    SingleStream(min_duration_s=TEN_MINUTES_S, expected_latency_ms=4, performance_samples=1024),
    MultiStream(min_duration_s=TEN_MINUTES_S, min_queries=662, expected_latency_ms=40, performance_samples=1024),
    Server(target_qps=200, min_duration_s=TEN_MINUTES_S, bound_ms=15, performance_samples=1024),
    Offline(min_duration_s=TEN_MINUTES_S, min_queries=24576, expected_qps=200, performance_samples=1024),
)


def simulated(scenario: MLPerfScenario, total: int) -> SampleTimes:
    """Return the times of a system that takes 4 ms a sample, one after another, with a little noise."""
    plan = scenario.plan(min(total, 1024), seeds_of_the_round())
    together = plan.samples_per_query
    if isinstance(scenario, Offline):
        done = np.cumsum(np.full(together, 6_000_000, np.int64))
        zero = np.zeros(together, np.int64)
        return SampleTimes(scheduled_ns=zero, sent_ns=zero, done_ns=done, samples_per_query=together)
    taken = np.random.default_rng(0).integers(4_000_000, 4_100_000, len(plan)) * min(together, 8)
    if plan.scheduled_ns is None:
        count = int(np.searchsorted(np.cumsum(taken), scenario.min_duration_ns)) + 2
        due = np.concatenate([[0], np.cumsum(taken[: count - 1])])
        done = due + taken[:count]
    else:
        due, done = plan.scheduled_ns, plan.scheduled_ns + taken
    columns = [np.repeat(each, together) for each in (due, due, done)]
    return SampleTimes(scheduled_ns=columns[0], sent_ns=columns[1], done_ns=columns[2], samples_per_query=together)


def measured(folder: Path) -> list[Path]:
    """Run the four scenarios for a moment and return the folders of their logs."""
    report = run(
        "digits-resnet-onnx-fp32",
        backend="onnxruntime",
        checks=["performance"],
        batch_sizes=[1],
        scenarios=SHORT,
        seeds=MLPERF_SEEDS,
        out=folder,
    )
    report.raise_for_status()
    return [path.parent for path in report.to_mlperf(folder / "mlperf")]


def seeds_of_the_round() -> Seeds:
    """Return the seeds that the checker wants of a submission."""
    from submission_checker.configuration.configuration import Config

    told = Config(ROUND, None).seeds
    return Seeds(loaded=told["qsl_rng_seed"], samples=told["sample_index_rng_seed"], schedule=told["schedule_rng_seed"])


def submitted(scenario: MLPerfScenario, folder: Path) -> Path:
    """Write ten simulated minutes and return the folder of the logs."""
    setup = Setup(scenario=scenario, seeds=seeds_of_the_round(), total_samples=50_000, performance_samples=1024)
    system = System(
        backend="simulated", dataset="imagenet2012", started_utc="2026-01-31T12:00:00Z", version="bytemlperf"
    )
    files = make_files(setup, system, simulated(scenario, 50_000))
    files.write(folder)
    return folder


class Complaints(logging.Handler):
    """Keeps what the tools complain of."""

    def __init__(self) -> None:
        """Begin with nothing."""
        super().__init__(logging.WARNING)
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one complaint."""
        self.told.append(record.getMessage())


def parsed(folder: Path) -> list[str]:
    """Read a log by both of MLPerf's parsers; return what is wrong."""
    from log_parser import MLPerfLog
    from submission_checker.parsers.loadgen_parser import LoadgenParser

    ours, wrong = read(folder), []
    for parser in (MLPerfLog, LoadgenParser):
        log = parser(str(folder / "mlperf_log_detail.txt"))
        values = {line.key: line.value for line in reversed(ours.lines)}
        wrong += [f"{parser.__name__}: {key}" for key, value in values.items() if log[key] != value]
        wrong += [f"{parser.__name__}: {log.num_errors()} errors"] * (log.num_errors() != len(ours.errors))
    return wrong


def checked(folder: Path, scenario: MLPerfScenario) -> list[str]:
    """Put a log through the checker's checks of performance, as a closed submission of ResNet-50."""
    from submission_checker.checks.performance_check import PerformanceCheck
    from submission_checker.configuration.configuration import Config
    from submission_checker.parsers.loadgen_parser import LoadgenParser

    name = type(scenario).__name__
    data = {"benchmark": "resnet", "scenario": name, "division": "closed", "model_mapping": {}, "check_scenarios": True}
    kinds = {"system_type": "datacenter,edge", "is_network": "false"}
    logs = SimpleNamespace(
        performance_log=LoadgenParser(str(folder / "mlperf_log_detail.txt")), system_json=kinds, loader_data=data
    )
    config = Config(ROUND, None)
    complaints = Complaints()
    logger = logging.getLogger(f"check {name}")
    logger.addHandler(complaints)
    passed = PerformanceCheck(logger, str(folder), config, logs)()
    skipped = [each for each in complaints.told if "skipped" not in each]
    return skipped + ([] if passed else ["the checks did not pass"])


def compliance(checkout: Path, folder: Path) -> list[str]:
    """Put a run beside itself through the scripts of TEST01 and TEST04."""
    wrong = []
    detail, summary = folder / "mlperf_log_detail.txt", folder / "mlperf_log_summary.txt"
    for test, log in (("TEST01", detail), ("TEST04", summary)):
        script = checkout / "compliance" / test / "verify_performance.py"
        command = [sys.executable, str(script), "-r", str(log), "-t", str(log)]
        told = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the caller's own checkout
        if "TEST PASS" not in told.stdout or re.search(r"score = 0$", told.stdout, re.MULTILINE):
            wrong.append(f"{test}: {told.stdout[-200:]} {told.stderr[-200:]}")
    return wrong


def main() -> int:
    """Run everything and print what each tool says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=Path, help="of mlcommons/inference")
    checkout = parser.parse_args().checkout
    if not (checkout / "tools" / "submission" / "submission_checker").is_dir():
        parser.error(f"{checkout} holds no tools/submission/submission_checker: a bare repository will not do")
    sys.path[:0] = [str(checkout / "tools" / "submission")]
    complaints = 0
    with tempfile.TemporaryDirectory() as folder:
        cases = {f"measured: {path.parts[-3][:40]}": (path, None) for path in measured(Path(folder) / "run")}
        for scenario in SUBMITTED:
            name = type(scenario).__name__
            cases[f"submitted: {name}"] = (submitted(scenario, Path(folder) / name), scenario)
        for name, (path, checked_as) in cases.items():
            wrong = parsed(path)
            wrong += compliance(checkout, path) if read(path).valid else []
            wrong += [] if checked_as is None else checked(path, checked_as)
            complaints += len(wrong)
            print(f"{name:<60} {'valid' if read(path).valid else 'invalid':<8} {'; '.join(wrong) or 'no complaint'}")
    return int(complaints > 0)


if __name__ == "__main__":
    sys.exit(main())
