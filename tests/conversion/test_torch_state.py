"""The state of a module is written the same every time, and described without running anything."""

from __future__ import annotations

import errno
import io
import json
import re
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.tiny_models import trained_conv
from torch import nn

from bytemlperf.conversion.torch_state import convert_state, state_digest, state_shapes, write_drawn, written_bytes
from bytemlperf.conversion.weight_files import read_arrays
from bytemlperf.errors import ArtifactError
from bytemlperf.spec import DType


class Tied(nn.Module):
    """Two names for one weight, and one that is a view."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(4, 3)
        self.head = nn.Linear(3, 4, bias=False)
        self.head.weight = self.table.weight
        self.register_buffer("columns", torch.arange(12.0).reshape(3, 4).T)


class CountsValues(nn.Module):
    """A constructor that looks at values, as some do to spread rates over depth."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(2, int(width)) for width in torch.linspace(1, 3, 3).tolist())


SMALL = {"shard_bytes": 100}
"""Files of at most 100 bytes, or of one weight."""


def write_state(module, path, *, precision=DType.FLOAT32, **how):
    write_drawn(module.state_dict().items(), written_bytes(module, precision), path, precision=precision, **how)


def test_equal_states_give_equal_files(tmp_path):
    for name in "ab":
        write_state(trained_conv(), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_is_written_loads_strictly(tmp_path):
    module = Tied()
    write_state(module, tmp_path / "a", precision=DType.FLOAT32)
    fresh = Tied()
    fresh.load_state_dict(load_file(tmp_path / "a"), strict=True)
    assert all(torch.equal(tensor, fresh.state_dict()[name]) for name, tensor in module.state_dict().items())


@pytest.mark.parametrize(("precision", "dtype"), [("fp16", torch.float16), ("bf16", torch.bfloat16)])
def test_floating_point_weights_are_written_in_the_asked_precision(tmp_path, precision, dtype):
    write_state(trained_conv(), tmp_path / "a", precision=DType.of(precision))
    written = load_file(tmp_path / "a")
    assert written["conv.weight"].dtype is dtype
    assert written["bn.num_batches_tracked"].dtype is torch.int64


def test_a_state_dict_of_shared_weights_is_converted(tmp_path):
    torch.save(Tied().state_dict(), tmp_path / "a.pt")
    convert_state(tmp_path / "a.pt", tmp_path / "a.safetensors")
    assert set(load_file(tmp_path / "a.safetensors")) == {"table.weight", "head.weight", "columns"}


@pytest.mark.parametrize("build", [trained_conv, Tied, CountsValues])
def test_shapes_are_those_of_the_built_module(build):
    assert state_shapes(build) == {name: tuple(tensor.shape) for name, tensor in build().state_dict().items()}


def _changed(module, change):
    with torch.no_grad():
        change(module)
    return module


@pytest.mark.parametrize(
    "change",
    [
        lambda module: module.head.bias[3].add_(1e-7),
        lambda module: module.half(),
        lambda module: module.register_buffer("more", torch.zeros(1)),
        lambda module: setattr(module.head, "bias", nn.Parameter(module.head.bias.reshape(2, 5))),
    ],
    ids=["value", "type", "name", "shape"],
)
def test_a_digest_tells_every_change(change):
    assert state_digest(_changed(trained_conv(), change)) != state_digest(trained_conv())


def test_a_digest_does_not_depend_on_memory_layout():
    assert state_digest(trained_conv().to(memory_format=torch.channels_last)) == state_digest(trained_conv())


def test_empty_and_scalar_weights_have_a_digest():
    module = nn.Module()
    module.register_buffer("empty", torch.zeros(0, 3))
    module.register_buffer("scalar", torch.tensor(True))
    assert len(state_digest(module)) == 64


def _index(folder):
    return folder / "model.safetensors.index.json"


def test_weights_are_written_to_several_files_in_their_order(tmp_path):
    module = trained_conv()
    write_state(module, _index(tmp_path), precision=DType.FLOAT16, **SMALL)
    index = json.loads(_index(tmp_path).read_text())
    files = sorted(tmp_path.glob("*.safetensors"))
    assert [each.name for each in files] == [
        f"model-{n:05d}-of-{len(files):05d}.safetensors" for n in range(1, len(files) + 1)
    ]
    assert len(files) > 2
    assert index["metadata"]["total_size"] == sum(written_bytes(module, DType.FLOAT16).values())
    found = {name: load_file(tmp_path / file)[name] for name, file in index["weight_map"].items()}
    assert all(
        torch.equal(found[name], tensor.half() if tensor.is_floating_point() else tensor)
        for name, tensor in module.state_dict().items()
    )
    for file in files:
        held = load_file(file)
        assert sum(tensor.nbytes for tensor in held.values()) <= 100 or len(held) == 1


def test_only_the_weights_of_one_file_are_drawn_at_a_time(tmp_path):
    module, written = trained_conv(), []

    def drawn():
        for name, tensor in module.state_dict().items():
            written.append(len(list(tmp_path.glob("*.safetensors"))))
            yield name, tensor

    write_drawn(drawn(), written_bytes(module, DType.FLOAT32), _index(tmp_path), precision=DType.FLOAT32, **SMALL)
    assert written[-1] == len(list(tmp_path.glob("*.safetensors"))) - 1


def test_an_index_of_files_that_torch_wrote_is_converted_file_by_file(tmp_path):
    state = trained_conv().state_dict()
    places = {name: f"pytorch_model-{number}.bin" for number, name in enumerate(state)}
    for name, file in places.items():
        torch.save({name: state[name]}, tmp_path / file)
    source = tmp_path / "pytorch_model.bin.index.json"
    source.write_text(json.dumps({"weight_map": places}))
    made = tmp_path / "made"
    made.mkdir()
    convert_state(source, _index(made))
    arrays = read_arrays(_index(made))
    assert arrays.keys() == state.keys()
    assert all(np.array_equal(arrays[name], tensor.numpy()) for name, tensor in state.items())


def test_nothing_in_the_files_of_an_index_is_executed(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    torch.save({"w": Evil()}, tmp_path / "x.bin")
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {"w": "x.bin"}}))
    with pytest.raises(ArtifactError, match="cannot be read as weights"):
        convert_state(tmp_path / "pytorch_model.bin.index.json", _index(tmp_path))
    assert not (tmp_path / "executed").exists()


