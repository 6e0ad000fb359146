"""Let lm-evaluation-harness ask its tasks of a backend: here one of a local file, of a small model in a worker."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from lm_eval import simple_evaluate
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks import TaskManager
from lm_eval.utils import make_table
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from bytemlperf import ModelSpec, Recipe, TensorSpec
from bytemlperf.lm_eval import BackendLM

VOCABULARY, CONTEXT = 300, 64
CONFIG = {"vocab_size": VOCABULARY, "n_positions": CONTEXT, "n_embd": 32, "n_layer": 2, "n_head": 4}
SMALL = ModelSpec(
    name="small-gpt2-torch-fp32",
    framework="torch",
    format="torch",
    inputs=(TensorSpec(name="tokens", shape=("batch", 16), dtype="int64", high=VOCABULARY),),
    outputs=(TensorSpec(name="logits", shape=("batch", 16, VOCABULARY), dtype="float32"),),
    recipe=Recipe(architecture="bytemlperf.zoo.architectures.gpt2_torch:build", config=CONFIG),
)
SUMS = [{"a": n, "b": 2 * n, "choices": [str(3 * n), str(3 * n + 1), "many"]} for n in range(40)]


def write_tokenizer(path: Path) -> None:
    """Train a byte-level vocabulary, as a checkpoint has it in its `tokenizer.json`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    letters, end = pre_tokenizers.ByteLevel.alphabet(), ["<|endoftext|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, initial_alphabet=letters, special_tokens=end, show_progress=False
    )
    tokenizer.train_from_iterator([json.dumps(each) for each in SUMS], trainer)
    tokenizer.save(str(path))


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        write_tokenizer(Path(folder) / "tokenizer.json")
        data = Path(folder) / "sums.jsonl"
        data.write_text("\n".join(map(json.dumps, SUMS)))
        task = {
            "task": "sums",
            "output_type": "multiple_choice",
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(data)}, "cache_dir": folder},
            "test_split": "test",
            "doc_to_text": "{{a}} + {{b}} =",
            "doc_to_choice": "{{choices}}",
            "doc_to_target": 0,
            "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        }
        with BackendLM(SMALL, backend="torch", weights="random", tokenizer=folder) as model:
            own = TaskManager(include_defaults=False)  # names of lm-eval's own tasks are not needed here
            results = simple_evaluate(model=model, tasks=[ConfigurableTask(config=task)], task_manager=own)
    print(make_table(results))  # of random weights: a figure by chance
    told = results["config"]["bytemlperf"]
    print(told["model"], "on", told["backend"], "- weights:", told["weights"]["provenance"])
