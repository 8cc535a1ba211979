"""Tables of one's own images on two nodes that share no disk: what a node lacks, and images in an object store."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from store.open import folder_at
from tests.integration.clusters.apart import NAME, two_disks
from tests.integration.meeting import meeting
from tests.integration.s3_server import BUCKET, Server, seaweed
from tests.integration.support import KEYS, differences, driver, results, rows
from tests.table_files import ALIGNED, COLUMNS, row_of, write_pngs, xray

pytestmark = pytest.mark.slow

N = 150
SWEEP = {
    "name": "xray",
    "dataset": {
        "name": "table",
        "columns": COLUMNS,
        "aligned": ALIGNED,
        "image_size": 32,
        "bias": {"rho": [0.5, 1]},
    },
    "network": {"name": "small_cnn"},
    "methods": ["erm"],
    "search": {"trials": 5, "sampler": "qmc", "early_stopping": "off"},
    "confirm": {"seeds": 2},
    "training": {"epochs": 25, "batch_size": 16},
    "limits": {"checkpoint_seconds": 0},
}
PLANNED = 2 * (5 + 2)


def study(folder: Path, file: object) -> Path:
    """A sweep file about a table, in a folder that is made where there is none."""
    folder.mkdir(exist_ok=True)
    dataset = {**SWEEP["dataset"], "file": str(file)}  # type: ignore[dict-item]
    (folder / "sweep.yaml").write_text(yaml.safe_dump({**SWEEP, "dataset": dataset}))
    return folder / "sweep.yaml"


@pytest.fixture(scope="module")
def mine(short_tmp: Path) -> dict[str, str]:
    """Environment of a user, whose decoded images lie in the home folder."""
    (short_tmp / "tables-home").mkdir()
    return {"HOME": str(short_tmp / "tables-home"), "RAY_AUTH_MODE": "disabled"}


@pytest.fixture(scope="module")
def store(short_tmp: Path) -> Iterator[Server]:
    with seaweed(short_tmp / "weed-tables") as server:
        yield server


@pytest.fixture
def reached(store: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Environment in which this process, and the drivers that it starts, reach the store; the nodes do not have it."""
    for name, value in store.variables.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def images(short_tmp: Path) -> Path:
    """A folder of images, and the table beside them, that one node sees."""
    return write_pngs(short_tmp / "tables-images", N).parent


@pytest.fixture(scope="module")
def tables(short_tmp: Path, images: Path) -> dict[str, Path]:
    """A table for each thing that the second node may lack."""
    shared, both = short_tmp / "seen", short_tmp / "both"
    for folder in (shared, both, short_tmp / "there"):
        folder.mkdir()
        shutil.copy(images / "labels.csv", folder)
    shutil.copytree(images / "images", both / "images")
    # Elsewhere somebody has mended an image.
    shutil.copytree(images / "images", short_tmp / "there" / "images")
    Image.fromarray(xray(N, *row_of(0)[:2])).save(short_tmp / "there" / "images" / "0000.png")
    table = shared / "labels.csv"
    table.write_text(table.read_text().replace("images/", f"{images}/images/"))
    return {"table": images / "labels.csv", "images": table, "others": both / "labels.csv"}


@pytest.fixture(scope="module")
def nodes(short_tmp: Path, tables: dict[str, Path], store: Server) -> Iterator[Any]:
    seen = {short_tmp / "seen": short_tmp / "seen", short_tmp / "both": short_tmp / "there"}
    with two_disks(short_tmp / "two-t", seen) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def whole(short_tmp: Path, images: Path, mine: dict[str, str]) -> Path:
    """The sweep on one machine, to which nothing happened."""
    out = short_tmp / "tables-whole"
    words = ("run", study(short_tmp / "tables-study", images / "labels.csv"), "--out", out)
    with driver(short_tmp, out, *words, variables=mine) as running:
        assert running.wait() == 0, running.text()
    return out


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("table", f"node {NAME} has no file under {{table}}: copy that of the driver there"),
        (
            "images",
            f"node {NAME} cannot get the data: every image of labels.csv must be a file, but {N} of",
        ),
        ("others", f"the same images of table, but those on node {NAME} have the checksum "),
    ],
    ids=["table", "images", "others"],
)
def test_what_a_node_lacks_ends_the_sweep_in_one_sentence(
    what: str,
    reason: str,
    short_tmp: Path,
    tables: dict[str, Path],
    nodes: Any,
    reached: None,
    mine: dict[str, str],
    whole: Path,
) -> None:
    out = f"s3://{BUCKET}/lacking-{what}"
    words = ("run", study(short_tmp / f"lacking-{what}", tables[what]), "--out", out, "--address", nodes.address)
    both = (socket.gethostname(), NAME)
    with meeting(*both) as port, driver(short_tmp, out, *words, variables=mine, meeting=port) as running:
        assert running.wait() == 2, running.text()
        said = running.text().splitlines()[-1]
    assert reason.format(table=tables[what]) in said, said

    # What the other node has done counts, and the rest is done where the images are.
    before = results(out, "trials")
    assert {row["status"] for row in before.values()} <= {"completed"}
    with driver(short_tmp, out, "resume", out, variables=mine) as resumed:
        assert resumed.wait() == 0, resumed.text()
    assert len(rows(out)) == PLANNED and {row["node"] for row in rows(out).values()} == {socket.gethostname()}
    assert not differences(before, results(out, "trials"))
    assert_same_numbers(out, whole)


def assert_same_numbers(one: Path | str, other: Path | str) -> None:
    """All columns agree but the digest of the table, which names its images by their paths in each."""
    for table in KEYS:
        first, second = results(one, table), results(other, table)
        assert first.keys() == second.keys() and first
        assert {name for _, name, _, _ in differences(first, second)} <= {"files_checksum"}, table


def test_images_in_an_object_store_reach_every_node(
    short_tmp: Path, images: Path, nodes: Any, reached: None, mine: dict[str, str], whole: Path
) -> None:
    bucket = folder_at(f"s3://{BUCKET}/set")
    for path in sorted((images / "images").iterdir()):
        bucket.child("images").write(path.name, path.read_bytes())
    bucket.write("labels.csv", (images / "labels.csv").read_bytes())

    out, sweep = f"s3://{BUCKET}/seeing", study(short_tmp / "seeing", f"s3://{BUCKET}/set/labels.csv")
    words, both = ("run", sweep, "--out", out, "--address", nodes.address), {socket.gethostname(), NAME}
    with meeting(*both) as port, driver(short_tmp, out, *words, variables=mine, meeting=port) as running:
        assert running.wait() == 0, running.text()
    found = rows(out)
    assert len(found) == PLANNED and {row["node"] for row in found.values()} == both
    assert_same_numbers(out, whole)
