"""The worker's side: takes commands as JSON lines, drives one backend, answers in JSON lines.

Started as a command (`python serve.py`), also by a vendor's own old interpreter: standard
library and numpy only, syntax of Python 3.7. Arrays come and go as .npy files, stamps through
a memory-mapped file, and nothing is pickled. What the backend prints goes to the log.

Where the real package cannot be imported, the small `bytemlperf` beside this file stands in for it.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import importlib
import importlib.util
import json
import os
import queue
import resource
import signal
import sys
import threading
import time

if False:
    from typing import Any, Dict, List, Mapping, Tuple

HERE = os.path.dirname(os.path.abspath(__file__))
DEATH_PIPE = "BYTEMLPERF_DEATH_PIPE"


class Channel:
    """JSON lines to the harness, on a copy of standard output; standard output itself joins the log."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        self._lock = threading.Lock()

    def send(self, message: Mapping[str, Any]) -> None:
        """Write one message."""
        with self._lock:
            self._out.write(json.dumps(message) + "\n")
            self._out.flush()


class Server:
    """Holds the backend and what it compiled, and carries out commands one after another."""

    def __init__(self, *, issue: Any, answers: Any, seam: Any, channel: Channel) -> None:
        self._issue, self._answers, self._seam, self._channel = issue, answers, seam, channel
        self._backend: Any = None
        self._compiled: Dict[str, Any] = {}
        self._run: Any = None

    def cancel(self) -> None:
        """Stop the run in progress; called from the thread that reads commands."""
        run = self._run
        if run is not None:
            run.stop()

    def carry_out(self, command: Mapping[str, Any]) -> None:
        """Do one command and answer it, whatever the backend raises."""
        answer: Dict[str, Any] = {"id": command["id"], "ok": True}
        try:
            answer.update(getattr(self, "do_" + command["do"])(command) or {})
        except BaseException as error:  # noqa: BLE001 - a vendor's runtime may raise anything, SystemExit too
            answer = {"id": command["id"], "ok": False, "error": self._answers.described(error)}
        answer["peak_rss_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        self._channel.send(answer)

    def do_load(self, command: Mapping[str, Any]) -> Dict[str, Any]:
        """Import a backend's class, make an instance, describe it."""
        started = time.perf_counter_ns()
        module, _, name = command["reference"].partition(":")
        found = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        make: Any = found
        self._backend = make()
        described = self._seam.describe(self._backend)
        return {"backend": described, "ns": time.perf_counter_ns() - started}

    def do_check_options(self, command: Mapping[str, Any]) -> None:
        """Raise what is wrong with options, before anything is done with them."""
        self._seam.options(self._backend, command["options"])

    def do_convert(self, command: Mapping[str, Any]) -> Dict[str, Any]:
        """Let the backend rewrite an artifact."""
        artifact = self._seam.artifact(command["artifact"])
        options = self._seam.options(self._backend, command["options"])
        started = time.perf_counter_ns()
        converted = self._backend.convert(artifact, options)
        return {"ns": time.perf_counter_ns() - started, "artifact": self._seam.artifact_to(converted)}

    def do_compile(self, command: Mapping[str, Any]) -> Dict[str, Any]:
        """Compile, timed from outside; the handle stays here under a name."""
        artifact = self._seam.artifact(command["artifact"])
        options = self._seam.options(self._backend, command["options"])
        started = time.perf_counter_ns()
        compiled = self._backend.compile(artifact, options)
        taken = time.perf_counter_ns() - started
        self._compiled[command["handle"]] = compiled
        return {"ns": taken, "info": self._seam.info_to(compiled)}

    def do_release(self, command: Mapping[str, Any]) -> None:
        """Give back what a compiled model holds."""
        compiled = self._compiled.pop(command["handle"], None)
        if compiled is not None:
            self._backend.release(compiled)

    def do_run(self, command: Mapping[str, Any]) -> Dict[str, Any]:
        """Warm up, run one series, keep stamps (and answers, where asked) in files."""
        issue = self._issue
        batches, sizes = self._load_batches(command)
        sink = self._answers.FileSink(command["outputs"]) if command.get("outputs") else None
        submit, flush = self._seam.submit_of(self._backend, issue.blocking_submit)
        run = self._run = issue.Run(
            submit=submit,
            flush=flush,
            compiled=self._compiled[command["handle"]],
            batches=batches,
            sizes=sizes,
            max_in_flight=command["max_in_flight"],
            query_s=command["query_s"],
        )
        buffer = issue.TraceBuffer(len(command["order"]), command["trace"], command.get("chunks", 0))
        try:
            warmed = run.warm_up(
                command["order"], command["clients"], path=command["trace"] + ".warmup", **command["warmup"]
            )
            buffer.meta[1], buffer.meta[2] = warmed[0], int(warmed[1])
            run.sink = sink
            if not run.failures:
                run.closed_loop(command["order"], command["clients"], buffer)
        finally:
            self._run = None
            buffer.flush()
            if sink is not None:
                sink.close()
        failures = [dict(self._answers.described(error), query=query) for query, error in run.failures]
        return {"failures": failures, "stopped": run.stopped, "answered_twice": run.twice}

    def _load_batches(self, command: Mapping[str, Any]) -> Tuple[List[Any], List[int]]:
        import numpy as np

        folder = command["inputs"]
        with open(os.path.join(folder, "batches.json"), encoding="utf-8") as file:
            described = json.load(file)
        mode: Any = None if command["in_memory"] else "r"
        arrays = {}
        for name, item in described["inputs"].items():
            array = np.load(os.path.join(folder, item["file"]), mmap_mode=mode, allow_pickle=False)
            arrays[name] = [array[0]] * len(described["padding"]) if item["shared"] else array
        batches = [
            self._seam.batch({name: array[i] for name, array in arrays.items()}, described["size"], padding, described)
            for i, padding in enumerate(described["padding"])
        ]
        return batches, [described["size"] - padding for padding in described["padding"]]

    def do_exit(self, _: Mapping[str, Any]) -> None:
        """Release everything; the process ends after the answer."""
        for handle in list(self._compiled):
            self.do_release({"handle": handle})


def _guard() -> None:
    """End the whole group when the harness is gone, even if the backend holds the interpreter.

    A child waits at the end of a pipe whose other end only the harness holds.
    """
    descriptor = os.environ.pop(DEATH_PIPE, "")
    if not descriptor:
        return
    if os.fork():
        os.close(int(descriptor))
        return
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for other in (0, 1):
        os.close(other)
    os.read(int(descriptor), 1)
    os.killpg(0, signal.SIGKILL)


def _name_process() -> None:
    """Let `ps` tell a worker from the harness; best effort."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(15, b"bytemlperf-wrk", 0, 0, 0)


def _read_commands(commands: Any, server: Server) -> None:
    """Take commands from standard input; `cancel` at once, the rest in order; its end ends the process."""
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] == "cancel":
            server.cancel()
        else:
            commands.put(command)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _beside(name: str) -> Any:
    """Import a module that lies beside this file, without its folder on the path."""
    spec = importlib.util.spec_from_file_location("bytemlperf_" + name, os.path.join(HERE, name + ".py"))
    assert spec is not None and spec.loader is not None  # noqa: PT018 - one fact
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _open_seam(extra_path: List[str]) -> Any:
    """Import the seam to the backend's classes, of the package or its stand-in."""
    sys.path[:0] = [each for each in extra_path if each not in sys.path]
    if sys.version_info < (3, 11) or importlib.util.find_spec("bytemlperf") is None:
        sys.path.insert(0, os.path.join(HERE, "guest"))
    return importlib.import_module("bytemlperf.backends.seam")


def main() -> int:
    """Serve until told to exit, or until the harness is gone."""
    _guard()
    faulthandler.enable()
    _name_process()
    sys.path[:] = [each for each in sys.path if os.path.abspath(each or ".") != HERE]
    channel = Channel()
    hello = json.loads(sys.stdin.readline())
    issue, answers = _beside("issue"), _beside("answers")
    try:
        seam = _open_seam(hello["sys_path"])
    except BaseException as error:  # noqa: BLE001 - told to the harness, which ends us
        channel.send({"id": hello["id"], "ok": False, "error": answers.described(error)})
        return 1
    server = Server(issue=issue, answers=answers, seam=seam, channel=channel)
    channel.send({"id": hello["id"], "ok": True, "pid": os.getpid(), "python": sys.version.split()[0]})
    commands: Any = queue.Queue()
    threading.Thread(target=_read_commands, args=(commands, server), daemon=True).start()
    while True:
        command = commands.get()
        server.carry_out(command)
        if command["do"] == "exit":
            return 0


if __name__ == "__main__":
    sys.exit(main())
