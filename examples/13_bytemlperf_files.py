"""Take over files of ByteMLPerf: read its workload and model files, write them back, give its report's keys."""

import json
import tempfile
from pathlib import Path

from bytemlperf import run
from bytemlperf.workload import read_model_info, read_workload, write_model_info, write_workload

WORKLOAD = {
    "model": "digits-resnet-onnx-fp32",
    "test_perf": True,
    "test_accuracy": True,
    "test_numeric": True,
    "clients": 2,
    "iterations": 50,
    "batch_sizes": [4, 8],
    "data_percent": 100,
    "compile_only": False,
    "site": "lab 3",  # ByteMLPerf does not know it, nor do we: it is kept, and told
}
MODEL = {
    "model": "digits-resnet-onnx-fp32",
    "model_path": "general_perf/model_zoo/regular/digits",
    "framework": "Onnx",
    "framework_version": "1.19",
    "model_format": "onnx",
    "model_precision": "FP32",
    "inputs": "image",
    "outputs": "logits",
    "input_shape": {"image": [1, 1, 8, 8]},
    "input_type": "FLOAT32",
    "dataset_name": None,
    "max_batch_size": 64,
}

with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "digits.json"
    file.write_text(json.dumps(WORKLOAD))
    foreign = read_workload(file)
    model = read_model_info(MODEL)
for warning in foreign.warnings + model.warnings:
    print("warning:", warning)
print(foreign.workload.scenarios[0].key, foreign.workload.batch_sizes, foreign.extras)
print(model.spec.inputs[0].sized(4), model.output_names, model.max_batch_size)
print("written back as they were:", write_workload(foreign) == WORKLOAD, write_model_info(model) == MODEL)

report = run(foreign.workload, backend="onnxruntime")
print(json.dumps(report.to_bytemlperf(), indent=1))
