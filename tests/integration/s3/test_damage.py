"""Damage to a sweep in an object store: named by verify, never read, and mended by a resume, as on a disk."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

import analysis
from orchestrator.directory.reader import SweepDirectory
from orchestrator.directory.verify import verify
from store.errors import InputError
from store.folder import Folder
from store.open import folder_at
from tests.integration.damage import Stop
from tests.integration.faults.test_damage import run
from tests.integration.s3_server import BUCKET, Server, lnl_sweep, moto

pytestmark = pytest.mark.slow
FOLDERS = ("trials", "history", "predictions", "splits", "models", "gathered")
number = itertools.count()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with moto() as found, pytest.MonkeyPatch.context() as patch:
        for name, value in found.variables.items():
            patch.setenv(name, value)
        yield found


@pytest.fixture(scope="module")
def finished(server: Server) -> str:
    out = f"s3://{BUCKET}/finished"
    assert run(out)[0].complete and verify(out).whole
    return out


@pytest.fixture(scope="module")
def interrupted(server: Server) -> str:
    out = f"s3://{BUCKET}/interrupted"
    with pytest.raises(Stop):
        run(out, stop_after=16)
    assert verify(out).whole
    return out


def copied(address: str) -> str:
    """A copy of a sweep under a new address."""
    out = f"s3://{BUCKET}/copy{next(number)}"

    def copy(source: Folder, to: Folder) -> None:
        for name in source.names():
            to.write(name, source.read(name))
        for name in source.folders():
            copy(source.child(name), to.child(name))

    copy(folder_at(address), folder_at(out))
    return out


def flip(folder: Folder, name: str) -> None:
    data = bytearray(folder.read(name))
    data[len(data) // 2] ^= 1
    folder.write(name, bytes(data))


def values(address: str) -> dict[str, float]:
    return {row["trial_id"]: row["val_counterfactual"] for row in SweepDirectory(address).rows("trials")}


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_flipped_bit_is_named_and_mended(kind: str, finished: str, server: Server) -> None:
    out = copied(finished)
    place = folder_at(out).child(kind)
    name = place.names()[0]
    flip(place, name)
    code, said = lnl_sweep(server, "verify", out)
    assert code == 1 and f"damaged: {kind}/{name}: " in said and "Traceback" not in said, said
    result, printed = run(out)
    assert result.complete and values(out) == values(finished)
    if kind in ("trials", "history", "predictions"):
        assert f"left out {out}/{kind}/{name}" in printed
        assert name in folder_at(out).child("damaged", kind).names()
    if kind != "models":
        assert verify(out).whole


@pytest.mark.parametrize("kind", ["history", "predictions"])
def test_what_a_removed_part_held_is_trained_again(kind: str, finished: str) -> None:
    out = copied(finished)
    place = folder_at(out).child(kind)
    place.remove(place.names()[0])
    assert verify(out).lost
    result, printed = run(out)
    assert result.complete and "runs again" in printed
    assert values(out) == values(finished) and verify(out).whole


def test_an_edited_sheet_is_refused(finished: str, server: Server) -> None:
    out = copied(finished)
    folder = folder_at(out)
    folder.write("sweep.yaml", folder.read("sweep.yaml").replace(b"epochs: 2", b"epochs: 3"))
    with pytest.raises(InputError, match=r"has changed since it was written.*--set"):
        run(out)
    with pytest.raises(InputError, match="has changed since it was written"):
        analysis.load_history(out)
    code, said = lnl_sweep(server, "verify", out)
    assert code == 1 and "damaged: sweep.yaml: " in said


def test_a_damaged_file_of_an_open_trial_costs_its_epochs(interrupted: str, finished: str) -> None:
    out = copied(interrupted)
    trials = folder_at(out).child("trials_open")
    files = [(trial, name) for trial in trials.folders() for name in trials.child(trial).names()]
    kinds = {name.split("-")[0]: (trial, name) for trial, name in files if not name.startswith("started-")}
    assert len(kinds) >= 3
    for trial, name in kinds.values():
        flip(trials.child(trial), name)
    assert {f"trials_open/{trial}/{name}" for trial, name in kinds.values()} <= verify(out).damaged.keys()
    result, _ = run(out)
    assert result.complete and values(out) == values(finished) and verify(out).whole
