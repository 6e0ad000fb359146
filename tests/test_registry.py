"""Plug-ins by entry points of distributions that lie on the path: named without loading, one broken hurts no other."""

import sys
import textwrap

import pytest

from bytemlperf.errors import BackendUnavailableError, SpecError, UnknownNameError
from bytemlperf.registry import GROUPS, Registry, backends, datasets, load, metrics, models


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Lay a distribution on the path as an installer leaves it: its modules and its metadata."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def lay(name, entries, *, version="1.0", modules=()):
        info = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(textwrap.dedent(entries))
        for module, code in dict(modules).items():
            (tmp_path / f"{module}.py").write_text(code)

    yield lay
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


def chip(install, name="mychip", *, distribution="mychip-sdk", module="mychip_plugin", code="class Chip: pass", **more):
    install(
        distribution,
        f"[bytemlperf.backends]\n{name} = {module}:Chip\n",
        modules={module: code},
        **more,
    )


def test_a_third_partys_plug_in_is_named_beside_the_built_ins_and_loaded_on_demand(install):
    chip(install)
    assert {"mychip", "torch", "onnxruntime"} <= set(backends.names())
    assert "mychip_plugin" not in sys.modules
    plugin = backends.find("mychip")
    assert (plugin.name, plugin.reference, plugin.distribution) == ("mychip", "mychip_plugin:Chip", "mychip-sdk 1.0")
    assert "mychip_plugin" not in sys.modules
    assert backends.get("mychip").__name__ == "Chip"
    assert "mychip_plugin" in sys.modules


def test_names_are_sorted_and_each_is_there_once(install):
    chip(install, distribution="one", module="one_plugin")
    chip(install, distribution="two", module="two_plugin")
    assert list(backends.names()) == sorted(set(backends.names()))
    assert backends.names().count("mychip") == 1


def test_the_same_name_in_another_group_is_another_thing(install):
    install(
        "both", "[bytemlperf.backends]\nthing = both_plugin:B\n[bytemlperf.datasets]\nthing = both_plugin:D\n",
        modules={"both_plugin": "class B: pass\nclass D: pass\n"},
    )  # fmt: skip
    assert backends.get("thing").__name__ == "B"
    assert datasets.get("thing").__name__ == "D"
    assert "thing" not in metrics.names()


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("import a_missing_sdk", "ModuleNotFoundError: No module named 'a_missing_sdk'"),
        ("import ctypes; ctypes.CDLL('libchip.so.7')", "OSError: libchip.so.7"),
        ("raise RuntimeError('driver 3 is too old')", "RuntimeError: driver 3 is too old"),
        ("class Chip(", "SyntaxError"),
        ("class Other: pass", "AttributeError: module 'mychip_plugin' has no attribute 'Chip'"),
    ],
)
def test_a_broken_plug_in_is_named_with_its_distribution_and_cause(install, code, cause):
    chip(install, code=code)
    chip(install, "healthy", distribution="healthy-sdk", module="healthy_plugin")
    assert {"mychip", "healthy"} <= set(backends.names())
    with pytest.raises(BackendUnavailableError) as caught:
        backends.get("mychip")
    assert "backend 'mychip' of mychip-sdk 1.0 cannot be loaded from mychip_plugin:Chip" in str(caught.value)
    assert cause in str(caught.value)
    assert caught.value.__cause__ is not None
    assert backends.get("healthy").__name__ == "Chip"


def test_a_plug_in_that_knows_what_it_lacks_says_what_to_do(install):
    code = """
from bytemlperf.errors import BackendUnavailableError
raise BackendUnavailableError("no driver 4", remedy="install driver 4")
"""
    chip(install, code=code)
    with pytest.raises(BackendUnavailableError, match=r"got 'no driver 4'; install driver 4$"):
        backends.get("mychip")


def test_a_plug_in_that_ends_the_process_at_import_is_told_too(install):
    chip(install, code="import sys; sys.exit('no licence')")
    with pytest.raises(BackendUnavailableError, match="SystemExit: no licence"):
        backends.get("mychip")


def test_two_distributions_with_one_name_are_both_named_and_neither_is_loaded(install):
    chip(install, distribution="first-sdk", module="first_plugin")
    chip(install, distribution="second-sdk", module="second_plugin", version="2.1")
    with pytest.raises(SpecError, match="two distributions declare the backend 'mychip'") as caught:
        backends.get("mychip")
    assert "first-sdk 1.0 (first_plugin:Chip)" in str(caught.value)
    assert "second-sdk 2.1 (second_plugin:Chip)" in str(caught.value)
    assert not {"first_plugin", "second_plugin"} & set(sys.modules)


def test_two_claims_of_one_name_leave_the_others_alone(install):
    chip(install, distribution="first-sdk", module="first_plugin")
    chip(install, distribution="second-sdk", module="second_plugin")
    chip(install, "healthy", distribution="healthy-sdk", module="healthy_plugin")
    assert backends.get("healthy").__name__ == "Chip"


def test_a_distribution_that_lies_on_the_path_twice_is_one(install, tmp_path, monkeypatch):
    chip(install)
    other = tmp_path / "other"
    other.mkdir()
    (other / "mychip_sdk-1.0.dist-info").symlink_to(tmp_path / "mychip_sdk-1.0.dist-info")
    monkeypatch.syspath_prepend(str(other))
    assert backends.get("mychip").__name__ == "Chip"


def test_an_unknown_name_lists_what_is_known_and_how_to_add_one(install):
    chip(install)
    with pytest.raises(UnknownNameError) as caught:
        backends.get("mychpi")
    assert caught.value.suggestions == ("mychip",)
    assert "unknown backend 'mychpi'" in str(caught.value)
    assert "bytemlperf.backends" in str(caught.value)


def test_a_nested_object_can_be_declared(install):
    install(
        "nested-sdk",
        "[bytemlperf.backends]\nnested = nested_plugin:Outer.Inner\n",
        modules={"nested_plugin": "class Outer:\n    class Inner: pass\n"},
    )
    assert backends.get("nested").__qualname__ == "Outer.Inner"


def test_there_is_a_registry_for_each_group():
    assert tuple(each.kind for each in (backends, datasets, metrics, models)) == GROUPS
    assert [each.group for each in (backends, models)] == ["bytemlperf.backends", "bytemlperf.models"]


def test_a_group_that_nobody_has_is_empty():
    assert Registry("gadgets").names() == ()
    with pytest.raises(UnknownNameError, match="unknown gadget 'x'; expected one of: none"):
        Registry("gadgets").get("x")


@pytest.mark.parametrize("reference", ["", "module", "module:", ":name", "a.b.c"])
def test_what_is_no_reference_is_refused(reference):
    with pytest.raises(SpecError, match=r"expected 'package\.module:object'"):
        load(reference)


def test_an_object_is_loaded_by_reference():
    assert load("collections:OrderedDict.fromkeys")("ab") == {"a": None, "b": None}


@pytest.mark.parametrize("reference", ["..:x", "a..b:x", "collections:", "collections:a..b", ".relative:x"])
def test_an_odd_reference_is_told_and_not_passed_on(reference):
    with pytest.raises((SpecError, BackendUnavailableError)):
        load(reference)
