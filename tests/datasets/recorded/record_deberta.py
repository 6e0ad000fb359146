"""Record what transformers 4 makes of questions and passages for DeBERTa: deberta.json, beside this file.

Transformers 4 documents `[CLS] A [SEP] B [SEP]` with the types 0 and 1. Release 5 has another class of the same name,
which puts two separators between the texts; so the release before stands witness. It cannot be installed beside the
release that the other tests compare with:

    python -m venv /tmp/transformers4
    /tmp/transformers4/bin/pip install transformers==4.57.6
    /tmp/transformers4/bin/python tests/datasets/recorded/record_deberta.py

The vocabulary is trained here, and recorded with the rest: a test needs nothing but the file.
"""

import json
import tempfile
from pathlib import Path

import tokenizers
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerBase

SEQ_LEN, DOC_STRIDE = 64, 20
SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
CAFE = (
    "Le café de Flore, opened in the 1880s, stands at the corner of the boulevard Saint-Germain and the rue"
    " Saint-Benoît in the 6th arrondissement of Paris. Its rival, Les Deux Magots, lies next door: both were known for"
    " their famous guests, among them writers and philosophers, who came for the warmth of its stove in the winters."
)
CHINA = (
    "  Two spaces come first.\tThen a tab, a line\nand “quoted” words — 3,141.59 $ or ½; 北京 is the capital of China,"
    " 😀."
)
PASSAGES = [CAFE, CHINA, "Short."]
QUESTIONS = [
    (0, "Where does the café de Flore stand?"),
    (0, "Who came for the warmth?"),
    (1, "What is the capital of China?"),
    (1, "Which words are “quoted”?"),
    (2, "Is it short?"),
]


def write_vocabulary(folder: Path) -> None:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted({letter for text in PASSAGES for letter in _bytes(text)} | set(_bytes("?")))
    trainer = trainers.BpeTrainer(
        vocab_size=260, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(PASSAGES + [text for _, text in QUESTIONS], trainer)
    tokenizer.model.save(str(folder))


def _bytes(text: str) -> str:
    pieces = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str(text)
    return "".join(piece for piece, _ in pieces)


def windows(fast: PreTrainedTokenizerBase, slow: PreTrainedTokenizerBase) -> list[dict[str, object]]:
    """Return the windows of every question, DOC_STRIDE tokens from one to the next."""
    found: list[dict[str, object]] = []
    for number, (passage, question) in enumerate(QUESTIONS):
        asked = slow.convert_tokens_to_ids(slow.tokenize(question))
        text = slow.convert_tokens_to_ids(slow.tokenize(PASSAGES[passage]))
        around = len(slow.build_inputs_with_special_tokens(asked, text)) - len(asked) - len(text)
        encoded = fast(
            question,
            PASSAGES[passage],
            truncation="only_second",
            max_length=SEQ_LEN,
            stride=SEQ_LEN - around - len(asked) - DOC_STRIDE,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            return_token_type_ids=True,
            padding="max_length",
        )
        for window in range(len(encoded["input_ids"])):
            parts = encoded.sequence_ids(window)
            ids = encoded["input_ids"][window]
            mine = [each for each, part in zip(ids, parts, strict=True) if part == 1]
            used = sum(encoded["attention_mask"][window])
            assert ids[:used] == slow.build_inputs_with_special_tokens(asked, mine)
            assert encoded["token_type_ids"][window][:used] == slow.create_token_type_ids_from_sequences(asked, mine)
            spans = [
                list(span) if part == 1 else [-1, -1]
                for part, span in zip(parts, encoded["offset_mapping"][window], strict=True)
            ]
            found.append({
                "question": number, "input_ids": ids, "attention_mask": encoded["attention_mask"][window],
                "token_type_ids": encoded["token_type_ids"][window], "spans": spans,
            })  # fmt: skip
    return found


def main() -> None:
    assert transformers.__version__.startswith("4."), "transformers 4 is the witness"
    from transformers import DebertaTokenizer, DebertaTokenizerFast

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_vocabulary(folder)
        files = {"vocab_file": str(folder / "vocab.json"), "merges_file": str(folder / "merges.txt")}
        slow, fast = DebertaTokenizer(**files), DebertaTokenizerFast(**files)
        versions = f"transformers {transformers.__version__}, tokenizers {tokenizers.__version__}"
        record = {
            "made_by": f"record_deberta.py, {versions}",
            "vocab": json.loads((folder / "vocab.json").read_text(encoding="utf-8")),
            "merges": (folder / "merges.txt").read_text(encoding="utf-8"),
            "seq_len": SEQ_LEN,
            "doc_stride": DOC_STRIDE,
            "passages": PASSAGES,
            "questions": QUESTIONS,
            "pair": slow.convert_ids_to_tokens(slow.build_inputs_with_special_tokens([0], [0])),
            "windows": windows(fast, slow),
        }
    path = Path(__file__).with_name("deberta.json")
    path.write_text(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
