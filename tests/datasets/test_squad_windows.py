"""Windows are those of transformers' own tokenizer classes (DeBERTa: of release 4), and of BERT's own rule."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from tokenizers import processors
from transformers import AlbertTokenizer, BertTokenizer, DebertaTokenizer, RobertaTokenizer

from bytemlperf.datasets.squad import Squad11, SquadOptions
from bytemlperf.datasets.squad_windows import Windows
from bytemlperf.datasets.tokenizing import read_tokenizer
from bytemlperf.errors import DatasetError, DatasetUnavailableError, SpecError

_spec = importlib.util.spec_from_file_location("small_vocabularies", Path(__file__).with_name("small_vocabularies.py"))
small = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(small)

SEQ_LEN, DOC_STRIDE = 384, 128
ROBERTA = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
DEBERTA = ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]")


@pytest.fixture(scope="module")
def texts():
    return small.paragraphs(count=24, words=420)


@pytest.fixture(scope="module")
def asked(texts, tmp_path_factory):
    path = tmp_path_factory.mktemp("squad") / "dev-v1.1.json"
    return path, small.write_squad(path, texts)


def make_bert(folder, texts):
    small.bert(folder, texts)
    return BertTokenizer.from_pretrained(folder)


def make_roberta(folder, texts):
    small.bpe(folder, texts, ROBERTA)
    return RobertaTokenizer.from_pretrained(folder)


def make_deberta(folder, texts):
    small.bpe(folder, texts, DEBERTA)
    return DebertaTokenizer.from_pretrained(folder)


def make_albert(folder, texts):
    path = small.albert(folder, texts)
    return AlbertTokenizer.from_pretrained(path.parent)


MAKERS = {"albert": make_albert, "bert": make_bert, "deberta": make_deberta, "roberta": make_roberta}


@pytest.fixture(scope="module", params=sorted(MAKERS))
def kind(request, texts, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    return folder, MAKERS[request.param](folder, texts)


@pytest.fixture(name="spec", scope="module")
def _spec_of_model(tensor, model):
    return reader(tensor, model, SEQ_LEN)


def reader(tensor, model, seq_len):
    names = ("input_ids", "attention_mask", "token_type_ids")
    return model(*(tensor(name, ("batch", seq_len), "int64") for name in names))


def by_transformers(theirs, questions):
    """Return ids, masks, types and spans of all windows, where each window begins DOC_STRIDE after the last."""
    found = []
    for _, question, passage, _ in questions:
        tokens = len(theirs(question.lstrip(), add_special_tokens=False)["input_ids"])
        around = len(theirs("a", "a")["input_ids"]) - 2 * len(theirs("a", add_special_tokens=False)["input_ids"])
        overlap = SEQ_LEN - around - tokens - DOC_STRIDE
        encoded = theirs(
            question.lstrip(),
            passage,
            truncation="only_second",
            max_length=SEQ_LEN,
            stride=overlap,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            return_token_type_ids=True,
            padding="max_length",
        )
        for number in range(len(encoded["input_ids"])):
            parts = encoded.sequence_ids(number)
            spans = [
                (-1, -1) if part != 1 else span
                for part, span in zip(parts, encoded["offset_mapping"][number], strict=True)
            ]
            found.append(
                (*(encoded[name][number] for name in ("input_ids", "attention_mask", "token_type_ids")), spans)
            )
    return tuple(np.array(column) for column in zip(*found, strict=True))


@pytest.mark.parametrize("kind", ["albert", "bert", "roberta"], indirect=True)  # DeBERTa's class was changed in 5
def test_windows_are_those_of_transformers(kind, asked, spec):
    folder, theirs = kind
    path, questions = asked
    loader = Squad11.open(spec, SquadOptions(path=str(path), tokenizer=str(folder), max_question=200))
    ids, mask, types, spans = by_transformers(theirs, questions)
    assert len(loader) == len(ids) > 1.3 * len(questions)
    loaded = loader.load(range(len(loader)))
    np.testing.assert_array_equal(loaded["input_ids"], ids)
    np.testing.assert_array_equal(loaded["attention_mask"], mask)
    np.testing.assert_array_equal(loaded["token_type_ids"], types)
    np.testing.assert_array_equal([label.spans for label in loader.labels(range(len(loader)))], spans)


def test_debertas_windows_are_those_of_transformers_4(tensor, model, tmp_path):
    """The class of that release, slow and fast, recorded by record_deberta.py, which says how."""
    record = json.loads((Path(__file__).parent / "recorded" / "deberta.json").read_text(encoding="utf-8"))
    (tmp_path / "vocab.json").write_text(json.dumps(record["vocab"]), encoding="utf-8")
    (tmp_path / "merges.txt").write_text(record["merges"], encoding="utf-8")
    asked = [
        [{"id": str(number), "question": text, "answers": [{"text": "x"}]}]
        for number, (_, text) in enumerate(record["questions"])
    ]
    passages = [record["passages"][passage] for passage, _ in record["questions"]]
    paragraphs = [{"context": text, "qas": qas} for text, qas in zip(passages, asked, strict=True)]
    (tmp_path / "dev-v1.1.json").write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}), encoding="utf-8")
    options = SquadOptions(path=str(tmp_path), doc_stride=record["doc_stride"])
    loader = Squad11.open(reader(tensor, model, record["seq_len"]), options)
    windows, loaded = record["windows"], loader.load(range(len(loader)))
    assert record["made_by"].startswith("record_deberta.py, transformers 4.")
    assert [each.partition("/")[0] for each in loader.ids(range(len(loader)))] == [
        str(each["question"]) for each in windows
    ]
    for name, array in loaded.items():
        np.testing.assert_array_equal(array, [each[name] for each in windows])
    spans = [label.spans for label in loader.labels(range(len(loader)))]
    np.testing.assert_array_equal(spans, [each["spans"] for each in windows])


def test_a_tokenizers_json_makes_the_same_windows(kind, asked, spec, tmp_path):
    folder, theirs = kind
    if isinstance(theirs, DebertaTokenizer):
        one_separator(theirs)
    theirs.backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    path, _ = asked
    whole = Squad11.open(spec, SquadOptions(path=str(path), tokenizer=str(tmp_path)))
    parts = Squad11.open(spec, SquadOptions(path=str(path), tokenizer=str(folder)))
    assert len(whole) == len(parts)
    for name, array in whole.load(range(len(whole))).items():
        np.testing.assert_array_equal(array, parts.load(range(len(parts)))[name])


def one_separator(theirs):
    """Make transformers 5's DeBERTa that of transformers 4, for its file."""
    ends = [(name, theirs.convert_tokens_to_ids(name)) for name in ("[CLS]", "[SEP]")]
    theirs.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1", special_tokens=ends
    )


