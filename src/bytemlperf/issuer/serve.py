"""The worker's side: takes commands as JSON lines, drives one backend, answers in JSON lines.

Started as a command (`python serve.py`), also by a vendor's own old interpreter: standard
library and numpy only, syntax of Python 3.7. Arrays come and go as .npy files, stamps through
a memory-mapped file, and nothing is pickled. What the backend prints goes to the log.

Where the real package cannot be imported, the small `bytemlperf` beside this file stands in for it.
The files beside this one are imported as a package of another name, so that they meet neither.
"""

from __future__ import annotations

import faulthandler
import gc
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
import types

if False:
    from typing import Any, Callable, Dict, Iterator, List, Mapping, Set, Tuple

HERE = os.path.dirname(os.path.abspath(__file__))


class Channel:
    """JSON lines from and to the harness, on copies of standard input and output.

    What the backend and its children then find as standard input is empty, and as output is the log.
    """

    def __init__(self) -> None:
        self._in = os.fdopen(os.dup(0), "r", encoding="utf-8")
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        self._lock = threading.Lock()

    def commands(self) -> Iterator[Dict[str, Any]]:
        """Go through the harness' commands until it closes its end."""
        for line in self._in:
            yield json.loads(line)

    def send(self, message: Mapping[str, Any]) -> None:
        """Write one message; raises TypeError or ValueError for what JSON cannot hold."""
        text = json.dumps(message)
        with self._lock:
            self._out.write(text + "\n")
            self._out.flush()


