"""The lock file is of this project as it is; its licence is named where tools look for it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]


def read(name: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / name).read_text(encoding="utf-8"))


def test_the_lock_file_is_made_of_what_the_project_requires() -> None:
    project, lock = read("pyproject.toml")["project"], read("uv.lock")
    (ours,) = (package for package in lock["package"] if package["name"] == project["name"])
    optional = project["optional-dependencies"]
    wanted = {
        (need.name.lower(), frozenset(need.extras), need.specifier, extra)
        for extra, texts in {"": project["dependencies"], **optional}.items()
        for need in map(Requirement, texts)
    }
    locked = {
        (
            entry["name"],
            frozenset(entry.get("extras", ())),
            SpecifierSet(entry.get("specifier", "")),
            entry.get("marker", "").removeprefix("extra == '").removesuffix("'"),
        )
        for entry in ours["metadata"]["requires-dist"]
    }
    # Not so? Then `uv lock`.
    assert locked == wanted
    assert lock["requires-python"] == project["requires-python"]
    assert set(ours["metadata"]["provides-extras"]) == set(optional)


def test_everything_comes_from_the_package_index() -> None:
    for package in read("uv.lock")["package"]:
        for file in [*package.get("wheels", ()), *filter(None, [package.get("sdist")])]:
            assert file["url"].startswith("https://files.pythonhosted.org/"), file
            assert file["hash"].startswith("sha256:")


def test_licence_and_citation() -> None:
    project = read("pyproject.toml")["project"]
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert project["license"] == "Apache-2.0 AND MIT"
    # Of each bundle that ships, its own licence lies beside it.
    vendor = ROOT / "analysis" / "report" / "vendor"
    bundles = {path.name.partition(".")[0] for path in vendor.iterdir()}
    assert bundles == {path.stem for pattern in project["license-files"][1:] for path in ROOT.glob(pattern)}
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == project["version"] and citation["license"] == "Apache-2.0"
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in project["authors"]]
