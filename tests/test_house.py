"""The house: which package and room may import which, sizes of folders, and nothing heavy loaded too early."""

from __future__ import annotations

import ast
import functools
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from store.columns import TABLES, arrow_schema
from trainable.spec import TrialSpec
from trainable.trial.outcome import spec_row

ROOT = Path(__file__).parents[1]
PACKAGES = ("store", "trainable", "orchestrator", "analysis")
FILES = sorted(
    path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if path.parent.name != "notebooks"
)
LARGEST_FOLDER = 13
"""Python files in a folder, ``__init__.py`` not counted."""
HEAVY = ("torch", "ray", "pandas", "optuna", "plotly", "scipy", "torchvision")


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules(package: str) -> list[str]:
    return [module_of(path) for path in FILES if path.relative_to(ROOT).parts[0] == package]


def loaded_by(*statements: str) -> set[str]:
    """Top-level packages in ``sys.modules`` of a fresh interpreter after these statements."""
    code = "\n".join(
        [*statements, "import json, sys", "print(json.dumps(sorted({n.split('.')[0] for n in sys.modules})))"]
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(json.loads(done.stdout.splitlines()[-1]))


@functools.cache
def imports_of(path: Path, everywhere: bool = True) -> set[str]:
    """Modules that a file imports; ``everywhere`` also inside functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = ast.walk(tree) if everywhere else iter(tree.body)
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def belongs(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def test_there_are_files_to_check() -> None:
    assert len(FILES) > 30


def test_importing_analysis_loads_neither_ray_nor_torch() -> None:
    assert not loaded_by("import analysis") & {"ray", "torch", "pandas", "plotly"}


def test_no_module_of_analysis_loads_ray_or_torch() -> None:
    loaded = loaded_by(*(f"import {name}" for name in modules("analysis")))
    assert "pandas" in loaded and not loaded & {"ray", "torch"}


def test_store_loads_only_pyarrow() -> None:
    loaded = loaded_by(*(f"import {name}" for name in modules("store")))
    assert "pyarrow" in loaded and not loaded & set(HEAVY)


def test_only_tune_trainable_loads_ray() -> None:
    others = [name for name in modules("trainable") if name != "trainable.tune_trainable"]
    loaded = loaded_by(*(f"import {name}" for name in others))
    assert "torch" in loaded and "ray" not in loaded


def test_only_tune_trainable_and_its_counterparts_name_ray() -> None:
    naming = {module_of(path) for path in FILES if any(belongs(name, "ray") for name in imports_of(path))}
    cluster = ("nodes", "gpu_packing", "loggers", "session", "tuning", "ray_private", "own_ray", "same_code", "address")
    rooms = {f"orchestrator.cluster.{name}" for name in cluster}
    assert naming == {"trainable.tune_trainable", "orchestrator.sweep"} | rooms


@pytest.mark.parametrize(
    ("package", "others"),
    [
        ("store", ("trainable", "orchestrator", "analysis", "pandas", "numpy", "torch", "ray")),
        ("trainable", ("orchestrator", "analysis")),
        ("analysis", ("orchestrator", "trainable")),
    ],
)
def test_arrows_point_one_way(package: str, others: tuple[str, ...]) -> None:
    wrong = {
        (module_of(path), name)
        for path in FILES
        if path.relative_to(ROOT).parts[0] == package
        for name in imports_of(path)
        if any(belongs(name, other) for other in others)
    }
    assert not wrong


def test_the_search_and_the_budget_know_neither_ray_nor_files() -> None:
    pure = [path for path in FILES if module_of(path).startswith(("orchestrator.search.", "orchestrator.budget"))]
    pure.append(ROOT / "orchestrator" / "cluster" / "capacity.py")
    others = ("ray", "pathlib", "os", "store.folder", "store.open", "orchestrator.directory", "orchestrator.process")
    wrong = {(module_of(path), name) for path in pure for name in imports_of(path) for o in others if belongs(name, o)}
    assert len(pure) > 6 and not wrong


def test_a_function_of_the_orchestrator_has_at_most_six_parameters() -> None:
    longer = {}
    for path in FILES:
        if path.relative_to(ROOT).parts[0] == "orchestrator":
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef):
                    given = [arg.arg for arg in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
                    if len(set(given) - {"self", "cls"}) > 6:
                        longer[f"{module_of(path)}.{node.name}"] = given
    assert longer == {}


def folders_of(package: str) -> list[Path]:
    return sorted({path.parent for path in FILES if path.relative_to(ROOT).parts[0] == package})


def arrows_within(folder: Path) -> dict[str, set[str]]:
    """Imports between the rooms and files that lie in a folder, those within functions included."""
    base = ".".join(folder.relative_to(ROOT).parts)
    known = {module_of(path) for path in FILES}
    arrows: dict[str, set[str]] = {}

    def member(module: str) -> str:
        return module.removeprefix(f"{base}.").partition(".")[0]

    for path in FILES:
        importer = module_of(path)
        # The package's own names are found when they are asked for.
        if importer.startswith(f"{base}."):
            targets = {member(name) for name in imports_of(path) & known if name.startswith(f"{base}.")}
            arrows.setdefault(member(importer), set()).update(targets - {member(importer)})
    return arrows


def reached(start: str, arrows: dict[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        new = arrows.get(waiting.pop(), set()) - seen
        seen |= new
        waiting += new
    return seen


@pytest.mark.parametrize("package", PACKAGES)
def test_there_is_no_circle_of_rooms(package: str) -> None:
    circles = [
        (str(folder.relative_to(ROOT)), room)
        for folder in folders_of(package)
        for arrows in [arrows_within(folder)]
        for room in arrows
        if (folder / room).is_dir() and room in reached(room, arrows)
    ]
    assert not circles


def without_implied(arrows: dict[str, set[str]]) -> set[tuple[str, str]]:
    """The arrows that no other way leads along; there must be no circle."""
    return {
        (start, end)
        for start, ends in arrows.items()
        for end in ends
        if all(end not in reached(other, arrows) for other in ends - {end})
    }


def drawn() -> tuple[dict[str, set[tuple[str, str]]], dict[str, set[str]]]:
    """Arrows and rooms of the picture in docs/architecture.md, by package; arrows between packages under ""."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    lines = text.split("```mermaid\n", 1)[1].split("```", 1)[0].splitlines()
    arrows: dict[str, set[tuple[str, str]]] = {"": set()}
    rooms: dict[str, set[str]] = {"": set()}
    package = ""
    for line in map(str.strip, lines[1:]):
        if line.startswith("subgraph "):
            package = line.split()[1]
            arrows[package], rooms[package] = set(), set()
        elif line == "end":
            package = ""
        else:
            rooms[package] |= set(line.split(" --> "))
            if " --> " in line:
                start, end = line.split(" --> ")
                arrows[package].add((start, end))
    return arrows, rooms


@pytest.mark.parametrize("package", PACKAGES)
def test_the_picture_of_the_architecture_shows_the_rooms(package: str) -> None:
    everything = arrows_within(ROOT / package)
    rooms = {room for room in everything if (ROOT / package / room).is_dir()}
    arrows = without_implied({room: everything[room] & rooms for room in rooms})
    drawn_arrows, drawn_rooms = drawn()
    assert drawn_arrows[package] == arrows
    assert drawn_rooms[package] == rooms


def test_the_picture_of_the_architecture_shows_the_packages() -> None:
    arrows = {
        package: {
            other
            for path in FILES
            if path.relative_to(ROOT).parts[0] == package
            for name in imports_of(path)
            for other in PACKAGES
            if belongs(name, other) and other != package
        }
        for package in PACKAGES
    }
    drawn_arrows, _ = drawn()
    assert drawn_arrows[""] == without_implied(arrows)


def test_the_files_that_the_architecture_names_are_there() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w-]+(?:/[\w.-]*)+|[\w-]+\.(?:py|yaml))`", text)) - {"sweep.yaml"}
    assert len(named) > 40 and {name for name in named if not (ROOT / name).exists()} == set()


@pytest.mark.parametrize("top", [*PACKAGES, "tests", "benchmarks", "tools"])
def test_no_folder_has_too_many_files(top: str) -> None:
    files = [path for path in (ROOT / top).rglob("*.py") if path.name != "__init__.py"]
    sizes = Counter(str(path.parent.relative_to(ROOT)) for path in files)
    assert sizes and {folder: size for folder, size in sizes.items() if size > LARGEST_FOLDER} == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_tests_lie_in_the_rooms_of_what_they_test(package: str) -> None:
    tests = ROOT / "tests" / package
    files = [path.relative_to(tests).parent for path in tests.rglob("test_*.py")]
    assert files and {str(folder) for folder in files if not (ROOT / package / folder).is_dir()} == set()


def test_the_driver_imports_nothing_of_analysis_at_module_level() -> None:
    wrong = {
        (module_of(path), name)
        for path in FILES
        if path.relative_to(ROOT).parts[0] == "orchestrator"
        for name in imports_of(path, everywhere=False)
        if belongs(name, "analysis")
    }
    assert not wrong


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["run", "--help"]])
def test_help_and_version_load_nothing_heavy(words: list[str]) -> None:
    loaded = loaded_by(
        "import contextlib, io",
        "from orchestrator.cli import main",
        "out = io.StringIO()",
        "with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):",
        f"    main({words!r})",
        "assert 'lnl-sweep' in out.getvalue()",
    )
    assert not loaded & {*HEAVY, "pyarrow", "pydantic", "numpy"}


def test_the_sweep_file_is_read_without_torch_and_ray() -> None:
    assert not loaded_by("from orchestrator import SweepConfig, read_config") & set(HEAVY)


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_every_module_says_what_it_is(path: Path) -> None:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert text and text.splitlines()[0].rstrip().endswith((".", ":", "?"))


@pytest.mark.parametrize("table", sorted(TABLES))
def test_every_column_has_a_sentence(table: str) -> None:
    assert all(sentence.strip() for _, sentence in TABLES[table].values())


def one_epoch(phase: str) -> tuple[dict[str, object], list[dict[str, object]], dict[str, object] | None]:
    from trainable import train

    run = train("coloured_digits", method="lnl", color_variance=0.1, epochs=1, batch_size=256, phase=phase)
    return run.row, run.history, run.predictions


def test_everything_a_trial_writes_is_in_the_schema() -> None:
    row, history, predictions = one_epoch("confirm")
    assert predictions is not None
    for table, names in (("trials", row), ("history", history[0]), ("predictions", predictions)):
        arrow_schema(table, names)  # raises on a column that the table does not have


def test_a_search_trial_has_no_test_columns() -> None:
    row, history, predictions = one_epoch("search")
    values = {**row, **history[0]}
    seen = {name for name, value in values.items() if name.startswith("test_") and value is not None}
    assert predictions is None and not seen and row.get("n_test") is None


def test_the_row_of_a_trial_that_could_not_be_built_is_in_the_schema() -> None:
    spec = TrialSpec(
        dataset="d", bias={"rho": 1.0, "gamma": 0.5}, method="m", hyperparameters={"lr": 1.0}, network="n", seed=0,
        phase="search", trial_id="t",
    )  # fmt: skip
    row = spec_row(spec, "failed", "why")
    assert set(arrow_schema("trials", row).names) >= set(row)
    assert (row["bias_rho"], row["bias_gamma"], row["lr"], row["error"]) == (1.0, 0.5, 1.0, "why")
