"""The wheel holds what the package needs at run time, and nothing else."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "bytemlperf"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The opened wheel, built from this tree without a network."""
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)],
        env=os.environ | {"PIP_NO_INDEX": "1"},
        capture_output=True,
        check=True,
        timeout=120,
    )
    (path,) = out.glob("bytemlperf-*-py3-none-any.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


@pytest.fixture(scope="module")
def names(wheel):
    return set(wheel.namelist())


@pytest.fixture(scope="module")
def metadata(wheel, names):
    (name,) = (name for name in names if name.endswith(".dist-info/METADATA"))
    return Parser().parsestr(wheel.read(name).decode())


def _packaged(folder: str) -> set[str]:
    """What the tree has below a folder of the package, as the wheel names it."""
    paths = (path for path in (PACKAGE / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(PACKAGE.parent)) for path in paths}


def test_the_wheel_says_that_the_package_is_typed(names):
    assert "bytemlperf/py.typed" in names


@pytest.mark.parametrize("folder", ["zoo/weights", "datasets/data", "issuer"])
def test_the_wheel_holds_every_file_of(folder, names):
    packaged = _packaged(folder)
    assert packaged
    assert packaged <= names


def test_the_wheel_holds_the_schemas(names):
    schemas = {name for name in _packaged(".") if "/schema/" in name and name.endswith(".json")}
    assert schemas
    assert schemas <= names


def test_the_wheel_holds_the_licence(names, metadata):
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert metadata["License-Expression"] == "Apache-2.0"


def test_the_wheel_holds_nothing_from_outside_the_package(names):
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"bytemlperf"}
    assert not [name for name in names if "__pycache__" in name or name.startswith("tests/")]


def test_every_entry_point_names_a_module_of_the_wheel(wheel, names):
    (name,) = (name for name in names if name.endswith(".dist-info/entry_points.txt"))
    groups = configparser.ConfigParser(delimiters=["="])
    groups.read_string(wheel.read(name).decode())
    modules = {target.partition(":")[0] for group in groups.sections() for target in groups[group].values()}
    paths = {module.replace(".", "/") for module in modules}
    missing = {path for path in paths if not {f"{path}.py", f"{path}/__init__.py"} & names}
    assert modules
    assert not missing


def test_the_wheel_is_small(wheel):
    assert sum(entry.compress_size for entry in wheel.infolist()) < 3_000_000


def test_the_metadata_name_no_machine(metadata):
    requirements = metadata.get_all("Requires-Dist")
    assert requirements
    assert not [text for text in requirements if "@" in text or "/" in text]


def test_the_constraints_pin_versions_and_nothing_else():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.partition("==") for line in lines if not line.startswith("#")]
    assert "torch==2.13.0" in lines
    assert all(name and version and not set("/:@+ ") & set(name + version) for name, _, version in pins)


def test_every_dependency_is_pinned(metadata):
    pinned = {line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()}
    required = {text.split(">")[0].split("[")[0] for text in metadata.get_all("Requires-Dist")}
    assert required <= pinned
