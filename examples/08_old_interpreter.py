"""Run a backend in its own old interpreter: `python 08_old_interpreter.py old-env/bin/python`.

That interpreter needs numpy and nothing else. Without an argument this one is taken.
"""

import runpy
import sys
from pathlib import Path

from bytemlperf import FixedBatch, Worker, run

HERE = Path(__file__).parent
spec = runpy.run_path(str(HERE / "07_add_a_model.py"))["SPEC"]
command = tuple(sys.argv[1:]) or (sys.executable,)

report = run(
    spec,
    backend="oldchip:OldChip",
    worker=Worker(command=command, env={"PYTHONPATH": str(HERE)}),  # where oldchip.py lies
    weights="random",
    scenarios=[FixedBatch(iterations=50)],
)
print(report.backend.version if report.backend else "the backend could not be loaded", "->", report.status)
for row in report.rows:
    print(row.key, "passed" if row.passed else "")
report.raise_for_status()
