"""Plug-ins of installed packages are found by their entry points."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from store.errors import InputError
from tests.plugin_files import METHOD
from trainable import registry
from trainable.methods.base import METHODS, get_method, list_methods
from trainable.registry import Origin

Install = Callable[[str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a package of one module, with an entry point, into a folder on the path."""
    site, names = tmp_path / "site", []
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def work(name: str, text: str) -> None:
        names.append(name)
        (site / f"{name}.py").write_text(text)
        metadata = site / f"{name}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[lnl_sweep.plugins]\ntheirs = {name}\n")
        registry._entry_points.cache_clear()

    yield work
    for name in names:
        METHODS.forget(name)
        registry._IMPORTED.discard(("theirs", name))
    registry._entry_points.cache_clear()


def test_an_installed_package_is_found_by_list_and_by_name(install: Install) -> None:
    assert "own_erm" not in list_methods()
    install("lab_of_a_test", METHOD)
    assert "own_erm" in list_methods() and get_method("own_erm").long_name == "Own ERM"
    assert METHODS.origin("own_erm") == Origin("entry point", "theirs")
    assert METHODS.module("own_erm") == "lab_of_a_test"


def test_a_broken_one_is_named_with_its_package(install: Install) -> None:
    install("broken_lab", "import no_such_module\n")
    for _ in range(2):
        with pytest.raises(InputError, match=r"theirs of the installed package broken_lab .* mend or uninstall it"):
            list_methods()


def test_a_sweep_that_uses_one_names_its_module(install: Install) -> None:
    from orchestrator.config.own_code import settled
    from orchestrator.config.sweep_file import parse_config

    install("named_lab", METHOD)
    text = "{dataset: {name: coloured_digits, bias: {color_variance: 0.02}}, methods: [erm, own_erm]}"
    (plugin,) = settled(parse_config(text), Path("/")).plugins
    assert not isinstance(plugin, str) and (plugin.name, plugin.kind) == ("named_lab", "module")
