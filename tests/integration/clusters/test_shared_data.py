"""Prepared data in an object store: put there by one machine, copied by every node for itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from store.folder import Folder
from store.open import folder_at
from tests.integration.planted import files, holding
from tests.integration.s3_server import BUCKET, KEY, READ_KEY, READ_SECRET, SECRET, Server, lnl_sweep, seaweed
from tests.integration.support import NODE, driver, own_cluster, rows
from tests.trainable.figshare_files import all_files, folds_file, write_folder
from trainable.data.arrays.folder import checksum, load_arrays

pytestmark = pytest.mark.slow

SLICES = 60
PLACE = f"s3://{BUCKET}/sweeps/data"
TRIAL = (
    *("train", "brain_mri", "--rho", 1, "--epochs", 1, "--network", "small_cnn", "--set", "dataset.image_size=32"),
    *("--set", "training.batch_size=16"),
)
SWEEP = """
name: mri
dataset: {name: brain_mri, image_size: 32, bias: {rho: [0, 1]}}
network: {name: small_cnn}
methods: [erm]
search: {trials: 3, sampler: qmc, early_stopping: off}
confirm: {seeds: 1}
training: {epochs: 1, batch_size: 16}
"""
TRIALS = 2 * (3 + 1)


@pytest.fixture(scope="module")
def store(short_tmp: Path) -> Iterator[Server]:
    with seaweed(short_tmp / "weed-data") as server:
        yield server


def command(node: Path, server: Server, *words: object, **changes: str) -> tuple[int, str]:
    """Run ``lnl-sweep WORDS`` on a node, which is a cache of its own."""
    return lnl_sweep(server, *words, OMP_NUM_THREADS="1", LNL_SWEEP_CACHE=str(node), **changes)


@pytest.fixture(scope="module")
def shared(store: Server, short_tmp: Path) -> str:
    """The address of a data set that one machine has prepared and put into the store; its checksum."""
    source = write_folder(short_tmp / "mri-files", all_files(SLICES, tuple(range(3, SLICES + 1))), folds_file(SLICES))
    laptop = short_tmp / "laptop"
    code, text = command(laptop, store, "data", "prepare", "brain_mri", "--from", source, "--to", PLACE)
    assert code == 0 and f"LNL_SWEEP_DATA='{PLACE}'" in text, text
    found = load_arrays(laptop / "brain_mri")
    assert found is not None
    return found[1]


@pytest.fixture
def folder(store: Server, shared: str, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """What lies in the store."""
    for name, value in store.variables.items():
        monkeypatch.setenv(name, value)
    return folder_at(PLACE).child("brain_mri")


def has_it(node: Path, expected: str) -> bool:
    found = load_arrays(node / "brain_mri")
    return found is not None and found[1] == expected == checksum(found[0])


def test_what_lies_there_is_what_was_prepared(folder: Folder, short_tmp: Path) -> None:
    local = short_tmp / "laptop" / "brain_mri"
    assert folder.names() == sorted(path.name for path in local.iterdir())
    for name in folder.names():
        assert folder.read(name) == b"".join(folder.pieces(name)) == (local / name).read_bytes()


def test_another_node_trains_on_it(store: Server, shared: str, tmp_path: Path) -> None:
    node = tmp_path / "node"
    code, text = command(node, store, *TRIAL)
    assert code == 2 and "brain_mri is not prepared" in text and text.count("\n") == 1, text
    code, text = command(node, store, *TRIAL, LNL_SWEEP_DATA=PLACE)
    assert code == 0 and "test_accuracy" in text, text
    assert has_it(node, shared)
    # Once it is there, the store is not needed.
    code, text = command(node, store, *TRIAL, LNL_SWEEP_DATA=PLACE, AWS_ENDPOINT_URL="http://127.0.0.1:9")
    assert code == 0, text


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"LNL_SWEEP_DATA": f"s3://{BUCKET}/sweeps/dat"}, "there is no brain_mri in it"),
        ({"LNL_SWEEP_DATA": "s3://no-such-bucket/data"}, "no-such-bucket"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "check the address"),
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "check the credentials"),
    ],
    ids=["prefix", "bucket", "server", "secret"],
)
def test_a_wrong_place_is_refused_in_one_sentence(
    changes: dict[str, str], named: str, store: Server, shared: str, tmp_path: Path
) -> None:
    (tmp_path / "mri.yaml").write_text(SWEEP)
    for words in (TRIAL, ("run", tmp_path / "mri.yaml", "--out", tmp_path / "out")):
        code, text = command(tmp_path / "node", store, *words, **{"LNL_SWEEP_DATA": PLACE, **changes})
        assert code == 2 and text.count("\n") == 1 and named in text, text
        assert "LNL_SWEEP_DATA is '" in text
    assert not (tmp_path / "node").exists() and not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_read(
    store: Server, shared: str, short_tmp: Path
) -> None:
    words = ("data", "prepare", "brain_mri", "--from", "nowhere", "--to", PLACE)
    code, text = command(
        short_tmp / "laptop", store, *words, AWS_ACCESS_KEY_ID=READ_KEY, AWS_SECRET_ACCESS_KEY=READ_SECRET
    )
    assert code == 2 and text.count("\n") == 1 and "cannot write to" in text, text


def test_damage_is_refused_and_mended_from_the_cache(
    store: Server, shared: str, folder: Folder, short_tmp: Path, tmp_path: Path
) -> None:
    data = bytearray(folder.read("grey.npy"))
    data[len(data) // 2] ^= 1
    folder.write("grey.npy", bytes(data))
    code, text = command(tmp_path / "node", store, *TRIAL, LNL_SWEEP_DATA=PLACE)
    assert code == 2 and text.count("\n") == 1 and "its arrays differ from the checksum" in text, text
    assert [path.name for path in (tmp_path / "node").iterdir()] == [".brain_mri.lock"]
    code, text = command(short_tmp / "laptop", store, "data", "prepare", "brain_mri", "--to", PLACE)
    assert code == 0, text
    code, text = command(tmp_path / "node", store, *TRIAL, LNL_SWEEP_DATA=PLACE)
    assert code == 0 and has_it(tmp_path / "node", shared), text


def test_a_node_that_joins_late_copies_for_itself(
    store: Server, shared: str, short_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The nodes know nothing of the store: what they need comes from the driver. The first is taken away."""
    (short_tmp / "mri.yaml").write_text(SWEEP)
    caches = {name: short_tmp / f"cache-{name}" for name in ("driver", "first", "late")}
    out = short_tmp / "mri-out"
    for name in (*store.variables, "LNL_SWEEP_DATA"):
        monkeypatch.delenv(name, raising=False)

    def add(cluster: Any, name: str) -> Any:
        monkeypatch.setenv("LNL_SWEEP_CACHE", str(caches[name]))
        return cluster.add_node(**NODE)

    with own_cluster(short_tmp / "d", {**NODE, "num_cpus": 0}, []) as cluster:
        first = add(cluster, "first")
        # Long enough for the first node to go before the sweep is over.
        longer = ("--set", "training.epochs=10")
        words = ("run", short_tmp / "mri.yaml", *longer, "--out", out, "--address", cluster.address, "--slots", 2)
        (short_tmp / "mri-tmp").mkdir()
        variables = {
            **(store.variables | {"LNL_SWEEP_DATA": PLACE, "LNL_SWEEP_CACHE": str(caches["driver"])}),
            "TMPDIR": str(short_tmp / "mri-tmp"),
        }
        with driver(short_tmp, out, *words, variables=variables) as running:
            running.wait_for(lambda: has_it(caches["first"], shared), "the first node's copy")
            cluster.remove_node(first)
            assert len(rows(out)) < TRIALS
            running.wait_for(lambda: "waiting for a node that can run them" in running.text(), "what it waits for")
            add(cluster, "late")
            running.wait_for(lambda: has_it(caches["late"], shared), "the late node's copy")
            assert running.wait(600) == 0, running.text()
    assert has_it(caches["driver"], shared)
    # The workers had the secret, and no file of theirs, of the driver or of Ray has it.
    places = [short_tmp / "d", short_tmp / "mri-tmp", out, running.log, *caches.values()]
    assert "runtime_env_agent.log" in {path.name for path in files(places)}
    assert holding(places, [KEY, SECRET]) == []
    found = rows(out)
    assert len(found) == TRIALS and {row["status"] for row in found.values()} == {"completed"}
