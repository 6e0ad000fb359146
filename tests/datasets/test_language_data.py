from __future__ import annotations

import numpy as np
import pytest
from tests.published_layouts import choices, language_model
from tests.published_layouts import text as make_text

from bytemlperf.datasets.multiple_choice import ChoiceOptions, MultipleChoiceQuestions
from bytemlperf.datasets.multiple_choice_prompts import PROMPT
from bytemlperf.datasets.text import Text, TextOptions
from bytemlperf.datasets.token_inputs import TokenInputs
from bytemlperf.datasets.tokenizing import read_tokenizer
from bytemlperf.errors import DatasetError, DatasetUnavailableError, SpecError


@pytest.fixture(name="to", scope="module")
def _to():
    return TokenInputs.of(language_model(size=10_000), dataset="text")


@pytest.mark.parametrize("count", [2, 48, 49, 50, 97, 200])
@pytest.mark.parametrize("stride", [None, 1, 20, 47])
def test_every_token_but_the_first_is_scored_once_from_what_is_before_it(to, count, stride):
    tokens = np.arange(1000, 1000 + count, dtype=np.int32)
    loader = Text(tokens, to=to, stride=stride)
    ids, labels = loader.load(range(len(loader)))["input_ids"], loader.labels(range(len(loader)))
    assert ids.shape == labels.shape == (len(loader), 48)
    scored = labels >= 0
    assert sorted(labels[scored].tolist()) == tokens[1:].tolist()
    assert (labels[scored] == ids[scored] + 1).all()
    if stride is not None and len(loader) > 1:
        assert scored[1:, : 48 - stride].sum() == 0


def test_a_text_is_read_and_cut(tmp_path, rng):
    published = make_text(tmp_path / "text", rng)
    loader = Text.open(published.spec, TextOptions(**published.options))
    tokenizer = read_tokenizer(tmp_path / "text")
    text = (tmp_path / "text" / "wiki.test.txt").read_text(encoding="utf-8")
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert loader.load([1])["input_ids"][0].tolist() == ids[48:96]
    assert (loader.labels(range(len(loader))) >= 0).sum() == len(ids) - 1
    begun = Text.open(published.spec, TextOptions(**published.options, begin="<|endoftext|>"))
    first = begun.load([0])["input_ids"][0].tolist()
    assert first == [tokenizer.token_to_id("<|endoftext|>"), *ids[:47]]
    kept = Text.open(published.spec, TextOptions(**published.options, held_out=2))
    assert (len(kept), len(kept.calibration())) == (len(loader) - 2, 2)
    assert len({loader.fingerprint(), begun.fingerprint(), kept.fingerprint()}) == 3
    (tmp_path / "text" / "another.txt").write_text("before it ", encoding="utf-8")
    both = Text.open(published.spec, TextOptions(**published.options))
    assert both.load([0])["input_ids"][0].tolist() == tokenizer.encode("before it " + text).ids[:48]


def test_what_is_no_text_is_refused(tmp_path, rng, to):
    published = make_text(tmp_path / "text", rng)
    path = tmp_path / "text" / "wiki.test.txt"
    path.write_bytes(b"word \xff word")
    with pytest.raises(DatasetError, match="no UTF-8 text") as caught:
        Text.open(published.spec, TextOptions(**published.options))
    assert caught.value.where == f"{path}, byte 5"
    path.write_text(" \n")
    with pytest.raises(DatasetError, match="there is no text"):
        Text.open(published.spec, TextOptions(**published.options))
    with pytest.raises(DatasetUnavailableError, match="are missing"):
        Text.open(published.spec, TextOptions(path=str(tmp_path / "none")))
    with pytest.raises(DatasetError, match="no token to predict"):
        Text(np.array([1], np.int32), to=to)
    with pytest.raises(SpecError, match="leave tokens out"):
        Text(np.arange(9, dtype=np.int32), to=to, stride=49)


@pytest.fixture(name="published")
def _published(tmp_path, rng):
    return choices(tmp_path / "data", rng, count=6)


@pytest.fixture(name="file")
def _file(published, tmp_path):
    return tmp_path / "data" / "val" / "history_val.csv"


def opened(published, **options):
    return MultipleChoiceQuestions.open(published.spec, ChoiceOptions(**{**published.options, **options}))


def test_a_question_becomes_a_prompt_and_its_letters_tokens(published, tmp_path):
    loader = opened(published)
    tokenizer = read_tokenizer(tmp_path / "data")
    label = loader.labels([2])[0]
    ids = loader.load([2])["input_ids"][0]
    text = PROMPT.format(question="what, 2?", A="a", B="b", C="c", D="d", answer="Answer")
    assert ids[: label["position"] + 1].tolist() == tokenizer.encode(text).ids
    assert (ids[label["position"] + 1 :] == 0).all()
    assert [tokenizer.decode([token]) for token in label["choices"].tolist()] == [" A", " B", " C", " D"]
    assert label["answer"] == 2 * 7 % 4
    assert loader.ids([0, 1]) == ("history_val/2", "history_val/3")
    assert opened(published, begin="<|endoftext|>").labels([2])[0]["position"] == label["position"] + 1


def test_mmlus_layout_has_no_head(published, file, tmp_path):
    dev = tmp_path / "data" / "dev"
    dev.mkdir()
    file.write_text('"what, 0?",a,b,c,d,A\n"two\nlines?",a,b,c,d,D\n')
    (dev / "history_dev.csv").write_text("other?,a,b,c,d,B\n")
    loader = opened(published)
    assert (len(loader), loader.labels([0, 1])["answer"].tolist()) == (2, [0, 3])
    assert loader.ids([1, 2]) == ("history_val/2", "calibration/history_dev/1")
    assert list(loader.calibration()) == [2]


def test_the_originals_52_questions_have_no_labels(published, file):
    file.write_text("id,question,A,B,C,D\n0,who?,a,b,c,d\n1,what?,a,b,c,d\n")
    loader = opened(published)
    assert (len(loader), loader.labels([0])) == (2, None)
    assert loader.load([0, 1])["input_ids"].shape == (2, 48)


BROKEN = {
    "5 columns, not 7": ("0,who?,a,b,c", 3),
    "C missing or empty": ("0,who?,a,b,,d,A", 3),
    "its answer is 'E'": ("0,who?,a,b,c,d,E", 3),
    "some questions have no answer": ("0,who?,a,b,c,d,", None),
    "no CSV": ('0,"who?,a,b,c,d,A', None),
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_record_that_cannot_be_used_is_named_or_counted(published, file, message):
    record, line = BROKEN[message]
    file.write_text(f"id,question,A,B,C,D,answer\n9,why?,a,b,c,d,B\n{record}\n")
    with pytest.raises(DatasetError, match=message) as caught:
        opened(published)
    if line is not None:
        assert caught.value.where == f"{file}:{line}"
        loader = opened(published, skip_unusable=True)
        assert (len(loader), len(loader.skipped)) == (1, 1)


def test_a_question_that_is_too_long_is_named_or_counted(published, file):
    file.write_text(f"id,question,A,B,C,D,answer\n0,{'why ' * 60},a,b,c,d,A\n1,who?,a,b,c,d,B\n")
    with pytest.raises(DatasetError, match="too long") as caught:
        opened(published)
    assert caught.value.where == "history_val/2"
    loader = opened(published, skip_unusable=True)
    assert (loader.ids([0]), len(loader.skipped)) == (("history_val/3",), 1)
    file.write_text("id,question,A,B,C,D,answer\n")
    with pytest.raises(DatasetError, match="there is no question"):
        opened(published)
