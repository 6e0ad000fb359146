import pytest

from bytemlperf.errors import SpecError
from bytemlperf.workload.foreign import Document


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read as JSON"),
        (b"{", "cannot be read as JSON"),
        (b"\xff\xfe{}", "cannot be read as JSON"),
        (b"[1, 2]", r"wrong type \(at file.json: \$\)"),
        (b"null", r"wrong type \(at file.json: \$\)"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "a key comes twice.*'c'"),
        (b'{"a": [0, NaN]}', r"file.json: \$\.a\[1\]"),
        (b'{"a": {"b": 1e999}}', r"file.json: \$\.a\.b"),
        (b'{"a": "\\ud800"}', r"half a character \(at file.json: \$\.a\)"),
        (b'{"a": ' + b"9" * 5000 + b"}", "cannot be read as JSON"),
        (b"[" * 200_000, "cannot be read as JSON"),
    ],
)
def test_a_file_that_is_no_json_object_is_refused_by_name(tmp_path, content, message):
    file = tmp_path / "file.json"
    file.write_bytes(content)
    with pytest.raises(SpecError, match=message):
        Document.load(file)


def test_a_file_that_is_missing_is_refused_by_name(tmp_path):
    with pytest.raises(SpecError, match=r"nowhere\.json.*FileNotFoundError"):
        Document.load(tmp_path / "nowhere.json")


def test_a_byte_order_mark_does_no_harm(tmp_path):
    file = tmp_path / "file.json"
    file.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert Document.load(str(file)).fields == {"a": 1}


def test_a_document_is_not_changed_by_its_source_later():
    source = {"a": {"b": [1]}}
    document = Document.load(source)
    source["a"]["b"].append(2)
    assert document.fields == {"a": {"b": [1]}}


def test_data_of_a_program_is_checked_as_a_file_is():
    with pytest.raises(SpecError, match=r"not JSON data \(at \$\.a\[0\]\)"):
        Document.load({"a": [object()]})
    with pytest.raises(SpecError, match="a key is no text"):
        Document.load({"a": {1: 2}})
    circle = {}
    circle["a"] = circle
    with pytest.raises(SpecError, match="nested too deeply"):
        Document.load(circle)
