"""Every command and snippet of README and docs, run from an installed wheel in an empty folder."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from orchestrator.config.sweep_file import validate
from tests.idx_files import write_idx
from tests.integration.pages.page import PAGES, SHELLS, Block, blocks, commands
from tests.integration.s3_server import moto
from tests.integration.test_install import ROOT, Installed, build, installed
from tests.published_files import write_celeba, write_chexpert, write_waterbirds
from tests.table_files import write_pngs
from tests.trainable.figshare_files import all_files, folds_file, write_zips, zipped

pytestmark = pytest.mark.slow

ELSEWHERE = {
    r"make \w+": "needs a checkout: .ci/run calls it",
    r"\$EDITOR ": "is done by hand",
    r".* SWEEP\.yaml": "names a file in the place of the reader's",
    r"source |uv |pip install |.*-m pip install": "makes an environment: tests/integration/test_install.py",
    r"(ray (up|down|dashboard|exec|attach|job|rsync|status|start|stop|cluster-dump)|export RAY_)": (
        "needs a cluster: tests/integration/clusters"
    ),
    r"(\w+=\$\()?(kubectl|helm|gcloud|aws|sbatch|srun|squeue|ssh|scp) ": "needs a cluster: tests/integration/clusters",
    r".*--address": "needs a cluster: tests/integration/clusters",
    r".*--download": "needs a network: tests/trainable/data/brain/figshare",
    r".*jupyter": "is a program of its own: tests/analysis/test_notebooks.py runs the notebooks",
    r"R(script)? |duckdb": "is a program of its own",
}
"""Commands that no empty folder on one machine can run, and why."""
ONLY = "--only"
SHORT = ("training.epochs=1", "search.trials=1", "search.repeats=1", "confirm.seeds=1", "search.early_stopping=off")
"""Size to which a sweep of the pages is cut down."""
SLICES = 96
"""Slices of 24 patients in the archive that the pages prepare."""
IMAGES = 240
"""Images of 80 patients that the pages bring along with their ``labels.csv``."""
_SUBMITTED = re.compile(r"ray job submit .*?-- (?:bash -c ')?(.*? && )?(lnl-sweep [^']*)'?$")


def elsewhere(command: str) -> bool:
    """True for a command of which another test is."""
    return any(re.match(pattern, command) for pattern in ELSEWHERE)


def shortened(command: str, folder: Path) -> str:
    """A sweep of two bias values, one epoch, one candidate and one seed in place of a long one."""
    words = command.split()
    if words[:2] == ["lnl-sweep", "resume"]:
        return command.replace("confirm.seeds=8", "confirm.seeds=2")
    if words[:2] != ["lnl-sweep", "run"] or {"--dry-run", "--smoke"} & set(words):
        return command
    changes = list(SHORT)
    name = next((word for word in words[2:] if word.endswith(".yaml")), "")
    shipped = f"sweeps/{words[2]}.yaml" if words[2:] else ""
    if not name and shipped and (ROOT / shipped).is_file():
        name = shipped
    axis, values = bias_axis((folder if (folder / name).is_file() else ROOT) / name) if name else ("", [])
    if (folder / name).is_file():
        changes += [f"dataset.bias.{axis}=[{values[0]},{values[-1]}]"] * bool(axis)
    elif name:
        # A sweep of the package: one cell of it, and a large network on small images.
        changes += ["network.image_size=64"] * ("mri" in name or "seed" in name)
        words += [ONLY, f"method=erm,{axis}={values[-1]}"]
        if "atlas" in name:
            # One of its methods searches the length of a stage.
            changes.remove("training.epochs=1")
    for change in changes:
        if change.partition("=")[0] not in command:
            words += ["--set", change]
    return " ".join([*words, "--cpus", "2"])


def bias_axis(path: Path) -> tuple[str, list[float]]:
    """First bias parameter of a sweep file, and its values."""
    bias = yaml.safe_load(path.read_text(encoding="utf-8"))["dataset"]["bias"]
    points = bias if isinstance(bias, list) else [bias]
    axis = next(iter(points[0]))
    values = [value for point in points for value in (point[axis] if isinstance(point[axis], list) else [point[axis]])]
    return axis, values


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, short_tmp: Path) -> Installed:
    wheel = build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))
    return installed(short_tmp / "pages", wheel)


@pytest.fixture(scope="module")
def store() -> Iterator[Mapping[str, str]]:
    with moto("my-bucket") as server:
        yield server.variables


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The archive as figshare has it."""
    parts = tmp_path_factory.mktemp("parts")
    return zipped(write_zips(parts, all_files(SLICES, small=tuple(range(1, SLICES + 1))), folds_file(SLICES)))


