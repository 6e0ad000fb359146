"""One engine over several processes: the tokens of one process, each rank with its own weights, and typed failures."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from importlib import import_module

import attrs
import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import save_file
from tests.backends.test_torch_generation import LLAMA, VOCABULARY, Doing, Heard, Served, greedy, prompts, spec
from tests.zoo.architectures.language import filled, relative
from torch.distributed import HashStore

from bytemlperf.artifact import ModelArtifact
from bytemlperf.backends.torch_generation import ranks
from bytemlperf.backends.torch_generation.backend import GenerationOptions, TorchGenerationBackend
from bytemlperf.backends.torch_generation.launch import Ended, Ranks
from bytemlperf.backends.torch_generation.orders import Move, Step, Stop, View, beyond, read, written
from bytemlperf.backends.torch_generation.place import OVER, VARIABLE, Place
from bytemlperf.errors import (
    BackendUnavailableError,
    CancelledError,
    CompileError,
    CrashError,
    TimeLimitError,
    WeightsUnavailableError,
)
from bytemlperf.spec import Format, Recipe

CONFIGS = {
    "llama": ("llama_torch", {**LLAMA, "max_position_embeddings": 400}),
    "gpt2": ("gpt2_torch", {"vocab_size": VOCABULARY, "n_positions": 400, "n_embd": 32, "n_layer": 2, "n_head": 4}),
    "chatglm2": (  # one group of keys and values, which both ranks need
        "chatglm2_torch",
        {
            "padded_vocab_size": VOCABULARY, "hidden_size": 32, "ffn_hidden_size": 48, "num_layers": 2,
            "num_attention_heads": 4, "kv_channels": 8, "multi_query_group_num": 1, "seq_length": 400,
        },
    ),
}  # fmt: skip


def whole(name, **changes):
    file, config = CONFIGS[name]
    return filled(import_module(f"bytemlperf.zoo.architectures.{file}").build(**{**config, **changes}))


def artifact_of(name, folder, module, **changes):
    file, config = CONFIGS[name]
    path = folder / f"{name}.safetensors"
    save_file(module.state_dict(), path)
    recipe = Recipe(architecture=f"bytemlperf.zoo.architectures.{file}:build", config={**config, **changes})
    made = attrs.evolve(spec(precision=changes.get("dtype", "float32"), recipe=recipe), format=Format.TORCH)
    return ModelArtifact(spec=made, format=Format.TORCH, path=path)


class Divided(Served):
    """An engine over two ranks."""

    def __init__(self, artifact, folder, **options):
        self.backend = TorchGenerationBackend()
        asked = {"tensor_parallel": 2, "rank_timeout_s": 60, "threads": 1, "work_dir": folder / "work", **options}
        self.compiled = self.backend.compile(artifact, GenerationOptions(**asked))

    @property
    def process(self):
        return self.compiled.handle.ranked.processes[1]


def is_gone(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


def weight_bytes(module):
    return sum(each.numel() * each.itemsize for each in module.parameters())


def check_tokens(module, artifact, folder, **options):
    """Greedy tokens of requests that come together equal those of full forwards in one process."""
    asked = [[each % VOCABULARY for each in range(300)], *prompts(7, seed=1)]
    exact = module.float()
    with Divided(artifact, folder, slots=3, prefill_piece=4, **options) as served:
        alone = served.ask(asked[0], max_new_tokens=6, logits=True).wait()
        together = [served.ask(prompt, max_new_tokens=3 + number % 5) for number, prompt in enumerate(asked)]
        given_up = served.ask([1, 2], max_new_tokens=60, heard=Doing(Heard.cancel))
        moved = [served.ask(prompt, max_new_tokens=12) for prompt in asked[1:4]]
        for heard in (*together, given_up, *moved):
            heard.wait()
        process, facts = served.process, served.compiled.info.optimizations
    assert is_gone(process)
    for number, (prompt, heard) in enumerate(zip(asked, together, strict=True)):
        expected, margin = greedy(exact, prompt, 3 + number % 5)
        assert margin > 1e-4  # else rounding might decide
        assert (heard.error, heard.tokens, heard.ends) == (None, expected, 1)
    assert isinstance(given_up.error, CancelledError)
    assert given_up.tokens == greedy(exact, [1, 2], 3)[0]
    assert [heard.tokens for heard in moved] == [greedy(exact, prompt, 12)[0] for prompt in asked[1:4]]
    with torch.no_grad():
        full = exact(torch.tensor([asked[0] + alone.tokens[:-1]]))[0, len(asked[0]) - 1 :]
    assert relative(torch.tensor(np.array(alone.logits)), full) < 1e-5
    return facts


@pytest.mark.parametrize("name", CONFIGS)
def test_two_ranks_give_the_tokens_and_logits_of_one_process(name, tmp_path):
    module = whole(name)
    facts = check_tokens(module, artifact_of(name, tmp_path, module), tmp_path)
    assert facts["tp_size"] == 2
    assert facts["rank_0_weight_bytes"] == facts["rank_1_weight_bytes"] < weight_bytes(module)
    assert facts["rank_0_cache_bytes"] == facts["rank_1_cache_bytes"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_half_weights_over_two_ranks_give_the_tokens_of_their_exact_values(name, tmp_path):
    half = whole(name, dtype="float16")
    facts = check_tokens(half, artifact_of(name, tmp_path, half, dtype="float16"), tmp_path)
    assert facts["activations"] == "float32"


def test_a_rank_that_is_killed_while_decoding_fails_what_is_under_way_and_all_that_comes(tmp_path):
    module = whole("llama")
    with Divided(artifact_of("llama", tmp_path, module), tmp_path) as served:
        process = served.process
        heard = served.ask([1, 2, 3], max_new_tokens=300, heard=Doing(lambda _: os.kill(process, signal.SIGKILL)))
        other = served.ask([4, 5], max_new_tokens=300)
        for each in (heard.wait(), other.wait(), served.ask([7]).wait()):
            assert isinstance(each.error, CrashError)
            assert "rank 1 of 2 was ended by SIGKILL" in str(each.error)
            assert (each.error.signal, each.ends) == ("SIGKILL", 1)
        assert is_gone(process)
    with Divided(artifact_of("llama", tmp_path, module), tmp_path) as served:  # and nothing of it stays
        assert served.ask([1, 2, 3]).wait().tokens == greedy(module, [1, 2, 3], 6)[0]


@pytest.mark.parametrize("cancelled", [0, 1])
def test_a_rank_that_is_killed_before_a_row_is_given_back_fails_the_others(cancelled, tmp_path):
    module = whole("llama")
    with Divided(artifact_of("llama", tmp_path, module), tmp_path) as served:
        asked = [served.ask([1, 2, 3], max_new_tokens=300)]

        def lose(_):
            os.kill(served.process, signal.SIGKILL)
            while psutil.Process(served.process).status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.01)
            time.sleep(0.5)  # the connection is seen to be closed: the next order fails, and that is the row's move
            asked[cancelled].cancel()

        doing = Doing(lose)
        asked.append(doing)
        served.ask([4, 5], max_new_tokens=300, heard=doing)
        waits = served.ask([6], max_new_tokens=300)
        for each in (*asked, waits, served.ask([7])):
            assert each.wait().ends == 1
        assert isinstance(asked[cancelled].error, CancelledError)
        for each in (asked[1 - cancelled], waits):
            assert isinstance(each.error, CrashError)
        assert served.under_way == 0
        assert isinstance(served.ask([8]).wait().error, CrashError)


def test_a_rank_that_hangs_is_given_up(tmp_path):
    with Divided(artifact_of("llama", tmp_path, whole("llama")), tmp_path, rank_timeout_s=8) as served:
        process = served.process
        heard = served.ask([1, 2, 3], max_new_tokens=300, heard=Doing(lambda _: os.kill(process, signal.SIGSTOP)))
        error = heard.wait().error
        assert isinstance(error, TimeLimitError)
        assert error.limit == "rank_timeout_s"
        assert is_gone(process)


def test_ranks_that_others_start_and_one_of_them_killed(tmp_path, monkeypatch):
    place = Place(rank=0, ranks=2, host="127.0.0.1", port=free_port())
    store = place.store(serves=True)
    other = attrs.evolve(place, rank=1)
    follower = ranks.Follower(other, other.store())
    codes, thread = [], threading.Thread(target=lambda: codes.append(follower.run()))
    thread.start()
    monkeypatch.setenv(VARIABLE, place.to_tell())
    module = whole("llama")
    artifact = artifact_of("llama", tmp_path, module)
    with Divided(artifact, tmp_path) as served:
        assert served.ask([1, 2, 3]).wait().tokens == greedy(module, [1, 2, 3], 6)[0]
        (process,) = (each.process.pid for each in follower.served)
        heard = served.ask([1, 2, 3], max_new_tokens=300, heard=Doing(lambda _: os.kill(process, signal.SIGKILL)))
        assert "rank 1 of 2 was ended by SIGKILL" in str(heard.wait().error)
    with pytest.raises(BackendUnavailableError, match="expected 2 at most"):
        Divided(artifact, tmp_path, tensor_parallel=4)
    store.set(OVER, "1")
    thread.join(60)
    assert codes == [0]
    assert is_gone(process)


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


PROGRAM = """
import sys
from pathlib import Path
from tests.backends.test_torch_ranks import Divided, artifact_of, whole
folder = Path(sys.argv[1])
with Divided(artifact_of("llama", folder, whole("llama")), folder) as served:
    print("tokens", served.ask([1, 2, 3]).wait().tokens)
