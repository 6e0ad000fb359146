import attrs
import pytest

from bytemlperf.environment import Cpu, Environment, Timer
from bytemlperf.errors import SpecError
from bytemlperf.spec import from_json, to_json

FULL = Environment(
    system="Linux",
    distribution="Debian GNU/Linux 12 (bookworm)",
    kernel="6.1.0",
    machine="x86_64",
    cpu=Cpu(model="AMD EPYC", physical_cores=2, logical_cores=4, usable_cores=2, quota_cores=1.5, turbo=True),
    memory_bytes=24 * 2**30,
    container="docker",
    virtual=True,
    python="3.11.7",
    implementation="CPython",
    packages={"numpy": "2.4.6"},
    host="abc",
    timer=Timer(clock="clock_gettime(CLOCK_MONOTONIC)", source="tsc", resolution_ns=20, read_ns=33.5),
    load_average=(0.5, 0.25, 0.1),
)


def test_environment_comes_back_from_json():
    assert from_json(Environment, to_json(FULL)) == FULL


@pytest.mark.parametrize(
    "change",
    [
        {"kernel": "6.2.0"},
        {"packages": {"numpy": "2.4.7"}},
        {"cpu": attrs.evolve(FULL.cpu, usable_cores=1)},
        {"cpu": attrs.evolve(FULL.cpu, turbo=None)},
        {"cpu": attrs.evolve(FULL.cpu, governors=("powersave",))},
        {"memory_bytes": 48 * 2**30},
        {"memory_limit_bytes": 2**30},
        {"container": None},
        {"python": "3.12.0"},
    ],
)
def test_what_decides_figures_changes_the_fingerprint(change):
    assert attrs.evolve(FULL, **change).fingerprint != FULL.fingerprint


@pytest.mark.parametrize(
    "change",
    [
        {"host": "another"},
        {"load_average": (9.0, 9.0, 9.0)},
        {"timer": Timer(read_ns=50.0)},
        {"memory_bytes": 24 * 2**30 - 12_345_678},
        {"memory_bytes": 24 * 2**30 + 4096},
    ],
)
def test_what_only_varies_leaves_the_fingerprint(change):
    assert attrs.evolve(FULL, **change).fingerprint == FULL.fingerprint


def test_fingerprint_is_independent_of_the_order_of_packages():
    one = attrs.evolve(FULL, packages={"a": "1", "b": "2"})
    assert one.fingerprint == attrs.evolve(FULL, packages={"b": "2", "a": "1"}).fingerprint


def test_environment_refuses_a_machine_without_cores():
    with pytest.raises(SpecError, match="usable_cores"):
        Cpu(usable_cores=0)