@pytest.fixture(scope="module")
def cache(environment: Installed, archive: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reader's cache, in which the MRI slices are prepared."""
    folder = tmp_path_factory.mktemp("cache")
    (folder / "1512427.zip").write_bytes(archive)
    variables = {**environment.variables, "LNL_SWEEP_CACHE": str(folder)}
    words = [environment.command, "data", "prepare", "brain_mri", "--from", folder / "1512427.zip"]
    subprocess.run(list(map(str, words)), env=variables, check=True, capture_output=True)
    return folder


@pytest.fixture
def folder(archive: bytes, tmp_path: Path) -> Path:
    """An empty folder with what a reader brings along: files from elsewhere that the pages name."""
    (tmp_path / "1512427.zip").write_bytes(archive)
    write_pngs(tmp_path, IMAGES)
    write_idx(tmp_path / "mnist")
    write_waterbirds(tmp_path / "waterbird_complete95_forest2water2")
    write_celeba(tmp_path / "celeba")
    write_chexpert(tmp_path / "CheXpert-v1.0-small")
    return tmp_path


@pytest.mark.parametrize("page", PAGES)
def test_a_reader_can_follow(
    page: str, environment: Installed, store: Mapping[str, str], folder: Path, cache: Path
) -> None:
    path = f"{environment.python.parent}{os.pathsep}{environment.variables['PATH']}"
    variables = {
        **environment.variables,
        **store,
        "PATH": path,
        "PLOTLY_RENDERER": "json",
        "LNL_SWEEP_CACHE": str(cache),
    }
    reader = Reader(folder, variables)
    for block in blocks(PAGES[page].read_text(encoding="utf-8")):
        reader.follow(block, f"{page}:{block.line}")
    reader.run_python(page)


class Reader:
    """Somebody who writes the files of a page and types its commands.

    Args:
        folder: The current folder.
        variables: The environment.
    """

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self.folder = folder
        self.variables = dict(variables)
        self.python: list[str] = []
        self.only = ""

    def follow(self, block: Block, where: str) -> None:
        """Keep, type or check one block; Python is collected."""
        if block.file:
            target = self.folder / block.file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text, encoding="utf-8")
        elif block.language in SHELLS:
            for command in commands(block.text):
                self.type(command, where)
        elif block.language == "yaml":
            whole = {"dataset": {"name": "brain_phantom", "bias": {"rho": 1}}, "methods": ["erm"]}
            validate({**whole, **yaml.safe_load(block.text)}, where)
        elif block.language == "python":
            self.python.append(f"# {where}\n{block.text}")

    def type(self, command: str, where: str) -> None:
        """Type one command."""
        if (match := re.fullmatch(r"export (\w+)=(\S+)", command)) and not elsewhere(command):
            self.variables[match[1]] = match[2]
        elif command == "make demo":
            self._run(["bash", "-c", shortened("lnl-sweep run", self.folder)], f"{where}: {command}")
        else:
            # What a job does, it does without a cluster too.
            submitted = _SUBMITTED.match(command)
            typed = submitted[2] if submitted else command
            if not elsewhere(typed):
                short = shortened(typed, self.folder)
                if short.startswith("lnl-sweep resume"):
                    # Not the whole of a sweep of which one cell was run.
                    short += self.only
                elif ONLY in short:
                    self.only = f" {ONLY} {short.partition(ONLY)[2].split()[0]}"
                self._run(["bash", "-c", short], f"{where}: {command}")

    def run_python(self, page: str) -> None:
        """Run the page's Python in one process, as in a notebook."""
        if self.python:
            script = self.folder / "snippets_of_the_page.py"
            script.write_text("\n".join(self.python), encoding="utf-8")
            self._run(["python", script.name], page)

    def _run(self, words: list[str], what: str) -> None:
        done = subprocess.run(
            words, cwd=self.folder, env=self.variables, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, f"{what}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
