"""Run a backend whose runtime pushes completions, and one that tells copying and computing apart."""

from bytemlperf import FixedBatch, run
from bytemlperf.report import RowKind

for backend in ("mypush:MyPush", "myphased:MyPhased"):
    report = run(
        "digits-resnet-torch-fp32",
        backend=backend,
        batch_sizes=[8],
        scenarios=[FixedBatch(iterations=20), FixedBatch(clients=4, iterations=20)],
        checks=["numeric", "performance"],
    )
    report.raise_for_status()
    for row in report.rows_of(RowKind.PERFORMANCE):
        if row.headline:
            print(backend, row.scenario, row.metrics["latency/p50"])
        else:  # the pass by phases, which only MyPhased has
            print(backend, *(f"{name} {row.metrics[f'phases/{name}/p50']}" for name in ("prepare", "execute", "fetch")))
