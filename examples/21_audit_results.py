"""Audit a result file in ByteMLPerf's form: what contradicts itself, and what is not told."""

import json
from pathlib import Path

from bytemlperf import audit

Path("result-fp16.json").write_text(
    json.dumps(
        {
            "Model": "BERT-TORCH-FP32",
            "Backend": "CHIP",
            "Host Info": "some processor",
            "Dataset": "OPEN_SQUAD",
            "Instance Count": 1,
            "Device Count": 1,
            "Graph Compile": {"Compile Duration": 3e-05, "Compile Precision": "BF16", "Subgraph Coverage": 100},
            "Accuracy": {"Data Percent": 100, "F1 Score": 85.8, "Mean Diff": 0.013, "Max Diff": 3.8},
            "Performance": [{"BS": 40, "QPS": 3134, "AVG Latency": 50.42, "P99 Latency": 73.41}],
        }
    )
)

found = audit("result-fp16.json", queries=100)
print(found)
for finding in found.errors:
    print(finding.kind, "-", finding.reason)
