"""A backend whose runtime completes queries on its own thread: `submit` returns at once, the reply comes later."""

from concurrent.futures import ThreadPoolExecutor

import onnx
from onnx.reference import ReferenceEvaluator

from bytemlperf import AsyncBackend, Batch, CompiledModel, CompileInfo, CompileOptions, Format, ModelArtifact, Reply
from bytemlperf.backends import Cancel


class Engine:
    """Stands in for a runtime with a queue and a thread of its own."""

    def __init__(self, model: onnx.ModelProto) -> None:
        """Start the thread."""
        self._evaluator = ReferenceEvaluator(model)
        self.thread = ThreadPoolExecutor(max_workers=1)

    def work(self, batch: Batch, reply: Reply) -> None:
        """Answer on the runtime's thread; the harness stamps where it happens."""
        try:
            (logits,) = self._evaluator.run(None, dict(batch.inputs))
        except Exception as error:  # noqa: BLE001 - whatever it is, the query's owner must hear of it
            reply.fail(error)
        else:
            reply.done({"logits": logits})


class MyPush(AsyncBackend[CompileOptions, Engine]):
    """Runs ONNX files, four queries at once at most."""

    name = "mypush"
    formats = frozenset({Format.ONNX})
    dynamic_batch = True

    def compile(self, artifact: ModelArtifact, options: CompileOptions) -> CompiledModel[Engine]:
        """Start the runtime; the harness never has more than `max_in_flight` queries in it."""
        engine = Engine(onnx.load(str(artifact.path)))
        return CompiledModel(engine, CompileInfo(precision="fp32", max_in_flight=4))

    def submit(self, compiled: CompiledModel[Engine], batch: Batch, reply: Reply) -> Cancel:
        """Hand a query to the runtime; what is returned stops it as long as it has not begun."""
        future = compiled.handle.thread.submit(compiled.handle.work, batch, reply)
        return lambda: None if not future.cancel() else reply.fail(RuntimeError("cancelled before it began"))

    def release(self, compiled: CompiledModel[Engine]) -> None:
        """Stop the runtime; twice is harmless."""
        compiled.handle.thread.shutdown()
