import pytest

from bytemlperf.environment import machine

CPUINFO = """\
processor\t: 0
model name\t: Intel(R)  Xeon(R)   Gold
flags\t\t: fpu sse4_2 avx2 avx512_vnni amx_int8 hypervisor f16c rdtscp

processor\t: 1
model name\t: Another
flags\t\t: fpu
"""


@pytest.fixture
def root(tmp_path):
    return tmp_path


def write(root, path, text):
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_an_empty_root_gives_nothing_and_guesses_nothing(root):
    fields = machine.cpu_fields(root)
    assert fields == {}
    assert machine.cpu_model(fields) == "unknown"
    assert machine.extensions(fields) == machine.governors(root) == ()
    readings = [machine.turbo, machine.smt, machine.numa_nodes, machine.quota_cores, machine.memory_limit_bytes]
    readings += [machine.container, machine.distribution, machine.clock_source]
    assert [read(root) for read in readings] == [None] * 8
    assert machine.virtual(fields) is None


def test_the_first_processor_speaks_for_all(root):
    write(root, "proc/cpuinfo", CPUINFO)
    fields = machine.cpu_fields(root)
    assert machine.cpu_model(fields) == "Intel(R) Xeon(R) Gold"
    assert machine.extensions(fields) == ("amx_int8", "avx2", "avx512_vnni", "f16c", "sse4_2")
    assert machine.virtual(fields) is True


def test_a_processor_without_the_flag_is_not_virtual():
    assert machine.virtual({"flags": "fpu avx2"}) is False


def test_arm_processors_are_named_by_their_numbers():
    fields = {"CPU implementer": "0x41", "CPU part": "0xd0c", "Features": "fp asimd sve bf16"}
    assert machine.cpu_model(fields) == "CPU implementer 0x41 part 0xd0c"
    assert machine.extensions(fields) == ("asimd", "bf16", "sve")


def test_governors_are_told_once_each(root):
    for cpu, governor in enumerate(["powersave", "performance", "powersave"]):
        write(root, f"sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor", governor + "\n")
    assert machine.governors(root) == ("performance", "powersave")


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("intel_pstate/no_turbo", "0", True),
        ("intel_pstate/no_turbo", "1", False),
        ("cpufreq/boost", "1", True),
        ("cpufreq/boost", "0", False),
        ("cpufreq/boost", "what", None),
    ],
)
def test_turbo_is_read_from_either_driver(root, path, text, expected):
    write(root, f"sys/devices/system/cpu/{path}", text)
    assert machine.turbo(root) is expected


@pytest.mark.parametrize(("text", "expected"), [("1", True), ("0", False), ("", None)])
def test_smt_is_read(root, text, expected):
    write(root, "sys/devices/system/cpu/smt/active", text)
    assert machine.smt(root) is expected


def test_memory_domains_are_counted(root):
    for node in range(2):
        (root / f"sys/devices/system/node/node{node}").mkdir(parents=True)
    (root / "sys/devices/system/node/power").mkdir()
    assert machine.numa_nodes(root) == 2


@pytest.mark.parametrize(
    ("text", "expected"), [("150000 100000", 1.5), ("max 100000", None), ("0 100000", None), ("150000", None)]
)
def test_processor_share_of_the_unified_control_group(root, text, expected):
    write(root, "sys/fs/cgroup/cpu.max", text)
    assert machine.quota_cores(root) == expected


@pytest.mark.parametrize(("quota", "expected"), [("50000", 0.5), ("-1", None)])
def test_processor_share_of_the_older_control_group(root, quota, expected):
    write(root, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", quota)
    write(root, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000")
    assert machine.quota_cores(root) == expected


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("memory.max", "1073741824", 2**30),
        ("memory.max", "max", None),
        ("memory/memory.limit_in_bytes", "1048576", 2**20),
        ("memory/memory.limit_in_bytes", "9223372036854771712", None),
    ],
)
def test_memory_bound_of_the_control_group(root, path, text, expected):
    write(root, f"sys/fs/cgroup/{path}", text)
    assert machine.memory_limit_bytes(root) == expected


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        (".dockerenv", "", "docker"),
        ("run/.containerenv", "", "podman"),
        ("proc/1/cgroup", "11:cpu:/kubepods/besteffort/pod1", "kubepods"),
        ("proc/1/cgroup", "0::/init.scope", None),
    ],
)
def test_signs_of_a_container(root, path, text, expected):
    write(root, path, text)
    assert machine.container(root) == expected


@pytest.mark.parametrize("path", ["etc/os-release", "usr/lib/os-release"])
def test_distribution_is_the_systems_own_name(root, path):
    write(root, path, 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n')
    assert machine.distribution(root) == "Debian GNU/Linux 12 (bookworm)"


def test_clock_source_is_read(root):
    write(root, "sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n")
    assert machine.clock_source(root) == "tsc"
