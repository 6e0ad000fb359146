"""Backends of this room's tests; workers import them by `tests.evaluation.vendors:Name`."""

from __future__ import annotations

import os
import signal
import time

import attrs

from bytemlperf.backends import Backend, CompiledModel, CompileInfo, CompileOptions
from bytemlperf.errors import SpecError
from bytemlperf.spec import Format
from bytemlperf.testing.echo import echo

MEGABYTE = 2**20


class Static(Backend):
    """An engine for one batch size at a time, of which 4 is none."""

    name = "static"
    formats = frozenset({Format.ONNX})

    def compile(self, artifact, options):
        if options.batch_size == 4:
            raise RuntimeError("4 is no batch size of this chip")
        found = len(list(options.work_dir.iterdir()))
        files = (options.work_dir / f"engine-{options.batch_size}.bin",)
        files[0].write_bytes(bytes(100))
        info = CompileInfo(precision="fp32", files=files, optimizations={"pid": os.getpid(), "found": found})
        return CompiledModel((artifact.spec, options.batch_size), info)

    def predict(self, compiled, batch):
        spec, size = compiled.handle
        assert size == batch.size
        return echo(spec, batch)

    def version(self):
        return os.environ.get("STATIC_VERSION", "1")


class Particular(Static):
    """Makes values of ours that are wrong."""

    def compile(self, artifact, options):
        raise SpecError("a value of the vendor's own is wrong")


@attrs.frozen(kw_only=True)
class OffOptions(CompileOptions):
    """How far answers are off.

    Attributes:
        by: What is added to every number.
    """

    by: float = 0.5


class Off(Static):
    """Answers that are off by a little."""

    name = "off"
    options_type = OffOptions
    dynamic_batch = True

    def compile(self, artifact, options):
        return CompiledModel((artifact.spec, options.by), CompileInfo(precision="fp32"))

    def predict(self, compiled, batch):
        spec, by = compiled.handle
        return {name: array + array.dtype.type(by) for name, array in echo(spec, batch).items()}


@attrs.frozen(kw_only=True)
class WritingOptions(CompileOptions):
    """What is written.

    Attributes:
        megabytes: In each compile.
    """

    megabytes: int = 8


class Writing(Static):
    """Leaves large files behind."""

    options_type = WritingOptions

    def compile(self, artifact, options):
        path = options.work_dir / f"cache-{options.batch_size}"
        path.write_bytes(os.urandom(options.megabytes * MEGABYTE))
        return CompiledModel((artifact.spec, options.batch_size), CompileInfo(precision="fp32"))


@attrs.frozen(kw_only=True)
class ChipOptions(CompileOptions):
    """How long a query takes.

    Attributes:
        latency_s: Of each query.
        kills_parent_at: Query after which the harness is killed; 0 for never.
    """

    latency_s: float = 0.005
    kills_parent_at: int = 0


class Chip(Static):
    """Runs on devices that it tells."""

    name = "chip"
    options_type = ChipOptions
    dynamic_batch = True

    def compile(self, artifact, options):
        self.queries = 0
        devices = options.devices or ("chip:0",)
        return CompiledModel((artifact.spec, options), CompileInfo(precision="fp32", devices=devices))

    def predict(self, compiled, batch):
        spec, options = compiled.handle
        time.sleep(options.latency_s)
        self.queries += 1
        if self.queries == options.kills_parent_at:
            os.kill(int(os.environ["BYTEMLPERF_TEST_HARNESS"]), signal.SIGKILL)
        return echo(spec, batch)
