import pytest
from tests.lm_eval import twins


@pytest.fixture(scope="session", params=[twins.gpt2, twins.llama], ids=["gpt2", "llama"])
def pair(request, tmp_path_factory):
    return request.param(tmp_path_factory.mktemp(request.param.__name__))


@pytest.fixture(scope="session")
def plain(tmp_path_factory):
    """The first of them, where one is enough."""
    return twins.gpt2(tmp_path_factory.mktemp("plain"))