def test_what_a_tokenizers_json_says_of_separators_holds(texts, asked, spec, tmp_path):
    theirs = make_deberta(tmp_path, texts)
    theirs.backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    loader = Squad11.open(spec, SquadOptions(path=str(asked[0]), tokenizer=str(tmp_path), max_question=200))
    ids = by_transformers(theirs, asked[1][:3])[0]
    np.testing.assert_array_equal(loader.load(range(len(ids)))["input_ids"], ids)
    assert (ids[0] == theirs.sep_token_id).sum() == 3


def by_run_squad(room, tokens, doc_stride):
    """Return BERT's windows (start, length) of one passage, and the one with most context for each token."""
    windows, start = [], 0
    while start < tokens:
        length = min(tokens - start, room)
        windows.append((start, length))
        if start + length == tokens:
            break
        start += min(length, doc_stride)
    best = []
    for position in range(tokens):
        scores = [
            min(position - first, first + length - 1 - position) + 0.01 * length
            if first <= position < first + length
            else -1
            for first, length in windows
        ]
        best.append(scores.index(max(scores)))
    return windows, best


def test_windows_and_context_are_those_of_berts_own_rule(rng):
    room, tokens = rng.integers(20, 60, 200), rng.integers(1, 400, 200)
    windows = Windows.of(room, tokens, doc_stride=16)
    for question in range(200):
        expected, best = by_run_squad(int(room[question]), int(tokens[question]), 16)
        numbers = range(windows.first[question], windows.first[question + 1])
        assert [(windows.start[number], windows.length[number]) for number in numbers] == expected
        for own, number in enumerate(numbers):
            start, length = expected[own]
            assert windows.most_context(number).tolist() == [each == own for each in best[start : start + length]]


def test_one_window_of_each_token_may_begin_an_answer(kind, asked, spec):
    path, questions = asked
    loader = Squad11.open(spec, SquadOptions(path=str(path), tokenizer=str(kind[0])))
    starts = {}
    for label in loader.labels(range(len(loader))):
        starts.setdefault(label.question_id, []).extend(map(tuple, label.spans[label.may_start].tolist()))
    for question_id, _, passage, answer in questions:
        assert all(0 <= first <= last <= len(passage) for first, last in starts[question_id])
        assert any(
            passage[first:last].strip() and answer.startswith(passage[first:last].strip())
            for first, last in starts[question_id]
        )


