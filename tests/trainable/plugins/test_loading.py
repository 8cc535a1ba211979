"""Plug-ins are imported from memory: by name, among each other, once for each content."""

from __future__ import annotations

import inspect
import pickle
import sys
import traceback
from pathlib import Path

import pytest

from store.errors import InputError
from tests.plugin_files import DATASET, METHOD, NETWORK
from trainable.data.base import DATASETS, load_dataset
from trainable.methods.base import METHODS, get_method
from trainable.networks.base import NETWORKS
from trainable.plugins import Plugin, load_object, load_plugins, loaded_plugins, read_plugin
from trainable.registry import Origin
from trainable.trial.provenance import dataset_checksum, method_checksum, network_checksum


def loaded(lab: Path, **files: str) -> list[Plugin]:
    """Write and load plug-ins; returns them."""
    for name, text in files.items():
        (lab / f"{name}.py").write_text(text)
    plugins = [read_plugin(f"{name}.py", lab) for name in files]
    load_plugins(plugins)
    return plugins


def test_what_a_plugin_registers_is_found_and_knows_where_it_came_from(lab: Path) -> None:
    loaded(lab, debias=METHOD, nets=NETWORK, digits=DATASET)
    assert METHODS.origin("own_erm") == Origin("file", str(lab / "debias.py"))
    assert NETWORKS.files("own_net") == ("weights",) and DATASETS.files("own_digits") == ("file",)
    (lab / "side.txt").write_text("14")
    assert load_dataset("own_digits", file=str(lab / "side.txt")).image_size == 14


def test_the_source_is_that_which_was_loaded_although_its_file_is_gone(lab: Path) -> None:
    loaded(lab, debias=METHOD)
    before = method_checksum(get_method("own_erm"))
    (lab / "debias.py").write_text("something else\n")
    assert method_checksum(get_method("own_erm")) == before
    (lab / "debias.py").unlink()
    assert method_checksum(get_method("own_erm")) == before
    assert "def own_erm(nets, batch" in inspect.getsource(get_method("own_erm").step)


def test_a_traceback_shows_file_line_and_text(lab: Path) -> None:
    loaded(lab, broken="def fail():\n    return 1 / 0  # here\n")
    (lab / "broken.py").unlink()
    try:
        load_object("broken.py:fail")()
    except ZeroDivisionError:
        text = traceback.format_exc()
    assert f'"{lab}/broken.py", line 2' in text and "# here" in text


def test_objects_are_pickled_by_their_name(lab: Path) -> None:
    loaded(lab, things="class Thing:\n    pass\n")
    thing = load_object("things.py:Thing")()
    assert type(pickle.loads(pickle.dumps(thing))) is type(thing)


def test_plugins_import_each_other_in_any_order_and_a_package_its_own_modules(lab: Path) -> None:
    (lab / "kit" / "deep").mkdir(parents=True)
    (lab / "kit" / "__init__.py").write_text("from .deep.blocks import SIDE\n")
    (lab / "kit" / "deep" / "__init__.py").touch()
    (lab / "kit" / "deep" / "blocks.py").write_text("from ..sizes import SIDE\n")
    (lab / "kit" / "sizes.py").write_text("SIDE = 7\n")
    (lab / "first.py").write_text("from second import TWO\nfrom kit import SIDE\n")
    (lab / "second.py").write_text("TWO = 2\n")
    load_plugins([read_plugin(entry, lab) for entry in ("first.py", "kit", "second.py")])
    assert (load_object("first.py:TWO"), load_object("first.py:SIDE"), load_object("kit.deep.blocks:SIDE")) == (2, 7, 7)


