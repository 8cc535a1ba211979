"""The prose: docstrings that begin with one fact, and an example for every function of the public interface."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("store", "trainable", "orchestrator", "analysis")
FILES = sorted(
    path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if path.parent.name != "notebooks"
)
QUESTION = re.compile(r"(What|Which|Where|Whether|How|When|Who)\b")


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def first_lines(path: Path) -> list[tuple[int, str]]:
    """Line numbers and first lines of a file's docstrings, those below constants and attributes included."""
    return [
        (text.lineno, text.value.strip().split("\n")[0])
        for scope in ast.walk(tree_of(path))
        if isinstance(scope, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        for statement in scope.body
        if isinstance(statement, ast.Expr)
        for text in [statement.value]
        if isinstance(text, ast.Constant) and isinstance(text.value, str)
    ]


def file_of(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def public_names(package: str) -> list[str]:
    for node in tree_of(file_of(package)).body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"]:
            return [str(name) for name in ast.literal_eval(node.value)]
    return []


def definition(module: str, name: str) -> ast.stmt:
    """The statement that defines a name, in the module itself or in the one that it is imported from.

    Names that a package exports lazily stand in its ``if TYPE_CHECKING``.
    """
    tree = tree_of(file_of(module))
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if getattr(node, "name", None) == name or name in [getattr(target, "id", None) for target in targets]:
            return node
    for node in ast.walk(tree):
        for alias in node.names if isinstance(node, ast.ImportFrom) else ():
            if name == (alias.asname or alias.name) and node.module:
                return definition(node.module, alias.name)
    raise AssertionError(f"{module} exports {name}, which it neither defines nor imports")


def test_names_are_found_where_they_are_defined() -> None:
    assert {"train", "register_method"} <= set(public_names("trainable"))
    assert isinstance(definition("trainable", "train"), ast.FunctionDef)
    assert isinstance(definition("analysis", "InputError"), ast.ClassDef)


@pytest.mark.parametrize("package", PACKAGES)
def test_docstrings_begin_with_one_fact(package: str) -> None:
    lines = [
        (f"{path.relative_to(ROOT)}:{number}", line)
        for path in FILES
        if path.relative_to(ROOT).parts[0] == package
        for number, line in first_lines(path)
    ]
    assert len(lines) > 100
    assert [entry for entry in lines if QUESTION.match(entry[1])] == []
    assert [entry for entry in lines if ";" in entry[1]] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_function_has_an_example(package: str) -> None:
    functions = {
        name: node
        for name in public_names(package)
        if isinstance(node := definition(package, name), (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    assert [name for name, node in functions.items() if ">>>" not in (ast.get_docstring(node) or "")] == []
