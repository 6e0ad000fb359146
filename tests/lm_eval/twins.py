"""The same small language model twice: for our backends, and in lm-evaluation-harness' own model of transformers."""

from __future__ import annotations

import json
from typing import Any

import attrs
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from safetensors.torch import save_file
from tests.datasets import small_vocabularies as small
from tests.zoo.architectures import language
from tests.zoo.architectures.test_gpt2_torch import as_theirs
from tests.zoo.architectures.test_gpt2_torch import independent as gpt2_of
from tests.zoo.architectures.test_llama_torch import independent as llama_of
from transformers import GPT2Tokenizer, LlamaTokenizer

from bytemlperf import ModelSpec, Recipe, TensorSpec
from bytemlperf.zoo.architectures import gpt2_torch, llama_torch

CONTEXT = 96
SIZE = 420
TEXTS = [
    text.lstrip() for text in small.paragraphs(count=6)
]  # where one begins with a space, transformers has other tokens


@attrs.frozen(kw_only=True)
class Twins:
    """A model for both sides.

    Attributes:
        spec: For ours.
        weights: Path of the file.
        tokenizer: Path of the folder.
        theirs: The library's model of transformers on the same weights and vocabulary.
    """

    spec: ModelSpec
    weights: str
    tokenizer: str
    theirs: HFLM

    @property
    def ours(self) -> dict[str, Any]:
        """Arguments of `BackendLM`."""
        return {"model": self.spec, "weights": self.weights, "tokenizer": self.tokenizer}


def gpt2(folder):
    """Byte-level BPE, nothing before a text, and a text that is too long for the context is cut."""
    small.bpe(folder, TEXTS, ("<|endoftext|>",), size=SIZE)
    config = {"vocab_size": SIZE, "n_positions": CONTEXT, "n_embd": 32, "n_layer": 2, "n_head": 4}
    module, model = language.filled(gpt2_torch.build(**config)), gpt2_of(config)
    model.load_state_dict(as_theirs(module.state_dict()))
    published = GPT2Tokenizer(vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"))
    return _twins(folder, gpt2_torch, config, module, HFLM(pretrained=model, tokenizer=published, batch_size=1))


def llama(folder):
    """sentencepiece, `<s>` before each text, grouped queries; single bytes, which make no text, are never chosen."""
    small.llama(folder, TEXTS, size=SIZE)
    config = {
        "vocab_size": SIZE, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": CONTEXT,
    }  # fmt: skip
    module, model = language.filled(llama_torch.build(**config)), llama_of(config)
    with torch.no_grad():
        module.lm_head.weight[3:259] = 0
    model.load_state_dict(module.state_dict())
    published = LlamaTokenizer.from_pretrained(folder, add_bos_token=True, legacy=True)
    return _twins(folder, llama_torch, config, module, HFLM(pretrained=model, tokenizer=published, batch_size=1))


def _twins(folder, architecture, config, module, theirs):
    path = folder / "model.safetensors"
    save_file({name: each.detach().clone().contiguous() for name, each in module.state_dict().items()}, path)
    spec = ModelSpec(
        name=f"small-{folder.name}",
        framework="torch",
        format="torch",
        inputs=(TensorSpec(name="tokens", shape=("batch", 16), dtype="int64", high=SIZE),),
        outputs=(TensorSpec(name="logits", shape=("batch", 16, SIZE), dtype="float32"),),
        recipe=Recipe(architecture=f"{architecture.__name__}:build", config=config),
    )
    return Twins(spec=spec, weights=str(path), tokenizer=str(folder), theirs=theirs)


def asked(kind, *arguments):
    """Requests as the library makes them."""
    return [
        Instance(request_type=kind, doc={}, arguments=each, idx=number, metadata=("task", number, 1))
        for number, each in enumerate(arguments)
    ]


def write_lines(path, rows):
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")
    return str(path)
