import os
import subprocess
import sys

import attrs
import pytest

from bytemlperf.environment import NoiseCertificate, NoiseWatch, Quiet, certify
from bytemlperf.environment.activity import Activity, look
from bytemlperf.environment.noise import judged, spin
from bytemlperf.spec import from_json, to_json

STAT = "cpu  {user} 0 100 1000 50 0 10 {steal} 0 0\nprocs_running 3\n"
CALM = NoiseCertificate(others_share=0.01, lost_share=0.001, stolen_share=0.0, throttled=0)


@pytest.fixture
def busy_machine():
    """As many busy processes as there are cores; each is nobody's child here, so that its time is not ours."""
    code = (
        "import os, sys\nif os.fork() == 0:\n    os.setsid()\n    print(os.getpid(), flush=True)\n    while True: pass"
    )
    pids = []
    for _ in range(os.cpu_count() or 1):
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        pids.append(int(process.stdout.readline()))
        process.stdout.close()
        process.wait()  # what it forked goes on
    yield pids
    for pid in pids:
        os.kill(pid, 9)


def test_a_planted_load_is_seen_before_a_run(busy_machine):
    found = certify(seconds=0.4)
    assert found.verdict is Quiet.DISTURBED
    assert found.reasons
    assert found.runnable is None or found.runnable > len(busy_machine)


def test_a_planted_load_is_seen_while_something_runs(busy_machine):
    watch = NoiseWatch()
    spin(0.4)
    found = watch.end()
    assert any("other processes use" in each for each in found.reasons)
    assert found.load.seconds >= 0.4


def test_what_this_process_does_itself_is_no_disturbance():
    before = look()
    spin(0.3)
    after = look()
    assert after.own_s - before.own_s > 0.05
    busy = after.busy_s - before.busy_s
    others = before.until(after).others_share * before.cores * (after.at_s - before.at_s)
    assert others <= busy - (after.own_s - before.own_s) + 1e-6


def test_switches_are_counted():
    watch = NoiseWatch()
    found = watch.end()
    assert found.preempted is None or found.preempted >= 0
    assert (found.preempted is None) == (found.waited is None)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"others_share": 0.5}, "other processes use 50 % of the cores"),
        ({"lost_share": 0.2, "longest_gap_ns": 4_000_000}, "kept from its core for 20 % of the time, for up to 4.0 ms"),
        ({"stolen_share": 0.1}, "hypervisor gave 10 %"),
        ({"throttled": 3}, "held back 3 times"),
    ],
)
def test_each_disturbance_is_a_reason(change, told):
    found = judged(attrs.evolve(CALM, **change))
    assert found.verdict is Quiet.DISTURBED
    assert told in str(found)


def test_a_calm_machine_is_quiet_and_one_that_tells_nothing_is_not_known():
    assert judged(CALM).verdict is Quiet.QUIET
    assert str(judged(CALM)) == "quiet"
    assert judged(NoiseCertificate()).verdict is Quiet.UNKNOWN


def test_counters_are_read_from_the_kernels_files(tmp_path):
    (tmp_path / "proc").mkdir()
    ticks = os.sysconf("SC_CLK_TCK")

    def at(user, steal):
        (tmp_path / "proc/stat").write_text(STAT.format(user=user, steal=steal))
        return look(tmp_path)

    before, after = at(0, 0), at(100 * ticks, 5 * ticks)
    assert after.busy_s - before.busy_s == pytest.approx(100)
    assert after.stolen_s - before.stolen_s == pytest.approx(5)
    assert after.throttled is None


def test_a_machine_without_such_files_is_not_known(tmp_path):
    assert certify(seconds=0.0, root=tmp_path).others_share is None


def test_shares_are_of_all_cores():
    before = Activity(at_s=0, busy_s=0, stolen_s=0, own_s=0, cores=4, throttled=1)
    load = before.until(Activity(at_s=10, busy_s=30, stolen_s=2, own_s=10, cores=4, throttled=4))
    assert (load.others_share, load.stolen_share, load.throttled) == (0.5, 0.05, 3)


def test_heat_clock_and_temperature_are_read(tmp_path):
    cpu = tmp_path / "sys/devices/system/cpu/cpu0"
    for name, content in {
        "thermal_throttle/core_throttle_count": "7",
        "cpufreq/scaling_cur_freq": "1500000",
        "cpufreq/cpuinfo_max_freq": "3000000",
        "cpufreq/scaling_governor": "powersave",
    }.items():
        (cpu / name).parent.mkdir(parents=True, exist_ok=True)
        (cpu / name).write_text(content)
    zone = tmp_path / "sys/class/thermal/thermal_zone0/temp"
    zone.parent.mkdir(parents=True)
    zone.write_text("61500")
    found = certify(seconds=0.0, root=tmp_path)
    assert (found.clock_share, found.temperature_c, found.governors) == (0.5, 61.5, ("powersave",))
    assert look(tmp_path).throttled == 7


def test_a_certificate_goes_through_json():
    assert from_json(NoiseCertificate, to_json(judged(CALM))) == judged(CALM)
