"""What a backend says of itself, and which options it has."""

import pytest
from tests.worker import vendors

from bytemlperf.backends import seam
from bytemlperf.errors import BackendUnavailableError, SpecError
from bytemlperf.spec import Format
from bytemlperf.worker import BackendDescription, OptionField


@pytest.fixture
def told():
    return seam.describe(vendors.Doubling())


def test_what_the_seam_tells_is_read(told):
    described = BackendDescription.read(told)
    assert described.name == "doubling"
    assert described.formats == (Format.ONNX,)
    assert described.tried_on == ("cpu",)
    assert OptionField(name="after", type="int", default=0) in described.options
    assert OptionField(name="names", type="tuple[str, ...]", default=()) in described.options
    assert "batch_size" not in {option.name for option in described.options}


@pytest.mark.parametrize(
    ("field", "value", "where"),
    [
        ("name", 3, r"\$\.name"),
        ("formats", ["onxn"], "did you mean 'onnx'"),
        ("formats", "onnx", r"\$\.formats"),
        ("dynamic_batch", "yes", r"\$\.dynamic_batch"),
        ("devices", [{"id": "cpu"}], r"\$\.devices\[0\]\.name"),
        ("version", None, r"\$\.version"),
        ("unknown", 1, r"\$\.unknown"),
    ],
)
def test_a_backend_whose_facts_are_none_is_unavailable(told, field, value, where):
    with pytest.raises(BackendUnavailableError, match=where):
        BackendDescription.read({**told, field: value})


def test_a_backend_without_a_name_is_unavailable(told):
    del told["name"]
    with pytest.raises(BackendUnavailableError, match=r"missing key \(at \$\.name\)"):
        BackendDescription.read(told)


def test_a_format_may_be_of_one_batch_size_where_others_take_all(told):
    described = BackendDescription.read({**told, "dynamic_batch": True, "fixed_batch_formats": ["stablehlo"]})
    assert described.takes_every_batch(Format.ONNX)
    assert not described.takes_every_batch(Format.STABLEHLO)
    assert described.takes_every_batch(None)
    assert not BackendDescription.read({**told, "dynamic_batch": False}).takes_every_batch(Format.ONNX)


def test_known_options_pass(told):
    BackendDescription.read(told).check_options({"after": 3, "in_compile": "hang"})


def test_an_unknown_option_is_named_with_what_comes_near(told):
    with pytest.raises(SpecError, match="did you mean 'after'") as caught:
        BackendDescription.read(told).check_options({"aftr": 3})
    assert caught.value.where == "$.options.aftr"


def test_an_option_of_a_backend_without_any_is_refused():
    with pytest.raises(SpecError, match="expected one of: none"):
        BackendDescription(name="plain").check_options({"threads": 2})
