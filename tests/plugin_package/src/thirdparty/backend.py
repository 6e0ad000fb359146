"""A backend: the network in numpy, from the weights' file alone."""

import attrs
from safetensors.numpy import load_file

from bytemlperf import Backend, CompiledModel, CompileInfo, CompileOptions, Format, Segment
from bytemlperf.errors import CompileError


@attrs.frozen(kw_only=True)
class NumpyOptions(CompileOptions):
    """What the backend can be asked.

    Attributes:
        error: What is added to every score.
    """

    error: float = 0.0


class NumpyBackend(Backend[NumpyOptions, dict]):
    """Runs networks that are one linear layer."""

    name = "thirdparty-numpy"
    formats = frozenset({Format.TORCH})
    options_type = NumpyOptions
    dynamic_batch = True
    tried_on = ("thirdparty:0",)

    def compile(self, artifact, options):
        weights = load_file(artifact.path)
        if set(weights) != {"scores.weight", "scores.bias"}:
            raise CompileError("this is not one linear layer", got=sorted(weights))
        segments = (Segment(name="linear", device="thirdparty:0", operators=1),)
        info = CompileInfo(precision="fp32", segments=segments, devices=("thirdparty:0",))
        return CompiledModel({**weights, "error": options.error}, info)

    def predict(self, compiled, batch):
        layer = compiled.handle
        scores = batch.inputs["point"] @ layer["scores.weight"].T + layer["scores.bias"]
        return {"scores": scores + scores.dtype.type(layer["error"])}

    def version(self):
        return "thirdparty 1.2"