class Server:
    """Holds the backend and what it compiled, and carries out commands one after another."""

    def __init__(self, *, issuer: Callable[[str], Any], seam: Any, channel: Channel) -> None:
        self._issue, self._verbs, self._gather = issuer("issue"), issuer("verbs"), issuer("gathering")
        self._answers, self._tuning = issuer("answers"), issuer("tuning")
        self._seam, self._channel = seam, channel
        self._told = issuer("telling").described
        self._backend: Any = None
        self._compiled: Dict[str, Any] = {}
        self._run: Any = None
        self._cancelled: Set[int] = set()
        self._supplied: Any = queue.Queue()

    def cancel(self, number: int) -> None:
        """Stop the run that a command asked for, or is about to start; called from the thread that reads commands."""
        self._cancelled.add(number)
        run = self._run
        if run is not None:
            run.stop()

    def supply(self, told: Mapping[str, Any]) -> None:
        """Take what a command under way has asked for; called from the thread that reads commands."""
        self._supplied.put(told)

    def carry_out(self, command: Mapping[str, Any]) -> None:
        """Do one command and answer it, whatever the backend raises."""
        try:
            done = getattr(self, "do_" + command["do"])(command) or {}
            peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            self._channel.send(dict(done, id=command["id"], ok=True, peak_rss_bytes=peak_kib * 1024))
        except BaseException as error:  # noqa: BLE001 - a vendor's runtime may raise anything, SystemExit too
            self._channel.send({"id": command["id"], "ok": False, "error": self._told(error)})

    def do_load(self, command: Mapping[str, Any]) -> Dict[str, Any]:
        """Import a backend's class, make an instance, describe it."""
        started = time.perf_counter_ns()
        module, _, name = command["reference"].partition(":")
        found = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        make: Any = found
        self._backend = make()
        gc.freeze()  # a framework's modules stay: no collection before a run has to go through them again
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

    def do_best_batch_sizes(self, command: Mapping[str, Any]) -> Dict[str, Any]:
        """Ask the backend which batch sizes suit it."""
        sizes = self._backend.best_batch_sizes(self._seam.artifact(command["artifact"]))
        return {"batch_sizes": [int(size) for size in sizes]}

    def do_tune(self, command: Mapping[str, Any]) -> Dict[str, Any]:
        """Let the backend choose its options, with measurements of ours; timed without our preparing of inputs."""

        def begin(run: Any) -> None:
            self._run = run
            if command["id"] in self._cancelled:
                raise self._tuning.StoppedError("the caller asked to stop")

        artifact = self._seam.artifact(command["artifact"])
        options = self._seam.options(self._backend, command["options"])
        measure = self._tuning.Measure(
            seam=self._seam,
            backend=self._backend,
            artifact=artifact,
            prepare=lambda inputs: self._ask_for_batches(command, inputs),
            begin=begin,
            query_s=command["query_s"],
        )
        started = time.perf_counter_ns()
        try:
            chosen = self._backend.tune(artifact, options, measure)
        finally:
            self._run = None
        taken = time.perf_counter_ns() - started - measure.waited_ns
        changed = self._seam.changed_options(self._backend, options, chosen)
        return {"ns": taken, "changed": changed, "measurements": measure.count}

    def _ask_for_batches(self, command: Mapping[str, Any], inputs: Any) -> Tuple[List[Any], List[int]]:
        """Have the harness prepare batches as an engine takes them."""
        self._channel.send({"id": command["id"], "needs": {"inputs": inputs}})
        told = self._supplied.get()
        if told["error"]:
            raise self._tuning.UnpreparedError(told["error"], told["code"])
        return self._load_batches({"inputs": told["inputs"], "in_memory": True})

    def do_compile(self, command: Mapping[str, Any]) -> Dict[str, Any]:
        """Compile, timed from outside; the handle stays here under a name."""
        artifact = self._seam.artifact(command["artifact"])
        options = self._seam.options(self._backend, command["options"])
        started = time.perf_counter_ns()
        compiled = self._backend.compile(artifact, options)
        taken = time.perf_counter_ns() - started
        self._seam.check_compiled(compiled)
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
        submit, flush = self._seam.submit_of(self._backend, self._verbs.blocking_submit)
        if command["phased"]:
            submit, flush = self._verbs.phased_submit(self._backend), None
        file_sink = self._answers.FileSink(command["outputs"]) if command.get("outputs") else None
        asked = command.get("sampled")
        sampled = None if asked is None else self._answers.SampledSink(asked, file_sink)
        owned = flush is None and not self._seam.streams(self._backend)
        first = self._answers.FirstAnswer(file_sink) if owned and file_sink and not sampled else None
        run = self._run = issue.Run(
            submit=submit,
            flush=flush,
            replicas=[self._compiled[handle] for handle in command["handles"]],
            batches=batches,
            sizes=sizes,
            max_in_flight=command["max_in_flight"],
            gathering=self._gathering(command),
            query_s=command["query_s"],
            check=self._answers.check,
            sink=sampled or first or file_sink,
            sampled=None if sampled is None else sampled.queries,
        )
        if command["id"] in self._cancelled:
            run.stop()
        try:
            self._issue_series(run, command)
        finally:
            self._run = None
            if sampled is not None:
                sampled.hand_on()
            if file_sink is not None:
                file_sink.close()
        if first is not None:
            run.note_objection(first.objection())
        failures = [dict(self._told(error), query=query) for query, error in run.failures]
        return {"failures": failures, "answered_twice": run.twice}

    def _gathering(self, command: Mapping[str, Any]) -> Any:
        told = command["gathering"]
        if told is None:
            return None
        described = self._described(command)

        def make(inputs: Mapping[str, Any], size: int, padding: int) -> Any:
            return self._seam.batch(inputs, size, padding, described)

        return self._gather.Gathering(axes=described["axes"], make=make, **told)

    def _issue_series(self, run: Any, command: Mapping[str, Any]) -> None:
        path = command["trace"]
        order = self._order(command["plan"])
        buffer = self._issue.TraceBuffer(len(order), path, **command["room"])
        try:
            queries, settled = run.warm_up_for(order, path=path + ".warmup", **command["warmup"])
            buffer.meta[1], buffer.meta[2] = queries, int(settled)
            if not run.failures:
                run.issue(order, buffer)
        finally:
            buffer.flush()
            self._tell_reported(run, path + ".reported")

    def _order(self, plan: Mapping[str, Any]) -> Any:
        import numpy as np

        batch = np.load(plan["batch"], allow_pickle=False).tolist()
        times = plan["scheduled_ns"]
        fields = dict(plan["fields"], scheduled_ns=None if times is None else np.load(times, allow_pickle=False))
        return self._issue.Order(batch, **fields)

    def _tell_reported(self, run: Any, path: str) -> None:
        figures = self._answers.reported_figures(run.reported)
        if figures:
            with open(path, "w", encoding="utf-8") as file:
                json.dump(figures, file)

    def _described(self, command: Mapping[str, Any]) -> Dict[str, Any]:
        with open(os.path.join(command["inputs"], "batches.json"), encoding="utf-8") as file:
            described: Dict[str, Any] = json.load(file)
        return described

    def _load_batches(self, command: Mapping[str, Any]) -> Tuple[List[Any], List[int]]:
        import numpy as np

        folder, described = command["inputs"], self._described(command)
        mode: Any = None if command["in_memory"] else "r"
        arrays = {}
        for name, item in described["inputs"].items():
            array = np.load(os.path.join(folder, item["file"]), mmap_mode=mode, allow_pickle=False)
            array.flags.writeable = False  # a backend that writes to what it is asked is told so, not measured
            arrays[name] = self._answers.viewed(np.asarray(array), item["dtype"])
        shared = {name for name, item in described["inputs"].items() if item["shared"]}
        batches = []
        for i, padding in enumerate(described["padding"]):
            inputs = {name: array[0 if name in shared else i, ...] for name, array in arrays.items()}
            if described["lengths"]:
                inputs = {name: array[..., : described["lengths"][i]] for name, array in inputs.items()}
            told = {"ask": described["asks"][i]} if described["asks"] else described
            batches.append(self._seam.batch(inputs, described["size"], padding, told))
        return batches, [described["size"] - padding for padding in described["padding"]]

    def do_vendor_benchmark(self, command: Mapping[str, Any]) -> Dict[str, Any]:
        """Have the vendor's own tool measure; what is no finite number is told apart."""
        batches, _ = self._load_batches({"inputs": command["inputs"], "in_memory": True})
        told = self._backend.vendor_benchmark(self._compiled[command["handle"]], tuple(batches))
        figures, refused = self._answers.told_figures(told)
        return {"figures": figures, "refused": refused}

    def do_exit(self, _: Mapping[str, Any]) -> None:
        """Release everything; the process ends after the answer."""
        for handle in list(self._compiled):
            self.do_release({"handle": handle})


