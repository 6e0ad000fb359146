"""Real text, and small vocabularies of each kind that are trained on it."""

from __future__ import annotations

import argparse
import collections
import decimal
import io
import json
import logging
import pydoc
import statistics

import sentencepiece
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

MODULES = (argparse, collections, decimal, logging, statistics)
EXTRA = "Élodie’s naïve café — “quoted”, 北京 and 3,141.59 $; ½ ﬁne\ttabs  and   spaces. "  # noqa: RUF001 - real text has such characters


def paragraphs(count=40, words=260):
    """Return paragraphs of the standard library's own documentation, with some words of other scripts between."""
    text = " ".join(pydoc.plain(pydoc.render_doc(module)) for module in MODULES).split(" ")
    found = [" ".join(text[start : start + words]) for start in range(0, words * count, words)]
    return [EXTRA + each if number % 3 == 0 else each for number, each in enumerate(found)]


def write_squad(path, texts, *, questions=3, question_words=9):
    """Write texts as SQuAD 1.1 has them, and return the questions as (id, text, passage, answer)."""
    data, made = [], []
    for number, passage in enumerate(texts):
        words, records = passage.split(), []
        for each in range(questions):
            asked = " ".join(words[each * 5 : each * 5 + question_words]) + "?"
            later = words[(each + 1) * len(words) // (questions + 1) :] + words
            answer = next(word for word in later if word.isalnum() and word.lower() not in {"a", "an", "the"})
            records.append({
                "id": f"q{number}-{each}", "question": f"  {asked}",
                "answers": [{"text": answer, "answer_start": passage.index(answer)}],
            })  # fmt: skip
            made.append((f"q{number}-{each}", f"  {asked}", passage, answer))
        data.append({"title": str(number), "paragraphs": [{"context": passage, "qas": records}]})
    path.write_text(json.dumps({"version": "1.1", "data": data}), encoding="utf-8")
    return made


def bert(folder, texts, size=600):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator([text.lower() for text in texts], trainer)
    words = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    return folder / "vocab.txt"


def bpe(folder, texts, special, size=700):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.model.save(str(folder))
    merges = (folder / "merges.txt").read_text(encoding="utf-8")
    if not merges.startswith("#version"):
        (folder / "merges.txt").write_text("#version: 0.2\n" + merges, encoding="utf-8")
    return folder / "vocab.json"


def clip(folder, texts, size=700):
    """Words end with a mark of their own; begin and end are the last tokens."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        end_of_word_suffix="</w>",
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([text.lower() for text in texts], trainer)
    tokenizer.model.save(str(folder))
    vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    for name in ("<|startoftext|>", "<|endoftext|>"):
        vocabulary[name] = len(vocabulary)
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")


def albert(folder, texts, size=400):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter([line for text in texts for line in text.lower().splitlines() if line.strip()]),
        model_writer=model,
        model_type="unigram",
        vocab_size=size,
        pad_id=0,
        unk_id=1,
        bos_id=-1,
        eos_id=-1,
        control_symbols=["[CLS]", "[SEP]", "[MASK]"],
        minloglevel=2,
        num_threads=1,
    )
    (folder / "spiece.model").write_bytes(model.getvalue())
    return folder / "spiece.model"


def llama(folder, texts, size=420):
    """Train as LLaMA's was: BPE with byte fallback, digits apart, no normalisation, spaces kept."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter([line for text in texts for line in text.splitlines() if line.strip()]),
        model_writer=model, model_type="bpe", vocab_size=size, byte_fallback=True, split_digits=True,
        normalization_rule_name="identity", remove_extra_whitespaces=False, allow_whitespace_only_pieces=True,
        unk_id=0, bos_id=1, eos_id=2, pad_id=-1, minloglevel=2, num_threads=1,
    )  # fmt: skip
    (folder / "tokenizer.model").write_bytes(model.getvalue())
    return folder / "tokenizer.model"
