"""Workers run the driver's code, and one with other code is refused in one sentence that names both places."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import cloudpickle

from orchestrator.cluster import same_code
from orchestrator.cluster.same_code import check_loaded, code_first, compared, read_code, with_our_code
from store.errors import InputError
from trainable.tune_trainable import SweepTrainable

ROOT = Path(same_code.__file__).parents[2]
WORKER = """
import pickle, sys

trainable = object.__new__(pickle.load(open(sys.argv[1], "rb")))
trainable.setup({})
print(trainable.step()["halt"], trainable.reset_config({}), trainable.environment)
"""


class Trained:
    """A trainable whose trials always succeed."""

    def setup(self, config: Any) -> None:
        self.config = config

    def reset_config(self, new_config: Any) -> bool:
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        return {"value": self.config["value"]}


def made(**members: Any) -> Any:
    return compared(Trained, "Sweep_1", members)()


def test_a_worker_with_the_same_code_runs_the_trial() -> None:
    one = made(environment={"a": "b"})
    assert type(one).__name__ == "Sweep_1" and one.environment == {"a": "b"}
    one.setup({"value": 1})
    assert one.step() == {"value": 1}
    assert one.reset_config({"value": 2}) and one.step() == {"value": 2}


def test_code_that_changes_while_a_sweep_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    place, _, host = read_code()
    monkeypatch.setattr(same_code, "read_code", lambda: (place, "0123", host))
    one = made()
    one.setup({"value": 1})
    result = one.step()
    assert result["done"] and result["row"] is None and not result["away"]
    assert f"the code in {place} has changed since the sweep began" in result["halt"]
    assert "resume the sweep" in result["halt"]


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A folder with a package of our name: other code that answers to the same names."""
    folder = tmp_path / "other checkout"
    for name in ("store", "trainable"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text("NUMERICS = 77\n")
    (folder / "trainable" / "tune_trainable.py").write_text("class SweepTrainable:\n    environment = None\n")
    return folder


def in_a_worker(script: str, sent: Any, other: Path, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run a script in a process that finds the other code first, and is sent something."""
    (tmp_path / "sent").write_bytes(cloudpickle.dumps(sent))
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(other), str(ROOT)])}
    command = [sys.executable, "-c", script, str(tmp_path / "sent")]
    return subprocess.run(command, capture_output=True, text=True, env=variables, cwd=other, timeout=240)


def test_a_worker_that_has_only_another_checkout_names_both_places(
    other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(same_code, "read_code", lambda: ("/elsewhere/trainable", "0123", "laptop"))
    done = in_a_worker(WORKER, compared(SweepTrainable, "Sweep_1", {"environment": {}}), other, tmp_path)
    assert f"workers must run the driver's code, but {other / 'trainable'} on node " in done.stdout, done.stderr
    assert "is not that of /elsewhere/trainable on laptop" in done.stdout and "True {}" in done.stdout


@pytest.mark.parametrize("sent", ["class", "function"])
def test_a_worker_that_finds_another_checkout_first_uses_the_drivers_code(
    sent: str, other: Path, tmp_path: Path
) -> None:
    loads = "import pickle, sys; sent = pickle.load(open(sys.argv[1], 'rb'));"
    if sent == "class":
        work = f"{loads} import trainable; print(trainable.__file__, hasattr(sent, 'save_checkpoint'))"
        # As Tune does, which unpickles the class that it has registered before it sends it on.
        registered = cloudpickle.loads(cloudpickle.dumps(compared(SweepTrainable, "Sweep_1", {})))
        done = in_a_worker(work, registered, other, tmp_path)
        assert done.stdout.split()[-1:] == ["True"], done.stderr
    else:
        work = f"{loads} found = sent(); import trainable; print(trainable.__file__, found)"
        done = in_a_worker(work, with_our_code(read_code), other, tmp_path)
        assert read_code()[1] in done.stdout, done.stderr
    assert done.stdout.startswith(str(ROOT / "trainable")), done.stdout


def test_a_worker_that_cannot_load_our_code_ends_the_sweep() -> None:
    check_loaded(None)
    check_loaded(RuntimeError("the worker died"))
    said = (
        "The actor with name Sweep_1 failed to import on the worker. This may be because needed library dependencies "
        "are not installed in the worker environment:\n\nTraceback (most recent call last):\n"
        "ModuleNotFoundError: No module named 'trainable.tune_trainable'; 'trainable' is not a package\n"
    )
    with pytest.raises(InputError) as caught:
        check_loaded(ray.exceptions.RayActorError(error_msg=said))
    assert str(ROOT / "trainable") in str(caught.value) and "'trainable' is not a package" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_workers_do_not_look_into_the_current_directory_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # As from a checkout: a worker must find what is in no other place.
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    with code_first():
        assert Path.cwd() == ROOT
    assert Path.cwd() == tmp_path
    # As installed: what is before the standard library would hide modules of it.
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if os.path.realpath(entry or ".") != str(ROOT)])
    with code_first():
        assert Path("default_worker.py").is_file()
    # A directory that is gone is none to come back to by its name.
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with code_first():
        assert Path.cwd().is_dir()
