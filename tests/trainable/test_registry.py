"""The registry that methods, data sets and networks share."""

from __future__ import annotations

from pathlib import Path

import pytest

from store.errors import InputError
from trainable.data.base import DATASETS
from trainable.methods.base import METHODS
from trainable.networks.base import NETWORKS
from trainable.registry import Origin, Registry, coming_from


@pytest.fixture
def shapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry[str]:
    """A registry whose package has two modules, one of them slow, and a package within."""
    package = tmp_path / "shapes_of_a_test"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text("from trainable.registry import Registry\n")
    (package / "deep" / "__init__.py").touch()
    text = "from tests_registry_holder import shapes\n@shapes.register({!r}, lambda f: f())\ndef make(): return {!r}\n"
    (package / "round.py").write_text(text.format("circle", "round"))
    (package / "deep" / "flat.py").write_text(text.format("square", "flat"))
    (package / "slow.py").write_text("raise AssertionError('imported')\n")
    (tmp_path / "tests_registry_holder.py").write_text(
        "from trainable.registry import Registry\n"
        "shapes = Registry('shape', 'shapes_of_a_test', late=('shapes_of_a_test.slow',))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import tests_registry_holder  # type: ignore[import-not-found]

    found: Registry[str] = tests_registry_holder.shapes
    return found


def test_the_package_is_imported_when_a_name_is_asked_for(shapes: Registry[str]) -> None:
    assert shapes.entries == {}
    assert shapes.get("circle") == "round" and shapes.find("sphere") is None
    assert shapes.names() == ["circle", "square"]
    assert shapes.origin("square") == Origin("module", "shapes_of_a_test.deep.flat")
    with pytest.raises(InputError, match="unknown shape 'circel': did you mean 'circle'"):
        shapes.get("circel")


def test_an_entry_knows_where_it_came_from() -> None:
    letters: Registry[int] = Registry("letter", "json")
    with coming_from(Origin("file", "/home/me/alpha.py")):
        letters.register("alpha", id)(test_an_entry_knows_where_it_came_from)
    letters.register("beta", id)(test_an_entry_knows_where_it_came_from)
    assert letters.origin("alpha") == Origin("file", "/home/me/alpha.py")
    assert letters.origin("beta") == Origin("module", __name__)


def test_a_name_is_taken_by_one_function() -> None:
    def first() -> None: ...

    def second() -> None: ...

    letters: Registry[str] = Registry("letter", "json")
    letters.register("alpha", lambda f: f.__name__)(first)
    letters.register("alpha", lambda f: f.__name__)(first)
    with pytest.raises(InputError, match="letter 'alpha' is registered twice: choose another name"):
        letters.register("alpha", lambda f: f.__name__)(second)
    assert letters.get("alpha") == "first"
    # Two of one name in a file: one of them would silently count for both.
    with coming_from(Origin("file", "/home/me/alpha.py")):
        letters.register("alpha", lambda f: f.__name__)(first)
        with pytest.raises(InputError, match="letter 'alpha' is registered twice"):
            letters.register("alpha", lambda f: f.__name__)(first)
    # In a notebook a cell that was changed replaces what it registered.
    first.__module__ = second.__module__ = "__main__"
    letters.register("beta", lambda f: f.__name__)(first)
    letters.register("beta", lambda f: f.__name__)(second)
    assert letters.get("beta") == "second"


@pytest.mark.parametrize("name", ["", " ", "two\nlines", 3, None])
def test_a_name_is_a_text(name: str) -> None:
    with pytest.raises(InputError, match="a letter is registered by its name, a text of one line, but got"):
        Registry("letter", "json").register(name, id)


def test_ours_come_from_their_modules() -> None:
    assert METHODS.origin("grl") == Origin("module", "trainable.methods.grl")
    assert DATASETS.origin("brain_mri") == Origin("module", "trainable.data.brain.mri")
    assert NETWORKS.origin("small_cnn") == Origin("module", "trainable.networks.small_cnn")
