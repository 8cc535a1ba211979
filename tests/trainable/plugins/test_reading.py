"""Plug-ins as they are read, and files that are refused as such."""

from __future__ import annotations

import os
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from store.errors import DamagedFile, InputError
from trainable.plugins import Plugin, read_plugin
from trainable.plugins.plugin import LARGEST_BYTES, digest_of


def test_a_file(lab: Path) -> None:
    (lab / "xray.py").write_text("SIDE = 224\n")
    plugin = read_plugin("xray.py", lab)
    assert (plugin.name, plugin.kind, plugin.content) == ("xray", "file", b"SIDE = 224\n")
    assert plugin.origin == str(lab / "xray.py") and plugin.stored_name == f"xray-{plugin.sha256[:8]}.py"
    assert read_plugin("../lab/xray.py", lab).sha256 == read_plugin(str(lab / "xray.py"), Path("/")).sha256


def test_a_path_in_the_home_folder(lab: Path, tmp_path: Path) -> None:
    (tmp_path / "home" / "xray.py").touch()
    assert read_plugin("~/xray.py", lab).origin == str(tmp_path / "home" / "xray.py")


def test_a_package_is_all_its_python_files_and_nothing_else(lab: Path) -> None:
    for path in ("__init__.py", "nets.py", "deep/__init__.py", "deep/blocks.py", "__pycache__/nets.py", ".git/hook.py"):
        (lab / path).parent.mkdir(exist_ok=True)
        (lab / path).write_text(f"PATH = '{path}'\n")
    (lab / "weights.pt").write_bytes(b"none of it")
    plugin = read_plugin("lab", lab.parent)
    assert (plugin.name, plugin.kind) == ("lab", "package")
    assert sorted(plugin.sources()) == ["__init__.py", "deep/__init__.py", "deep/blocks.py", "nets.py"]
    plugin.check()
    assert plugin.stored_name == f"lab-{plugin.sha256[:8]}.zip"
    os.utime(lab / "nets.py", (0, 0))
    again = read_plugin(f"{lab}/", Path())
    assert (again.content, again.sha256, again.name) == (plugin.content, plugin.sha256, "lab")
    (lab / "nets.py").rename(lab / "other.py")
    assert read_plugin("lab", lab.parent).sha256 != plugin.sha256


def test_an_installed_module_does_not_travel() -> None:
    plugin = read_plugin("yaml.constructor", Path())
    assert (plugin.kind, plugin.name, plugin.content, plugin.stored_name) == ("module", "yaml.constructor", b"", None)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("missing.py", "there is no plug-in"),
        ("notes.csv", "a file NAME.py"),
        ("missing", "no module of that name is installed"),
        ("missing.inner", "no module of that name is installed"),
        ("lab/__init__.py", r"part of a package, but got .*: name .*/lab$"),
        ("empty/", "has no __init__.py"),
        ("nowhere/", "is not there"),
        ("x-ray.py", "rename it"),
        ("random.py", "name of a module that is installed, random"),
        ("torch.py", "name of a module that is installed, torch"),
        ("trainable.py", "name of a module that is installed, trainable"),
        ("trainable", "there is no trainable"),
        ("", "a .py file, a folder or a module's name"),
    ],
)
def test_what_is_no_plugin(lab: Path, entry: str, words: str) -> None:
    (lab / "empty").mkdir()
    (lab / "lab").mkdir()
    (lab / "lab" / "__init__.py").touch()
    for name in ("notes.csv", "x-ray.py", "random.py", "torch.py", "trainable.py"):
        (lab / name).touch()
    with pytest.raises(InputError, match=words):
        read_plugin(entry, lab)


def test_one_that_is_too_large(lab: Path) -> None:
    (lab / "large.py").write_bytes(b"#" * (LARGEST_BYTES + 1))
    with pytest.raises(InputError, match="may have 8 MiB"):
        read_plugin("large.py", lab)


def test_content_that_is_not_that_of_the_checksum() -> None:
    whole = Plugin.of_sources("lab", "package", {"__init__.py": b"", "nets.py": b"X = 1"}, "/lab")
    other = Plugin.of_sources("lab", "package", {"__init__.py": b"", "nets.py": b"X = 2"}, "/lab")
    for content in (other.content, b"no zip file", b""):
        with pytest.raises(DamagedFile, match="plug-in lab is damaged"):
            Plugin("lab", "package", content, whole.sha256, "/lab").check()


def test_a_package_that_unpacks_to_more_than_a_plugin_may_have() -> None:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("__init__.py", b"#" * (LARGEST_BYTES + 1))
    assert len(buffer.getvalue()) < 100_000
    with pytest.raises(DamagedFile, match="larger than"):
        Plugin("lab", "package", buffer.getvalue(), digest_of("package", {}), "/lab").sources()
