"""Small tasks of each kind, on local files."""

from __future__ import annotations

import json

from lm_eval.api.task import ConfigurableTask
from tests.lm_eval.twins import TEXTS

WORDS = [word for text in TEXTS for word in text.split() if word.isalpha()]


def questions(count=12):
    """Few-shot questions with three answers of different lengths."""
    rows = []
    for number in range(count):
        choices = [WORDS[number * 9 + 1], " ".join(WORDS[number * 9 + 2 : number * 9 + 4]), WORDS[number * 9 + 5]]
        question = " ".join(WORDS[number * 5 : number * 5 + 6])
        rows.append({"question": question, "choices": choices, "answer": number % 3, "first": WORDS[number * 9 + 1]})
    return rows


def configurations(folder):
    """Return what is written in the YAML of a task, by its name."""
    files = {"questions": questions(), "texts": [{"page": text} for text in TEXTS[:3]]}
    for name, rows in files.items():
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")

    def task(name, kind, file, **fields):
        data = {"data_files": {"test": str(folder / f"{file}.jsonl")}, "cache_dir": str(folder / "cache")}
        told = {"dataset_path": "json", "dataset_kwargs": data, "test_split": "test"}
        return {"task": name, "output_type": kind, **told, **fields}

    return {
        "choosing": task(
            "choosing", "multiple_choice", "questions", doc_to_text="Q: {{question}}\nA:", doc_to_choice="{{choices}}",
            doc_to_target="answer", fewshot_split="test", num_fewshot=1, metric_list=measured("acc", "acc_norm"),
        ),
        "reading": task(
            "reading", "loglikelihood_rolling", "texts", doc_to_text="", doc_to_target="{{page}}",
            metric_list=measured("word_perplexity", "byte_perplexity", up=False, aggregation="weighted_perplexity"),
        ),
        "writing": task(
            "writing", "generate_until", "questions", doc_to_text="{{question}}", doc_to_target="{{first}}",
            generation_kwargs={"until": ["\n", "e"], "max_gen_toks": 12, "do_sample": False},
            metric_list=measured("exact_match"),
        ),
    }  # fmt: skip


def measured(*names, up=True, aggregation="mean"):
    return [{"metric": name, "aggregation": aggregation, "higher_is_better": up} for name in names]


def tasks(folder):
    return [ConfigurableTask(config=each) for each in configurations(folder).values()]
