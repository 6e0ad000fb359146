"""Making and loading a large model takes hardly more memory than its weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

MADE_AND_LOADED = """
import json, sys
from pathlib import Path

import attrs
import torch

from bytemlperf import zoo
from bytemlperf.conversion.torch_module import torch_artifact_module

def bytes_of(field):  # VmHWM: the most that was resident at once, pages of mapped files too
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))

torch.set_num_threads(2)
spec = zoo.get("llama2-7b-torch-fp16")
recipe = attrs.evolve(spec.recipe, config={**spec.recipe.config, "num_hidden_layers": 7})
before = bytes_of("VmHWM")
artifact = zoo.resolve(attrs.evolve(spec, recipe=recipe, parameters=None), weights="random", cache=Path(sys.argv[1]))
made = bytes_of("VmHWM")
module = torch_artifact_module(artifact)
with torch.inference_mode():
    logits = module(torch.arange(1, 5)[None])
size = sum(each.nbytes for each in module.parameters())
peak = bytes_of("VmHWM")
told = {"size": size, "before": before, "made": made, "loaded": peak, "finite": bool(logits.isfinite().all())}
print(json.dumps({**told, "files": len(list(artifact.path.parent.glob("*.safetensors"))), "type": str(logits.dtype)}))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of resident memory is read from /proc")
def test_a_model_of_gigabytes_is_made_loaded_and_run_in_little_more_than_its_size(tmp_path):
    """All of its weights are touched: a mapped file that is read is resident too."""
    ended = subprocess.run(
        [sys.executable, "-c", MADE_AND_LOADED, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout.splitlines()[-1])
    assert 3.2e9 < told["size"] < 4e9
    assert (told["finite"], told["type"]) == (True, "torch.float16")
    assert told["files"] > 2  # in shards
    assert told["made"] <= 0.6 * told["size"], told
    assert told["loaded"] <= 1.1 * told["size"], told  # all that the process takes, torch included
