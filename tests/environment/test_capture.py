import hashlib
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from bytemlperf.environment import capture
from bytemlperf.spec import canonical_json


@pytest.fixture(scope="module")
def captured():
    return capture()


def test_the_machine_is_described(captured):
    assert captured.system == platform.system()
    assert captured.kernel == platform.release()
    assert captured.python == platform.python_version()
    assert captured.memory_bytes == psutil.virtual_memory().total
    assert captured.cpu.usable_cores == len(os.sched_getaffinity(0))


def test_versions_come_from_metadata(captured):
    assert captured.packages["numpy"] == np.__version__
    assert "bytemlperf" in captured.packages
    assert "torch" in captured.packages
    assert "pytest" not in captured.packages


def test_further_packages_can_be_named():
    assert "pytest" in capture(packages=["pytest"]).packages


def test_host_is_a_digest_unless_asked(captured):
    assert captured.host == hashlib.sha256(platform.node().encode()).hexdigest()
    assert capture(host_name=True).host == platform.node()


def test_capturing_twice_gives_one_fingerprint(captured):
    assert capture().fingerprint == captured.fingerprint


def test_neither_secrets_nor_paths_are_recorded(monkeypatch):
    monkeypatch.setenv("SOME_TOKEN", "s3cr3t-value")
    text = canonical_json(capture())
    assert "s3cr3t-value" not in text
    assert sys.prefix not in text
    assert f"{Path.home()}/" not in text
    assert f'"{platform.node()}"' not in text


def test_another_root_is_read_instead(tmp_path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("model name : Test Processor\n")
    assert capture(root=tmp_path).cpu.model == "Test Processor"


def test_no_framework_is_imported():
    code = (
        "import sys; from bytemlperf.environment import capture; capture();"
        "print(sorted({'torch', 'tensorflow', 'onnxruntime', 'onnx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
