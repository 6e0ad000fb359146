"""Result files in ByteMLPerf's layout, made here: no vendor's file is kept."""

import json


def result(**more):
    """A report in ByteMLPerf's form in which nothing is wrong but what its form cannot tell."""
    whole = {
        "Model": "NET-TORCH-FP32",
        "Backend": "CHIP",
        "Host Info": "Some CPU",
        "Dataset": "OPEN_IMAGENET",
        "Instance Count": 1,
        "Device Count": 1,
        "Graph Compile": {
            "Compile Duration": 12.34567,
            "Compile Precision": "FP16",
            "Subgraph Coverage": 99.5,
            "Optimizations": {},
        },
        "Version": "1.0",
        "Execution Date": "2024-01-31 12:00:00",
        "Accuracy": {
            "Data Percent": 100,
            "Top-1": 0.76543,
            "Mean Diff": 0.01234,
            "Std Diff": 0.02345,
            "Max Diff": 0.98765,
            "Max Rel-Diff": 123.45678,
            "Mean Rel-Diff": 0.01111,
            "Diff Dist": "net-torch-fp32-to-fp16.png",
        },
        "Performance": [row(8)],
    }
    return {name: value for name, value in {**whole, **more}.items() if value is not None}


def row(batch_size, *, qps=800.4, average_ms=9.95, p99_ms=12.5):
    """A row whose one client is busy nearly all the time."""
    return {"BS": batch_size, "QPS": qps, "AVG Latency": average_ms, "P99 Latency": p99_ms}


def written(folder, data, *, backend="CHIP", model="net-torch-fp32", name="result-fp16.json"):
    """Write a result where the original would."""
    path = folder / backend / model / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    return path
