"""Plug-ins of a sweep's directory: written once, read back on any machine, and run only where that is allowed."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from store.errors import DamagedFile, InputError
from store.folder import Folder, LocalFolder
from tests.plugin_files import METHOD, forgotten
from trainable.methods.base import METHODS
from trainable.plugins import Plugin, load_plugins, loaded_plugins, read_plugin
from trainable.plugins.stored import (
    Reference,
    check_not_here,
    load_stored,
    note_run,
    read_stored,
    store_plugins,
)


@pytest.fixture
def plugin(lab: Path) -> Plugin:
    (lab / "debias.py").write_text(METHOD)
    return read_plugin("debias.py", lab)


@pytest.fixture
def out(tmp_path: Path, plugin: Plugin) -> Folder:
    folder = LocalFolder(tmp_path / "out")
    store_plugins(folder, [plugin])
    return folder


def test_each_content_is_written_once(out: Folder, plugin: Plugin, lab: Path) -> None:
    name = f"debias-{plugin.sha256[:8]}.py"
    before = out.child("plugins").modified(name)
    store_plugins(out, [plugin, read_plugin("yaml", lab)])
    assert out.child("plugins").modified(name) == before
    (lab / "debias.py").write_text(METHOD + "# changed\n")
    store_plugins(out, [read_plugin("debias.py", lab)])
    assert len(out.child("plugins").names()) == 2 and name in out.child("plugins").names()


def test_a_package_comes_back_as_it_was(tmp_path: Path, lab: Path) -> None:
    (lab / "__init__.py").write_text("from .method import own_erm\n")
    (lab / "method.py").write_text(METHOD)
    package, folder = read_plugin("lab", lab.parent), LocalFolder(tmp_path / "out")
    store_plugins(folder, [package])
    assert read_stored(folder, Reference.of(package)) == package


def test_one_that_is_missing_or_damaged(out: Folder, plugin: Plugin) -> None:
    (name,) = out.child("plugins").names()
    out.child("plugins").write(name, b"other")
    with pytest.raises(DamagedFile, match="plug-in debias is damaged"):
        read_stored(out, Reference.of(plugin))
    out.child("plugins").remove(name)
    with pytest.raises(InputError, match=f"{name} is missing"):
        read_stored(out, Reference.of(plugin))


def test_one_of_somebody_else_does_not_run(out: Folder, plugin: Plugin, lab: Path) -> None:
    (lab / "debias.py").unlink()
    with pytest.raises(InputError, match=rf"debias-{plugin.short}.py: look at what it does.*--trust-plugins"):
        load_stored(out, [Reference.of(plugin)], trust=False)
    # Nor is what happens to lie where it came from.
    (lab / "debias.py").write_text("raise AssertionError('it ran')\n")
    with pytest.raises(InputError, match="--trust-plugins"):
        load_stored(out, [Reference.of(plugin)], trust=False, own=True)
    assert loaded_plugins() == [] and METHODS.find("own_erm") is None


def test_one_runs_where_its_origin_has_the_same_content(out: Folder, plugin: Plugin) -> None:
    assert load_stored(out, [Reference.of(plugin)], trust=False) == [plugin]
    assert METHODS.find("own_erm")


def test_an_origin_that_belongs_to_another_user_does_not_count(
    out: Folder, plugin: Plugin, lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a shared disk whoever wrote the directory may also have written the file it names."""
    if os.getuid() == 0:
        os.chown(lab / "debias.py", 65534, -1)
    else:
        another = os.getuid() + 1
        monkeypatch.setattr(os, "getuid", lambda: another)
    with pytest.raises(InputError, match=r"its origin has the same content and is yours, .*--trust-plugins"):
        load_stored(out, [Reference.of(plugin)], trust=False)


def test_one_that_was_run_or_trusted_before_runs_again(out: Folder, plugin: Plugin, lab: Path) -> None:
    (lab / "debias.py").unlink()
    load_stored(out, [Reference.of(plugin)], trust=True)
    with forgotten():
        assert load_stored(out, [Reference.of(plugin)], trust=False) == [plugin]


def test_what_was_run_is_noted_for_this_user_alone(plugin: Plugin, tmp_path: Path) -> None:
    note_run([plugin])
    (noted,) = (tmp_path / "home" / ".config" / "lnl-sweep" / "plugins").iterdir()
    assert noted.name == plugin.sha256 and noted.read_text() == f"{plugin.origin}\n"
    assert noted.stat().st_mode & 0o077 == 0 and noted.parent.stat().st_mode & 0o077 == 0


def test_a_home_folder_that_cannot_be_written_remembers_nothing(
    plugin: Plugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    note_run([plugin])


def test_a_changed_file_goes_first_only_where_the_stored_one_may_run(out: Folder, plugin: Plugin, lab: Path) -> None:
    note_run([plugin])
    (lab / "debias.py").write_text(METHOD + "# changed\n")
    changed = read_plugin("debias.py", lab)
    assert load_stored(out, [Reference.of(plugin)], trust=False) == [plugin]
    assert load_stored(out, [Reference.of(plugin)], trust=False, own=True) == [changed]


@pytest.mark.parametrize(
    "change", [{"name": "../../x"}, {"name": "a/b"}, {"kind": "link"}, {"sha256": "0" * 63}, {"sha256": ".." * 32}]
)
def test_a_reference_leads_nowhere_else(plugin: Plugin, change: dict[str, str]) -> None:
    with pytest.raises(InputError, match="a plug-in of a sweep has a name"):
        dataclasses.replace(Reference.of(plugin), **change)  # type: ignore[arg-type]


def test_a_module_must_be_the_same_wherever_a_sweep_trains() -> None:
    module = read_plugin("yaml.constructor", Path())
    load_plugins([module])
    with pytest.raises(InputError, match=r"module yaml.constructor must be the same .* install the same version"):
        load_plugins([dataclasses.replace(module, sha256="0" * 64)])


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a module, where Python looks first; it leaves a mark when it is imported."""
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Net: ...\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    return tmp_path / "ran"


def test_a_module_in_the_current_folder_does_not_run_because_a_directory_names_it(out: Folder, planted: Path) -> None:
    reference = Reference("evil", "module", "0" * 64, str(planted.with_name("evil.py")))
    with pytest.raises(InputError, match=r"must be installed to run here, but evil is .*evil.py in the current folder"):
        load_stored(out, [reference], trust=False)
    assert not planted.exists()
    check_not_here(["torch.nn", "yaml", "no_such_module"])
