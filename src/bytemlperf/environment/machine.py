"""Reading of the kernel's files on processor, control group and container.

Every function takes the root of the file system, so that any machine can be laid out in a folder.
What cannot be read is None or empty, never a guess.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_CPUS: Final = "sys/devices/system/cpu"
_EXTENSIONS: Final = re.compile(r"avx\w*|f16c|fma|amx_\w+|sse4_2|sve\w*|asimd\w*|bf16|i8mm|neon|vnni")
_UNLIMITED: Final = 2**60
"""Control groups of version 1 write "no bound" as a number close to 2**63."""


def text(root: Path, path: str) -> str | None:
    """Return a small file's text without white space around it; None where it cannot be read."""
    try:
        return (root / path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def cpu_fields(root: Path) -> Mapping[str, str]:
    """Return the first processor's lines of `/proc/cpuinfo`."""
    block = (text(root, "proc/cpuinfo") or "").split("\n\n")[0]
    lines = (line.partition(":") for line in block.splitlines())
    return {key.strip(): value.strip() for key, _, value in lines if key.strip()}


def cpu_model(fields: Mapping[str, str]) -> str:
    """Return the processor's name; on ARM, where the kernel has none, its identifying numbers.

    Example:
        >>> cpu_model({"CPU implementer": "0x41", "CPU part": "0xd0c"})
        'CPU implementer 0x41 part 0xd0c'
    """
    for name in ("model name", "Model", "Hardware", "cpu model", "cpu"):
        if fields.get(name):
            return re.sub(r"\s+", " ", fields[name])
    if "CPU implementer" in fields:
        return f"CPU implementer {fields['CPU implementer']} part {fields.get('CPU part', '?')}"
    return "unknown"


def extensions(fields: Mapping[str, str]) -> tuple[str, ...]:
    """Return the vector and matrix instructions among the processor's flags, sorted."""
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    return tuple(sorted(flag for flag in flags if _EXTENSIONS.fullmatch(flag)))


def virtual(fields: Mapping[str, str]) -> bool | None:
    """Return whether the processor says that a hypervisor is below it; None where it says nothing."""
    flags = fields.get("flags")
    return None if flags is None else "hypervisor" in flags.split()


def governors(root: Path) -> tuple[str, ...]:
    """Return the distinct frequency governors of all processors, sorted."""
    files = (root / _CPUS).glob("cpu[0-9]*/cpufreq/scaling_governor")
    found = {text(file.parent, file.name) for file in files}
    return tuple(sorted(each for each in found if each))


def turbo(root: Path) -> bool | None:
    """Return whether clocks above the nominal one are allowed; None where not readable."""
    no_turbo = text(root, f"{_CPUS}/intel_pstate/no_turbo")
    if no_turbo in {"0", "1"}:
        return no_turbo == "0"
    boost = text(root, f"{_CPUS}/cpufreq/boost")
    return boost == "1" if boost in {"0", "1"} else None


def smt(root: Path) -> bool | None:
    """Return whether hardware threads share cores; None where not readable."""
    active = text(root, f"{_CPUS}/smt/active")
    return active == "1" if active in {"0", "1"} else None


def numa_nodes(root: Path) -> int | None:
    """Return the number of memory domains; None where not readable."""
    return len(list((root / "sys/devices/system/node").glob("node[0-9]*"))) or None


def quota_cores(root: Path) -> float | None:
    """Return the processor share of this control group, in cores; None for no bound."""
    older = (text(root, f"sys/fs/cgroup/cpu/cpu.cfs_{name}_us") or "" for name in ("quota", "period"))
    parts = (text(root, "sys/fs/cgroup/cpu.max") or " ".join(older)).split()
    if len(parts) != 2 or not all(part.isdecimal() and int(part) for part in parts):  # noqa: PLR2004 - quota, period
        return None
    return int(parts[0]) / int(parts[1])


def memory_limit_bytes(root: Path) -> int | None:
    """Return the memory bound of this control group; None for no bound."""
    limit = text(root, "sys/fs/cgroup/memory.max") or text(root, "sys/fs/cgroup/memory/memory.limit_in_bytes") or ""
    return int(limit) if limit.isdecimal() and 0 < int(limit) < _UNLIMITED else None


def container(root: Path) -> str | None:
    """Return the kind of container that there are signs of; None where there are none."""
    if (root / ".dockerenv").exists():
        return "docker"
    if (root / "run/.containerenv").exists():
        return "podman"
    found = re.search(r"docker|kubepods|containerd|lxc|podman", text(root, "proc/1/cgroup") or "")
    return found[0] if found else None


def distribution(root: Path) -> str | None:
    """Return the operating system's own name with its version; None where it has none."""
    release = text(root, "etc/os-release") or text(root, "usr/lib/os-release") or ""
    found = re.search(r'^PRETTY_NAME="?([^"\n]*)"?$', release, re.MULTILINE)
    return found[1] if found and found[1] else None


def clock_source(root: Path) -> str | None:
    """Return the kernel's source of time (`tsc`); None where not readable."""
    return text(root, "sys/devices/system/clocksource/clocksource0/current_clocksource") or None


_STAT: Final = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
"""Columns of the first line of `/proc/stat`, in the order of proc(5); guests' time is in `user` already."""


def processor_seconds(root: Path) -> Mapping[str, float] | None:
    """Return the seconds that all processors have spent so far, by kind; None where not readable.

    Source: proc(5), `/proc/stat`.
    """
    words = (text(root, "proc/stat") or "").split("\n")[0].split()
    if len(words) <= len(_STAT) or words[0] != "cpu":
        return None
    ticks = os.sysconf("SC_CLK_TCK")
    return {name: int(word) / ticks for name, word in zip(_STAT, words[1:], strict=False)}


def fields_of(file: Path) -> Mapping[str, str]:
    """Return the `name: value` lines of a small file; none where it is gone."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    parts = (line.partition(":") for line in lines)
    return {name.strip(): value.strip() for name, _, value in parts}


def runnable(root: Path) -> int | None:
    """Return the number of threads that run or want to; None where not readable."""
    found = re.search(r"^procs_running (\d+)$", text(root, "proc/stat") or "", re.MULTILINE)
    return int(found[1]) if found else None


def throttled(root: Path) -> int | None:
    """Count how often processors were slowed for their heat and the control group was held back; None if not told."""
    heat = [
        text(file.parent, file.name) for file in (root / _CPUS).glob("cpu[0-9]*/thermal_throttle/core_throttle_count")
    ]
    group = re.search(r"^nr_throttled (\d+)$", text(root, "sys/fs/cgroup/cpu.stat") or "", re.MULTILINE)
    found = [*(each for each in heat if each and each.isdecimal()), *([group[1]] if group else [])]
    return sum(map(int, found)) if found else None


def clock_share(root: Path) -> float | None:
    """Return the clock of the fastest core as a share of the highest that it can have; None where not readable."""
    shares = []
    for folder in (root / _CPUS).glob("cpu[0-9]*/cpufreq"):
        now, most = text(folder, "scaling_cur_freq") or "", text(folder, "cpuinfo_max_freq") or ""
        if now.isdecimal() and most.isdecimal() and int(most):
            shares.append(int(now) / int(most))
    return max(shares, default=None)


def temperature_c(root: Path) -> float | None:
    """Return the hottest thermal zone in degrees Celsius; None where there is none."""
    zones = (text(file.parent, file.name) or "" for file in (root / "sys/class/thermal").glob("thermal_zone*/temp"))
    return max((int(each) / 1000 for each in zones if each.lstrip("-").isdecimal()), default=None)