"""


@pytest.mark.slow
def test_two_nodes_of_torchrun(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    port = free_port()
    command = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
    command += ["--master-addr", "127.0.0.1", "--master-port", str(port)]
    program = ["-m", ranks.__name__, str(tmp_path / "program.py"), str(tmp_path)]
    nodes = [
        subprocess.Popen(
            [*command, "--node-rank", str(node), *program],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=os.environ | {"GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for node in (0, 1)
    ]  # fmt: skip
    said = [node.communicate(timeout=240)[0] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], said
    assert f"tokens {greedy(whole('llama'), [1, 2, 3], 6)[0]}" in said[0]


def test_a_port_in_use_and_a_store_that_is_not_there():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        place = Place(rank=0, ranks=2, host="127.0.0.1", port=taken.getsockname()[1])
        with pytest.raises(BackendUnavailableError, match=f"at 127.0.0.1:{place.port}.*take a free port"):
            place.store(serves=True)
    with pytest.raises(BackendUnavailableError, match="see that rank 0 runs"):
        attrs.evolve(place, port=free_port()).store(within_s=0.5)


ENVIRONMENT = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29500", "LOCAL_RANK": "1"}


def test_the_place_is_read_as_torchrun_sets_it():
    assert Place.of({}) is None
    assert Place.of(ENVIRONMENT) == Place(rank=1, ranks=2, local_rank=1, host="10.0.0.1", port=29500)
    again = {**ENVIRONMENT, "TORCHELASTIC_RESTART_COUNT": "3", "TORCHELASTIC_USE_AGENT_STORE": "True"}
    assert Place.of(again).prefixed("x") == "bytemlperf/3/x"
    assert Place.of(again).has_store
    assert Place.told({VARIABLE: Place.of(again).to_tell()}) == Place.of(again)
    for wrong in ({"RANK": "1"}, {**ENVIRONMENT, "MASTER_PORT": "x"}):
        with pytest.raises(BackendUnavailableError, match="start it by torchrun"):
            Place.of(wrong)


def test_a_program_is_run_by_torchrun_only(capsys, monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert ranks.main(["script.py"]) == 1
    assert "start it by torchrun" in capsys.readouterr().err
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    assert ranks.main(["-m"]) == 1
    assert "no program" in capsys.readouterr().err


@pytest.mark.parametrize("rows", [1, 8, 300])
@pytest.mark.parametrize("placed", [True, False])
def test_orders_are_read_as_they_were_written(rows, placed):
    tokens = torch.arange(rows * 2).reshape(rows, 2) + 5
    step = Step(tokens, tokens * 7 if placed else None, View(1, 1 + rows, 64) if placed else None)
    head, rest = written(step)
    assert beyond(head) == (0 if rest is None else len(rest))
    found = read(head, rest)
    assert torch.equal(found.tokens, tokens)
    if placed:
        assert torch.equal(found.positions, tokens * 7)
        assert (found.view.first, found.view.last, found.view.positions) == (1, 1 + rows, 64)
    else:
        assert (found.positions, found.view) == (None, None)


def test_orders_without_tokens():
    moved = read(*written(Move(3, 1, 40)))
    assert (moved.source, moved.target, moved.positions) == (3, 1, 40)
    assert isinstance(read(*written(Stop())), Stop)
    assert beyond(written(Stop())[0]) == 0


class Waiting(Ranks):
    """Ranks of which only the store is there."""

    def __init__(self, ended=None):
        self.store, self.count, self.loopback, self._ended = HashStore(), 2, True, ended

    def ended(self):
        return self._ended

    def close(self, *, patience_s=0.0):
        pass


def test_what_a_rank_could_not_load_is_told_as_its_kind():
    waiting = Waiting()
    waiting.store.set("loaded/1", json.dumps({"failed": {"code": "weights_unavailable", "message": "no file"}}))
    with pytest.raises(WeightsUnavailableError, match="rank 1 of 2: no file"):
        waiting.loaded()
    with pytest.raises(CrashError, match="rank 1 of 2 exited with 3") as caught:
        Waiting(Ended(rank=1, code=3, log_tail="the last words")).loaded()
    assert (caught.value.exit_code, caught.value.log_tail) == (3, "the last words")


def test_what_cannot_be_divided_leaves_no_process(tmp_path):
    artifact = artifact_of("llama", tmp_path, whole("llama"))
    with pytest.raises(CompileError, match=r"one of 1, 2, 4$"):
        Divided(artifact, tmp_path, tensor_parallel=3)
    assert not list((tmp_path / "work").glob("ranks-*"))