def _read_commands(incoming: Iterator[Dict[str, Any]], commands: Any, server: Server) -> None:
    """Take commands; `cancel` and `supply` at once, the rest in order; the end of the harness ends the process."""
    for command in incoming:
        if command["do"] == "cancel":
            server.cancel(command["of"])
        elif command["do"] == "supply":
            server.supply(command)
        else:
            commands.put(command)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _beside(name: str) -> Any:
    """Import a module that lies beside this file, without its folder on the path."""
    package = sys.modules.setdefault("bytemlperf_issuer", types.ModuleType("bytemlperf_issuer"))
    package.__path__ = [HERE]
    return importlib.import_module("bytemlperf_issuer." + name)


def _open_seam(extra_path: List[str]) -> Any:
    """Import the seam to the backend's classes, of the package or its stand-in."""
    sys.path[:0] = [each for each in extra_path if each not in sys.path]
    if sys.version_info < (3, 11) or importlib.util.find_spec("bytemlperf") is None:
        sys.path.insert(0, os.path.join(HERE, "guest"))
    return importlib.import_module("bytemlperf.backends.seam")


def _open_server(hello: Mapping[str, Any], channel: Channel) -> Server:
    try:
        importlib.import_module("numpy")
    except ImportError as error:
        raise ImportError("the worker's interpreter %s needs numpy: %s" % (sys.executable, error)) from error
    _beside("issue")  # before the backend's folders are on the path
    return Server(issuer=_beside, seam=_open_seam(hello["sys_path"]), channel=channel)


def main() -> int:
    """Serve until told to exit, or until the harness is gone."""
    sys.path[:] = [each for each in sys.path if os.path.abspath(each or ".") != HERE]
    guard, telling = _beside("guard"), _beside("telling")
    guarded = guard.stand_guard()
    guard.name_process("bytemlperf-wrk")
    faulthandler.enable()
    channel = Channel()
    incoming = channel.commands()
    hello = next(incoming)
    try:
        server = _open_server(hello, channel)
    except BaseException as error:  # noqa: BLE001 - told to the harness, which ends us
        channel.send({"id": hello["id"], "ok": False, "error": telling.described(error)})
        return 1
    answer = {"id": hello["id"], "ok": True, "pid": os.getpid(), "guarded": guarded}
    channel.send(dict(answer, python=sys.version.split()[0]))
    commands: Any = queue.Queue()
    threading.Thread(target=_read_commands, args=(incoming, commands, server), daemon=True).start()
    while True:
        command = commands.get()
        server.carry_out(command)
        if command["do"] == "exit":
            return 0


if __name__ == "__main__":
    sys.exit(main())