def test_a_copy_of_the_file_on_the_path_is_not_taken_for_it(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (lab / "elsewhere").mkdir()
    (lab / "elsewhere" / "xray.py").write_text("SIDE = 1\n")
    monkeypatch.syspath_prepend(str(lab / "elsewhere"))
    loaded(lab, xray="SIDE = 2\n", reader="import xray\nSIDE = xray.SIDE\n")
    assert load_object("reader.py:SIDE") == 2


def test_one_that_is_loaded_is_not_run_again(lab: Path) -> None:
    (plugin,) = loaded(lab, xray="import itertools\nNUMBERS = []\n")
    load_object("xray.py:NUMBERS").append(1)
    load_plugins([plugin, read_plugin("xray.py", lab)])
    assert load_object("xray.py:NUMBERS") == [1] and loaded_plugins() == [plugin]


def test_other_content_replaces_what_was_registered(lab: Path) -> None:
    loaded(lab, debias=METHOD, digits=DATASET)
    (lab / "side.txt").write_text("14")
    first = load_dataset("own_digits", file=str(lab / "side.txt"))
    loaded(lab, debias=METHOD.replace("own_erm", "renamed"), digits=DATASET + "# changed\n")
    assert METHODS.find("own_erm") is None and get_method("renamed").long_name == "Own ERM"
    assert load_dataset("own_digits", file=str(lab / "side.txt")) is not first


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1\n\ny = (\n", r"bad.py:3 cannot be imported \(SyntaxError"),
        ("x = 1\ny = 1 / 0\n", r"bad.py:2 cannot be imported \(ZeroDivisionError: division by zero\): mend it"),
        ("import no_such_package.inner\n", r"bad.py:1 cannot be imported .*: install no_such_package"),
        ("import helper\n", r"bad.py:1 cannot be imported .*: add helper.py, which lies beside it, to plugins"),
        ("import sys\nsys.exit(3)\n", r"bad.py:2 cannot be imported \(SystemExit: 3\)"),
        (METHOD.replace("own_erm", "erm"), r"bad.py:9: method 'erm' is registered twice"),
        (DATASET.replace('("file",)', '("fil",)'), r"bad.py:9: unknown option that .*'own_digits' declares 'fil'"),
        (METHOD.replace('long_name="Own ERM"', 'needs={"labels"}, long_name=""'), "bad.py:9: unknown need"),
    ],
)
def test_a_plugin_that_cannot_be_imported(lab: Path, text: str, words: str) -> None:
    (lab / "helper.py").write_text("raise AssertionError\n")
    with pytest.raises(InputError, match=words) as refused:
        loaded(lab, whole=NETWORK, bad=text)
    assert "\n" not in str(refused.value)
    # None of them is loaded by half, and a mended one is.
    assert loaded_plugins() == [] and NETWORKS.find("own_net") is None and "bad" not in sys.modules
    loaded(lab, whole=NETWORK, bad=METHOD)
    assert METHODS.find("own_erm") and NETWORKS.find("own_net")


def test_names_that_clash(lab: Path) -> None:
    (lab / "one").mkdir()
    (lab / "one" / "xray.py").write_text("SIDE = 1\n")
    (lab / "xray.py").write_text("SIDE = 2\n")
    plugins = [read_plugin(entry, lab) for entry in ("one/xray.py", "xray.py")]
    with pytest.raises(InputError, match=r"one/xray.py and .*/xray.py are both xray: rename one"):
        load_plugins(plugins)
    # That of a module which a program has imported from elsewhere.
    with pytest.raises(InputError, match=r"name of a module that is imported, conftest_of_a_test"):
        sys.modules["conftest_of_a_test"] = sys.modules[__name__]
        try:
            loaded(lab, conftest_of_a_test="")
        finally:
            del sys.modules["conftest_of_a_test"]


def test_a_module_that_was_imported_before_becomes_the_plugin(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (lab / "before.py").write_text(METHOD)
    monkeypatch.syspath_prepend(str(lab))
    import before  # type: ignore[import-not-found]

    loaded(lab, before=METHOD)
    assert sys.modules["before"] is not before and METHODS.origin("own_erm").kind == "file"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nets.py", "FILE.py:NAME or MODULE:NAME"),
        ("nets.py:", "FILE.py:NAME or MODULE:NAME"),
        (":XNet", "FILE.py:NAME or MODULE:NAME"),
        ("other.py:XNet", r"other.py is none of the sweep \(nets.py\): add it to plugins"),
        ("nets.py:own", "unknown name in nets.py 'own': did you mean 'own_net'"),
        ("no_such_module:XNet", "there is no module no_such_module"),
        ("os:system", "part of Python itself"),
        ("subprocess:run", "part of Python itself"),
    ],
)
def test_an_object_that_is_not_there(lab: Path, text: str, words: str) -> None:
    loaded(lab, nets=NETWORK)
    with pytest.raises(InputError, match=words):
        load_object(text)


def test_checksums_follow_what_a_plugin_imports(lab: Path) -> None:
    def checksums(nets: str = NETWORK, helper: str = "K = 1\n") -> tuple[str, str]:
        loaded(lab, helper=helper, nets="import helper\n" + nets, debias=METHOD)
        return network_checksum("own_net"), method_checksum(get_method("own_erm"))

    network, method = checksums()
    assert checksums() == (network, method)
    assert checksums(nets=NETWORK.replace("ReLU", "GELU")) != (network, method)
    # What it imports of another plug-in is part of it, and what it does not is none.
    changed = checksums(helper="K = 2\n")
    assert changed[0] != network and changed[1] == method


def test_a_checksum_holds_the_code_that_an_option_names(lab: Path) -> None:
    text = DATASET.replace('files=("file",)', 'code=("paint",)').replace("file: str", "paint: str")
    loaded(lab, digits=text, painter="def draw(): ...\n")
    before = dataset_checksum("own_digits", {"paint": "painter.py:draw"})
    loaded(lab, painter="def draw(): return 1\n")
    assert dataset_checksum("own_digits", {"paint": "painter.py:draw"}) != before