@pytest.fixture(name="bert", scope="module")
def _bert(texts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bert")
    small.bert(folder, texts)
    return folder


def test_a_long_question_is_cut(bert, texts, tmp_path, spec):
    small.write_squad(tmp_path / "dev-v1.1.json", texts[:1], questions=1, question_words=120)
    loader = Squad11.open(spec, SquadOptions(path=str(tmp_path), tokenizer=str(bert)))
    types = loader.load([0])["token_type_ids"][0]
    assert int(types.argmax()) == 1 + 64 + 1


def test_training_questions_beside_are_for_calibration(bert, texts, tmp_path, spec):
    small.write_squad(tmp_path / "dev-v1.1.json", texts[:3])
    alone = Squad11.open(spec, SquadOptions(path=str(tmp_path), tokenizer=str(bert)))
    small.write_squad(tmp_path / "train-v1.1.json", texts[1:6])
    both = Squad11.open(spec, SquadOptions(path=str(tmp_path), tokenizer=str(bert)))
    assert len(both) == len(alone)
    assert list(alone.calibration()) == []
    asked, kept = ({each.split("/")[0] for each in both.ids(part)} for part in (range(len(both)), both.calibration()))
    assert kept
    assert not asked & kept
    assert both.load(both.calibration())["input_ids"].shape == (len(both.calibration()), SEQ_LEN)


def test_held_out_questions_are_for_calibration(bert, texts, tmp_path, spec):
    small.write_squad(tmp_path / "dev-v1.1.json", texts[:3])
    loader = Squad11.open(spec, SquadOptions(path=str(tmp_path), tokenizer=str(bert), held_out=2))
    kept = {each.split("/")[0] for each in loader.ids(loader.calibration())}
    assert kept == {"q2-1", "q2-2"}
    with pytest.raises(DatasetError, match="no sample is left"):
        Squad11.open(spec, SquadOptions(path=str(tmp_path), tokenizer=str(bert), held_out=9))


def test_the_fingerprint_changes_with_answers_settings_and_tokens(bert, texts, tmp_path, spec):
    small.write_squad(tmp_path / "dev-v1.1.json", texts[:2])

    def fingerprint(**options):
        return Squad11.open(spec, SquadOptions(path=str(tmp_path), tokenizer=str(bert), **options)).fingerprint()

    first = fingerprint()
    assert first == fingerprint()
    found = {first, fingerprint(doc_stride=64), fingerprint(held_out=1), fingerprint(max_question=5)}
    text = (tmp_path / "dev-v1.1.json").read_text(encoding="utf-8")
    answer = json.loads(text)["data"][0]["paragraphs"][0]["qas"][0]["answers"][0]["text"]
    (tmp_path / "dev-v1.1.json").write_text(text.replace(f'"text": "{answer}"', '"text": "other"', 1), encoding="utf-8")
    assert len({*found, fingerprint()}) == 5


def test_the_binary_form_is_made_once_for_each_cut(bert, texts, tmp_path, spec):
    small.write_squad(tmp_path / "dev-v1.1.json", texts[:4])

    def opened(**options):
        options = {"tokenizer": str(bert), "cache": str(tmp_path / "cache"), **options}
        return Squad11.open(spec, SquadOptions(path=str(tmp_path), **options))

    def forms():
        return sorted(each.name for each in (tmp_path / "cache" / "datasets" / "squad-1.1").glob("[!.]*"))

    first, again = opened(), opened()
    assert len(forms()) == 1
    assert first.fingerprint() == again.fingerprint()
    for one, other in zip(first.labels(range(len(first))), again.labels(range(len(again))), strict=True):
        assert (one.question_id, one.passage, one.answers) == (other.question_id, other.passage, other.answers)
        np.testing.assert_array_equal(one.may_start, other.may_start)
    opened(doc_stride=64)
    assert len(forms()) == 2
    text = (tmp_path / "dev-v1.1.json").read_text(encoding="utf-8")
    (tmp_path / "dev-v1.1.json").write_text(text.replace(" the ", " a ", 1), encoding="utf-8")
    assert opened().fingerprint() != first.fingerprint()
    assert len(forms()) == 3


def test_windows_come_in_the_order_that_is_asked_for(bert, asked, spec, rng):
    loader = Squad11.open(spec, SquadOptions(path=str(asked[0]), tokenizer=str(bert), doc_stride=40))
    whole, labels = loader.load(range(len(loader))), loader.labels(range(len(loader)))
    order = rng.integers(0, len(loader), 600).tolist()
    for name, array in loader.load(order).items():
        np.testing.assert_array_equal(array, whole[name][order])
    for label, number in zip(loader.labels(order), order, strict=True):
        np.testing.assert_array_equal(label.spans, labels[number].spans)
        np.testing.assert_array_equal(label.may_start, labels[number].may_start)
        assert (label.question_id, label.windows) == (labels[number].question_id, labels[number].windows)
    assert loader.ids(order) == tuple(loader.ids(range(len(loader)))[number] for number in order)
    assert loader.load([])["input_ids"].shape == (0, SEQ_LEN)


def test_a_question_that_leaves_no_room_is_named(bert, texts, tmp_path, tensor, model):
    small.write_squad(tmp_path / "dev-v1.1.json", texts[:1], questions=2, question_words=30)
    short = model(tensor("input_ids", ("batch", 20), "int64"))
    with pytest.raises(SpecError, match=r"no room for its passage.*got 'q0-0'"):
        Squad11.open(short, SquadOptions(path=str(tmp_path), tokenizer=str(bert)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no JSON"),
        ('{"data": [{"paragraphs": []}], "data": []}', "2 members 'data'"),
        ('{"data": [{"title": "x"}]}', "0 members 'paragraphs'"),
        ('{"data": [{"paragraphs": {}}]}', "dict in the place of paragraphs"),
        ("{}", "none of SQuAD 1.1"),
        ('{"data": []}', "has no question"),
        ('{"data": [{"paragraphs": [{"context": "a"}]}]}', "none of SQuAD 1.1"),
        (
            '{"data": [{"paragraphs": [{"context": "a", "qas": [{"id": "1", "question": "b"}]}]}]}',
            "KeyError: 'answers'",
        ),
        (
            '{"data": [{"paragraphs": [{"context": "a", "qas": [{"id": "1", "question": "b", "answers": []}]}]}]}',
            "it has no answer",
        ),
    ],
)
def test_a_damaged_file_is_named(bert, tmp_path, spec, text, message):
    path = tmp_path / "dev-v1.1.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DatasetError, match=message) as caught:
        Squad11.open(spec, SquadOptions(path=str(path), tokenizer=str(bert)))
    assert caught.value.where.startswith(str(path))


def test_questions_are_left_out_only_where_asked_and_then_counted(bert, texts, tmp_path, spec):
    path = tmp_path / "dev-v1.1.json"
    small.write_squad(path, texts[:2])
    document = json.loads(path.read_text(encoding="utf-8"))
    document["data"][1]["paragraphs"][0]["qas"][2]["answers"] = []
    document["data"][1]["paragraphs"][0]["qas"][1]["id"] = "q0-0"
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(DatasetError, match="another's") as caught:
        Squad11.open(spec, SquadOptions(path=str(path), tokenizer=str(bert)))
    assert caught.value.where == f"{path}:data[1].paragraphs[0].qas[1]"
    loader = Squad11.open(spec, SquadOptions(path=str(path), tokenizer=str(bert), skip_unusable=True))
    assert len(loader.skipped) == 2
    assert len({each.split("/")[0] for each in loader.ids(range(len(loader)))}) == 4


def test_what_is_missing_is_told(bert, tmp_path, spec, tensor, model, texts):  # noqa: PLR0917
    with pytest.raises(DatasetUnavailableError, match="come with no package"):
        Squad11.open(spec, SquadOptions(tokenizer=str(bert)))
    with pytest.raises(DatasetUnavailableError, match="are missing"):
        Squad11.open(spec, SquadOptions(path=str(tmp_path), tokenizer=str(bert)))
    small.write_squad(tmp_path / "dev-v1.1.json", texts[:1])
    with pytest.raises(DatasetUnavailableError, match="no tokenizer of model"):
        Squad11.open(spec, SquadOptions(path=str(tmp_path)))
    with pytest.raises(SpecError, match="does not fit"):
        Squad11.open(model(tensor("image", ("batch", 3))), SquadOptions(path=str(tmp_path)))
    few = model(tensor("input_ids", ("batch", 384), "int64", high=100))
    with pytest.raises(SpecError, match="another model's"):
        Squad11.open(few, SquadOptions(path=str(tmp_path), tokenizer=str(bert)))
    (tmp_path / "vocab.txt").write_bytes(b"[PAD]\nword\n")
    with pytest.raises(DatasetError, match=r"cannot be read|lacks a token"):
        read_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(DatasetError, match="cannot be read"):
        read_tokenizer(tmp_path)
