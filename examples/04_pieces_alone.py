"""Take one piece alone: a model from the zoo, a backend, a runner, a metric."""

import numpy as np

from bytemlperf import BatchSet, FixedBatch, Runner, Seeds, backends, inline, metrics, zoo

artifact = zoo.resolve(zoo.get("digits-resnet-torch-fp32"), weights="random")
backend = backends.get("torch")()
compiled = backend.compile(artifact, backend.options_type(batch_size=8))

images = np.random.default_rng(0).random((4, 8, 1, 8, 8), dtype=np.float32)
batches = BatchSet(
    inputs={"image": images},
    size=8,
    padding=np.zeros(4, dtype=np.int64),
    samples=np.arange(32).reshape(4, 8),
)
recording = Runner().run(inline(backend, compiled), FixedBatch(iterations=200).plan(len(batches), Seeds()), batches)
for name, estimate in metrics.latency(recording.trace).items():
    print(f"{name:14} {estimate}")
