"""A sweep with a plug-in whose file is gone: killed and resumed, on a cluster, and in an object store."""

from __future__ import annotations

import re
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from store.open import folder_at
from tests.integration.s3_server import BUCKET, moto
from tests.integration.support import Driver, assert_same_results, driver, null_driver, open_marks, rows
from tests.plugin_files import STATEFUL, forgotten
from trainable.trial.open_trial import CHECKPOINT

pytestmark = pytest.mark.slow

SWEEP = """
name: own
plugins: [own_dro.py]
dataset: {name: coloured_digits, bias: {color_variance: [0.1]}}
network: {name: pixel_front}
methods: [{name: own_dro, fixed: {lr: 2e-2, eta: 0.1}}]
search: {trials: 2, sampler: qmc, early_stopping: off}
confirm: {seeds: 2}
training: {epochs: 8, batch_size: 64}
limits: {checkpoint_seconds: 0}
"""


def study(folder: Path) -> Path:
    """The sweep file beside its plug-in, in a new folder."""
    folder.mkdir()
    (folder / "own_dro.py").write_text(STATEFUL)
    (folder / "sweep.yaml").write_text(SWEEP)
    return folder / "sweep.yaml"


@pytest.fixture(scope="module")
def home(short_tmp: Path) -> dict[str, str]:
    """Environment of a user who has run nothing yet."""
    (short_tmp / "plugins-home").mkdir()
    return {"HOME": str(short_tmp / "plugins-home")}


@pytest.fixture(scope="module")
def whole(short_tmp: Path, home: dict[str, str]) -> Path:
    """The sweep to which nothing happened."""
    out = short_tmp / "plugins-whole"
    with driver(short_tmp, out, "run", study(short_tmp / "study"), "--out", out, variables=home) as running:
        assert running.wait() == 0, running.text()
    return out


def in_the_middle_of_a_trial(running: Driver) -> bool:
    """True where a trial has a checkpoint and goes on; the driver is stopped then, so that it stays so."""
    running.kill(signal.SIGSTOP)
    finished = {key[0] for key in rows(running.out)}
    if any(place.parent.name not in finished for place in open_marks(running.out, CHECKPOINT)):
        return True
    running.kill(signal.SIGCONT)
    return False


def test_a_sweep_goes_on_after_its_driver_was_killed_and_its_plugin_deleted(
    short_tmp: Path, home: dict[str, str], whole: Path
) -> None:
    """The state of the method goes on too: its rows would be others without."""
    out, sweep = short_tmp / "plugins-killed", study(short_tmp / "study-killed")
    with driver(short_tmp, out, "run", sweep, "--out", out, variables=home) as running:
        running.wait_for(lambda: in_the_middle_of_a_trial(running), "a checkpoint")
        running.kill(signal.SIGKILL)
        assert running.wait() == -signal.SIGKILL
    shutil.rmtree(sweep.parent)
    with driver(short_tmp, out, "resume", out, variables=home) as resumed:
        assert resumed.wait() == 0, resumed.text()
    assert any(row["preemptions"] for row in rows(out).values())
    assert_same_results(out, whole)


def test_nodes_need_not_see_the_folder_of_the_plugin(
    cluster: Any, short_tmp: Path, whole: Path, home: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestrator.config.sweep_file import read_config
    from orchestrator.sweep import Options, run_sweep

    monkeypatch.setenv("HOME", home["HOME"])
    out, sweep = short_tmp / "plugins-nodes", study(short_tmp / "study-nodes")
    with forgotten():
        config = read_config(sweep)
        shutil.rmtree(sweep.parent)
        result = run_sweep(config, str(out), Options(address=cluster.address))
    assert result.complete, result.problems
    assert_same_results(out, whole)


def test_a_model_is_read_without_the_file_of_its_method(whole: Path, home: dict[str, str], monkeypatch: Any) -> None:
    import torch

    from store.errors import InputError
    from trainable import load_model

    model = next((whole / "models").iterdir())
    (whole.parent / "study" / "own_dro.py").unlink()
    monkeypatch.setenv("HOME", str(whole.parent / "somebody-else"))
    with forgotten():
        with pytest.raises(InputError, match=r"plugins/own_dro-\w{8}.py: look at what it does"):
            load_model(model)
        monkeypatch.setenv("HOME", home["HOME"])
        assert load_model(model)(torch.zeros(1, 3, 14, 14)).shape == (1, 10)
    with forgotten():
        monkeypatch.setenv("HOME", str(whole.parent / "somebody-else"))
        load_model(model, trust_plugins=True)


def test_plugins_lie_in_an_object_store_too(short_tmp: Path, home: dict[str, str], monkeypatch: Any) -> None:
    with moto() as server:
        for name, value in server.variables.items():
            monkeypatch.setenv(name, value)
        out, sweep = f"s3://{BUCKET}/plugins", study(short_tmp / "study-s3")
        with null_driver(short_tmp, out, "run", sweep, "--out", out, variables=home) as running:
            running.wait_for_rows(1)
            running.kill(signal.SIGKILL)
            running.wait()
        shutil.rmtree(sweep.parent)
        (stored,) = folder_at(out).child("plugins").names()
        assert re.fullmatch(r"own_dro-\w{8}\.py", stored)
        (short_tmp / "s3-home").mkdir()
        other = {"HOME": str(short_tmp / "s3-home")}
        with null_driver(short_tmp, out, "resume", out, variables=other) as refused:
            assert refused.wait() == 2 and f"{out}/plugins/{stored}: look at what it does" in refused.text()
        with null_driver(short_tmp, out, "resume", out, "--trust-plugins", variables=other) as resumed:
            assert resumed.wait() == 0, resumed.text()
