from importlib.metadata import PackageNotFoundError

import attrs

from bytemlperf.environment.packages import installed, plugin_distributions


@attrs.frozen
class Fake:
    version: str
    requires: list[str] | None = None


def shelf(**distributions):
    def find(name):
        if name not in distributions:
            raise PackageNotFoundError(name)
        return distributions[name]

    return find


def test_requirements_are_followed_to_the_end():
    find = shelf(a=Fake("1", ["b>=2", "missing"]), b=Fake("2", ["c[x]~=3 ; python_version > '3'"]), c=Fake("3"))
    assert installed(["a"], find=find) == {"a": "1", "b": "2", "c": "3"}


def test_circles_end():
    assert installed(["a"], find=shelf(a=Fake("1", ["b"]), b=Fake("2", ["a"]))) == {"a": "1", "b": "2"}


def test_extras_of_a_root_count_and_those_of_its_requirements_do_not():
    find = shelf(
        a=Fake("1", ["b", "runtime; extra == 'openvino'", "tool; extra == 'dev'"]),
        b=Fake("2", ['other; extra == "gpu"']),
        runtime=Fake("3"),
        tool=Fake("4"),
        other=Fake("5"),
    )
    assert installed(["a"], find=find) == {"a": "1", "b": "2", "runtime": "3"}


def test_names_are_compared_as_indexes_do():
    find = shelf(**{"typing-extensions": Fake("4")})
    assert installed(["Typing_Extensions", "typing.extensions"], find=find) == {"typing-extensions": "4"}


def test_a_root_that_is_not_installed_is_left_out():
    assert installed(["nowhere"], find=shelf()) == {}


def test_our_own_distribution_declares_plugins():
    assert "bytemlperf" in plugin_distributions()