def saved(*, legacy):
    content = io.BytesIO()
    torch.save(Tied().state_dict(), content, _use_new_zipfile_serialization=not legacy)
    return content.getvalue()


def with_pickle(change):
    """The file as torch writes it, with another pickle in it."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved(legacy=False))) as source, zipfile.ZipFile(made, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            target.writestr(name, change(content) if name.endswith("/data.pkl") else content)
    return made.getvalue()


MALFORMED = {
    "an empty file": b"",
    "text": b"no weights at all",
    "a stack that runs out": b"\x80\x02.",
    "an index out of the memo": b"\x80\x02h\x07.",
    "a length that is cut off": b"\x80\x02X\x01",
    "zip, an empty pickle": with_pickle(lambda _: b""),
    "zip, a stack that runs out": with_pickle(lambda _: b"\x80\x02."),
    "zip, a length that is cut off": with_pickle(lambda _: b"\x80\x02X\x01"),
    "zip, a call without arguments": with_pickle(lambda _: b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R."),
    "zip, a persistent id that is none": with_pickle(lambda _: b"\x80\x02K\x07Q."),
    "zip, a pickle that ends early": with_pickle(lambda pickle: pickle[: len(pickle) // 2]),
    "zip, no pickle at all": with_pickle(lambda _: b"").replace(b"data.pkl", b"data.bin"),
    "legacy, the end is missing": saved(legacy=True)[:-100],
    "legacy, a storage of another name": re.sub(
        rb"\d(\d{9,})(?!.*\d{10})", rb"x\1", saved(legacy=True), flags=re.DOTALL
    ),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_file_is_refused_by_name(tmp_path, kind):
    (tmp_path / "x.bin").write_bytes(MALFORMED[kind])
    with pytest.raises(ArtifactError, match="weights") as caught:
        convert_state(tmp_path / "x.bin", tmp_path / "x.safetensors")
    assert caught.value.where == "x.bin"
    assert not (tmp_path / "x.safetensors").exists()


@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_with_a_byte_that_is_wrong_or_missing_gives_weights_or_a_typed_error(tmp_path, legacy):
    """Each third byte of the pickle in turn; of the legacy form, of the whole file."""
    whole = saved(legacy=legacy)
    pickled = {}
    if not legacy:
        with_pickle(lambda content: pickled.setdefault("content", content))
    source = whole if legacy else pickled["content"]
    refused = 0
    for place in range(0, len(source), 3):
        for wrong in (source[:place], source[:place] + b"\xff" + source[place + 1 :]):
            (tmp_path / "x.bin").write_bytes(wrong if legacy else with_pickle(lambda _, wrong=wrong: wrong))
            try:
                convert_state(tmp_path / "x.bin", tmp_path / "x.safetensors")
            except ArtifactError:
                refused += 1
    assert refused > len(source) / 6


ODD = {
    "sparse": lambda: torch.eye(3).to_sparse(),
    "quantised": lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
    "without values": lambda: torch.empty(3, device="meta"),
    "complex": lambda: torch.ones(2, dtype=torch.complex128),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
def test_weights_that_are_no_plain_arrays_are_refused(tmp_path, kind):
    torch.save({"weight": ODD[kind]()}, tmp_path / "x.bin")
    with pytest.raises(ArtifactError, match="no plain arrays") as caught:
        convert_state(tmp_path / "x.bin", tmp_path / "x.safetensors")
    assert caught.value.where == "x.bin"


def test_a_full_disk_is_told_as_the_system_tells_it(tmp_path):
    program = f"""
import resource, signal, torch
from pathlib import Path
from bytemlperf.conversion.torch_state import write_weights
from bytemlperf.spec import DType
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
try:
    write_weights({{"a": torch.ones(9)}}, Path({str(tmp_path)!r}) / "a.safetensors", precision=DType.FLOAT32)
except OSError as error:
    print(error.errno)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) == errno.EFBIG
