"""The examples in docstrings and in the documentation are run."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainable.data.base import DATASETS
from trainable.methods.base import METHODS
from trainable.networks.base import NETWORKS
from trainable.trial.machine.process_state import kept

ROOT = Path(__file__).parents[1]
PACKAGES = ("store", "trainable", "orchestrator", "analysis")
WITH_EXAMPLES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
    if path.parent.name != "notebooks" and ">>>" in path.read_text(encoding="utf-8")
}
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def undisturbed(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each module's examples run in a folder of their own, and leave process and registries as they were."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LNL_SWEEP_CACHE", str(cache))
    for registry in (DATASETS, METHODS, NETWORKS):
        # What the package's own modules register comes with their first import, and would not come again.
        registry.import_all()
        monkeypatch.setattr(registry, "entries", dict(registry.entries))
    with kept():
        yield


def written(tree: ast.Module, module: str) -> set[str]:
    """Names of all docstrings with an example, as doctest writes them."""
    names: set[str] = set()

    def visit(node: ast.AST, name: str) -> None:
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            if ">>>" in (ast.get_docstring(node) or ""):
                names.add(name)
            for child in node.body:
                visit(child, f"{name}.{getattr(child, 'name', '')}")

    visit(tree, module)
    return names


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_of(module: str) -> None:
    loaded = importlib.import_module(module)
    found = {test.name for test in doctest.DocTestFinder(exclude_empty=True).find(loaded) if test.examples}
    assert found == written(ast.parse(WITH_EXAMPLES[module].read_text(encoding="utf-8")), module)
    assert doctest.testmod(loaded, optionflags=doctest.ELLIPSIS).failed == 0


def test_examples_of_the_documentation() -> None:
    for page in PAGES:
        # The fence behind an example would count as what it prints.
        text = re.sub(r"^\s*```.*$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
        examples = doctest.DocTestParser().get_doctest(text, {}, page.name, str(page), 0)
        assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(examples).failed == 0
